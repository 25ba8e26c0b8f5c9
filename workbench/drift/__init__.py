"""What has changed since a reference: inputs, outputs, feedback, attributions, promised quality."""

from __future__ import annotations

from workbench.drift._columns import METHODS
from workbench.drift._drift import CBPE_BLIND, DEVIATIONS, drift

__all__ = ["CBPE_BLIND", "DEVIATIONS", "METHODS", "drift"]
