"""Ways to say which training examples to leave out or to mask: one file each, found by name."""

from __future__ import annotations

from workbench.cleaners._cleaner import Cleaner as Cleaner
from workbench.cleaners._cleaner import CleanerCall as CleanerCall
from workbench.cleaners._cleaner import cleaners as cleaners
from workbench.cleaners._cleaner import parse_cleaner as parse_cleaner
from workbench.cleaners._shingles import near_duplicate_clusters_sql as near_duplicate_clusters_sql
