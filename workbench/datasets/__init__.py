"""Slices, training sets compiled of them, and taking either away as files."""

from __future__ import annotations

from workbench.datasets.compile import compile_dataset as compile_dataset
from workbench.datasets.compile import reproduce as reproduce
from workbench.datasets.export import export as export
from workbench.datasets.export import write_file as write_file
from workbench.datasets.slice import Slice as Slice
from workbench.datasets.slices import load_slice as load_slice
from workbench.datasets.slices import save_slice as save_slice
from workbench.datasets.split import Split as Split
from workbench.datasets.split import parse_split as parse_split
from workbench.datasets.versions import diff as diff
from workbench.datasets.versions import export_dataset as export_dataset
from workbench.datasets.versions import replay as replay
