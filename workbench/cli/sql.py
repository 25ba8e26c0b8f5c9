"""``workbench sql``."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, TextIO

import click

from workbench.cli._common import common, folder, plain, print_json, print_table, say, wants_json

if TYPE_CHECKING:
    from workbench.handle import Workbench
    from workbench.query import Result

_DEFAULT_ROWS = 1000


@click.command("sql")
@click.argument("query", required=False)
@click.option("-f", "--file", "file", type=click.File("r", encoding="utf-8"),
              help="Read the query from a file; - for standard input.")  # fmt: skip
@click.option("--format", "form", type=click.Choice(["table", "csv", "json", "parquet"]),
              help="How the rows are printed. Default: table.")  # fmt: skip
@click.option("--limit", type=click.IntRange(min=0), help="Rows to return at most. "
              f"Default: {_DEFAULT_ROWS:,} in a table, all in data.")  # fmt: skip
@click.option("--timeout", type=click.FloatRange(min=0, min_open=True), default=60.0,
              show_default=True, help="Seconds after which the query is stopped.")  # fmt: skip
@common
def command(
    query: str | None,
    file: TextIO | None,
    form: str | None,
    limit: int | None,
    timeout: float,
    project_dir: str | None,
    as_json: bool,
) -> None:
    """Ask in SQL: one SELECT over the enriched views. Without a query, an interactive shell."""
    from workbench.handle import Workbench

    form = form or ("json" if wants_json(as_json) else "table")
    workbench = Workbench(folder(project_dir))
    if file is not None:
        query = file.read()
    elif query == "-":
        query = sys.stdin.read()
    if query is None:
        _shell(workbench, limit, timeout)
        return
    _print(_run(workbench, query, form, limit, timeout), form)


def _run(workbench: Workbench, query: str, form: str, limit: int | None, timeout: float) -> Result:
    rows = _DEFAULT_ROWS if limit is None and form == "table" else limit
    return workbench.sql(query, limit=rows, timeout=timeout)


def _print(result: Result, form: str) -> None:
    if form == "json":
        print_json(result.table.to_pylist())
    elif form == "table":
        rows = list(zip(*(column.to_pylist() for column in result.table.columns), strict=True))
        print_table(result.columns, rows)
    elif form == "csv":
        import csv

        writer = csv.writer(sys.stdout, lineterminator="\n")
        writer.writerow(result.columns)
        for batch in result.table.to_batches():
            writer.writerows(zip(*(_texts(column) for column in batch.columns), strict=True))
    else:
        import pyarrow.parquet as pq

        if sys.stdout.isatty():
            raise click.UsageError("Parquet is not for a terminal; redirect it to a file.")
        with click.open_file("-", "wb") as out:
            pq.write_table(result.table, out)
    if result.truncated:
        say(f"These are the first {result.table.num_rows:,} rows; there are more (--limit).")


def _texts(column: object) -> list[object]:
    import json

    values = (plain(value) for value in column.to_pylist())  # type: ignore[attr-defined]
    return [json.dumps(v, ensure_ascii=False) if isinstance(v, dict | list) else v for v in values]


def _shell(workbench: Workbench, limit: int | None, timeout: float) -> None:
    """Read queries until the end of input; a query ends with a semicolon."""
    import contextlib

    from workbench.errors import WorkbenchError

    with contextlib.suppress(ImportError):
        import readline  # noqa: F401

    relations = ", ".join(workbench.current.relation_names())
    say(f"Relations: {relations}. End a query with ; and the shell with Ctrl-D.")
    text = ""
    while True:
        try:
            text += input("workbench> " if not text else "       ... ") + "\n"
        except EOFError:
            say("")
            return
        except KeyboardInterrupt:
            text = ""
            say("")
            continue
        if text.strip() in ("exit", "quit", ".quit", "\\q"):
            return
        if not text.strip():
            text = ""
        if text.rstrip().endswith(";"):
            try:
                _print(_run(workbench, text, "table", limit, timeout), "table")
            except WorkbenchError as error:
                say(f"{error}")
            text = ""
