"""Where pairs of a better and a worse answer come from: one file each, found by name."""

from __future__ import annotations

from workbench.pairs._pairs import PairSource as PairSource
from workbench.pairs._pairs import candidates_sql as candidates_sql
from workbench.pairs._pairs import chosen_sources as chosen_sources
from workbench.pairs._pairs import pair_sources as pair_sources
