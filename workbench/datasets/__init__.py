"""Slices, and taking them away as files."""

from __future__ import annotations

from workbench.datasets.export import export as export
from workbench.datasets.export import write_file as write_file
from workbench.datasets.slice import Slice as Slice
