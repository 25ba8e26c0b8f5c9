"""What has changed since a reference: inputs, outputs, feedback, attributions, promised quality."""

from __future__ import annotations

from workbench.drift._chunks import bucket
from workbench.drift._columns import METHODS
from workbench.drift._drift import CBPE_BLIND, DEVIATIONS, chunks_query, drift
from workbench.drift._summary import by_column

__all__ = ["CBPE_BLIND", "DEVIATIONS", "METHODS", "bucket", "by_column", "chunks_query", "drift"]
