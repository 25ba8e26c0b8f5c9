"""How the commands of slices and datasets show what they have in common."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import click

from workbench.cli._common import print_table


def listed(text: str | None) -> tuple[str, ...]:
    """Names that are separated by commas."""
    return tuple(name.strip() for name in (text or "").split(",") if name.strip())


def print_funnel(funnel: Sequence[Mapping[str, Any]]) -> None:
    """From received to kept, with every reason."""
    names = ("step", "reason", "rows", "unit")
    print_table(names, [[step[name] for name in names] for step in funnel])


def print_records(rows: Sequence[Mapping[str, Any]]) -> None:
    """Rows one below the other, for they are wide; what is NULL is left out."""
    for row in rows:
        click.echo()
        print_table(
            ("column", "value"), [(n, v) for n, v in row.items() if v is not None and v != []]
        )
