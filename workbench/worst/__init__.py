"""For whom, where and when a number is worst: a search over all slices of up to two columns."""

from __future__ import annotations

from workbench.worst._statistics import benjamini_hochberg
from workbench.worst._values import GAP
from workbench.worst._worst import (
    ALPHA,
    LEAST_ROWS,
    Search,
    find_several,
    find_worst,
    search,
    worst_slices,
)

__all__ = [
    "ALPHA",
    "GAP",
    "LEAST_ROWS",
    "Search",
    "benjamini_hochberg",
    "find_several",
    "find_worst",
    "search",
    "worst_slices",
]
