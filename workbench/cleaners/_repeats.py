"""What several examples have in common, and which of them stands for the others."""

from __future__ import annotations


def digests(*columns: str) -> str:
    """SQL to group by long texts; NULL stays NULL and is a group of its own.

    The digests are kept and spilled in place of the texts.
    """
    return ", ".join(f"sha256({column})" for column in columns)


def all_but_first(source: str, same: str, reason: str) -> str:
    """The query of a cleaner that keeps the earliest example of each group.

    Parameters
    ----------
    source
        The relation, or a query in brackets.
    same
        What the examples of a group have in common, as SQL to group by.
    reason
        Why the others are left out.
    """
    return f"""SELECT unnest(examples[2:]) AS example_id, '{reason}' AS reason,
  examples[1] AS kept_id
FROM (
  SELECT list(example_id ORDER BY ts NULLS LAST, example_id) AS examples FROM {source}
  GROUP BY {same} HAVING count(*) > 1
)"""
