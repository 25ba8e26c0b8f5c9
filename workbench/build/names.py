"""What a build calls the tables and columns that it makes of contexts."""

from __future__ import annotations

from workbench.contexts import age_column, known_column, reason_column


def private_columns(name: str) -> list[str]:
    """Columns that the join of a context adds for its report and for the record of an inference."""
    return [column(name) for column in (age_column, reason_column, known_column)]


def joined(name: str) -> str:
    """The table that the join of a context makes."""
    return f"joined_{name}"
