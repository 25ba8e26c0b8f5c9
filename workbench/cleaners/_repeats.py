"""What several examples have in common, and which of them stands for the others."""

from __future__ import annotations


def digests(*columns: str) -> str:
    """SQL to partition by long texts; NULL stays NULL and is a group of its own.

    The digests are sorted and spilled in place of the texts.
    """
    return ", ".join(f"sha256({column})" for column in columns)


def all_but_first(source: str, same: str, reason: str) -> str:
    """The query of a cleaner that keeps the earliest example of each group.

    Parameters
    ----------
    source
        The relation, or a query in brackets.
    same
        What the examples of a group have in common, as SQL to partition by.
    reason
        Why the others are left out.
    """
    return f"""SELECT example_id, '{reason}' AS reason, kept_id
FROM (
  SELECT example_id, first_value(example_id) OVER (
    PARTITION BY {same} ORDER BY ts NULLS LAST, example_id) AS kept_id
  FROM {source}
) WHERE example_id <> kept_id"""
