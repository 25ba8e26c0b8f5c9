"""What the commands share: where the project is, and how they speak."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any, TypeVar

import click

F = TypeVar("F", bound=Callable[..., Any])


def common(function: F) -> F:
    """Add ``--project`` and ``--json`` to a command."""
    function = click.option("--json", "as_json", is_flag=True, help="Print JSON.")(function)
    return click.option(
        "--project", "project_dir", metavar="DIR", help="The project folder. Default: here."
    )(function)


def folder(project_dir: str | None) -> Path:
    """The project folder: the command's own option, else the one before the command, else here."""
    return Path(project_dir or _before("project") or ".")


def wants_json(as_json: bool) -> bool:
    """Whether ``--json`` stands after or before the command."""
    return as_json or bool(_before("json"))


def _before(name: str) -> Any:
    context = click.get_current_context()
    return (context.find_root().obj or {}).get(name)


def say(text: str) -> None:
    """Narrate on standard error; standard output belongs to data."""
    click.echo(text, err=True)


def print_json(value: Any) -> None:
    """Print a value as JSON on standard output."""
    click.echo(json.dumps(plain(value), ensure_ascii=False, indent=1))


def plain(value: Any) -> Any:
    """`value` as JSON can hold it: times as ISO text in UTC, NaN and infinity as null."""
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, datetime):
        moment = value.astimezone(UTC) if value.tzinfo else value
        return moment.isoformat().replace("+00:00", "Z")
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, Decimal):
        return float(value)
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    if isinstance(value, Mapping):
        return {str(key): plain(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [plain(entry) for entry in value]
    if isinstance(value, str | int | float | bool) or value is None:
        return value
    return str(value)


def print_table(columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    """Print rows as an aligned table; numbers to the right."""
    cells = [[_cell(value) for value in row] for row in rows]
    widths = [max([len(name), *(len(row[i]) for row in cells)]) for i, name in enumerate(columns)]
    right = [
        bool(rows) and all(_is_number(row[i]) or row[i] is None for row in rows)
        for i in range(len(columns))
    ]
    click.echo(_line(columns, widths, right))
    click.echo("  ".join("-" * width for width in widths))
    for row in cells:
        click.echo(_line(row, widths, right))


def print_grouped(
    columns: Sequence[str], rows: Sequence[Mapping[str, Any]], by: Sequence[str]
) -> None:
    """Print rows of metrics as a table; of the columns, those in `by` are the group's."""
    print_table(
        columns,
        [[row["by"].get(name) if name in by else row[name] for name in columns] for row in rows],
    )


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:,.0f}" if abs(value) >= 100_000 else f"{value:.6g}"
    if isinstance(value, Mapping | list | tuple):
        text = json.dumps(plain(value), ensure_ascii=False)
    else:
        text = str(plain(value))
    text = " ".join(text.split())
    return text if len(text) <= 80 else text[:77] + "..."


def _line(cells: Sequence[str], widths: Sequence[int], right: Sequence[bool]) -> str:
    padded = (
        cell.rjust(width) if to_right else cell.ljust(width)
        for cell, width, to_right in zip(cells, widths, right, strict=True)
    )
    return "  ".join(padded).rstrip()
