"""How ``workbench metrics --drift`` and ``--worst`` are printed."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from workbench.cli._common import print_json, print_table, say
from workbench.errors import ConfigError

if TYPE_CHECKING:
    from workbench.handle import Workbench


def check_options(
    drifted: bool,
    worst: str | None,
    only: Sequence[str],
    by: Sequence[str],
    columns: Sequence[str],
    methods: Sequence[str],
    reference: str | None,
) -> None:
    """Refuse options that would be ignored.

    Raises
    ------
    ConfigError
        If one of them belongs to another answer.
    """
    if (columns or methods) and not drifted:
        raise ConfigError("--by-column and --method belong to --drift.", "Add --drift.")
    if reference and not (drifted or worst):
        raise ConfigError(
            "--reference belongs to --drift and --worst.", "Add one of them, or use --where."
        )
    if drifted and (only or by):
        raise ConfigError(
            "--drift follows columns, not metrics by groups.", "Name them with --by-column."
        )
    if worst and only:
        raise ConfigError(
            "--worst searches for one metric.", "Name it after --worst, such as: --worst accuracy"
        )


def print_drift(rows: Sequence[dict[str, Any]], as_json: bool) -> None:
    """Every chunk as JSON; as a table, each column in one line, those with most alerts first."""
    from workbench.drift import CBPE_BLIND, DEVIATIONS

    if as_json:
        print_json(rows)
    else:
        _print_columns(rows)
        say(
            f"An alert is a chunk beyond the mean of the reference chunks +- {DEVIATIONS:g} "
            "standard deviations. --json has every chunk."
        )
    if any(row["value"] is not None and row["threshold"] is None for row in rows):
        say("Fewer than two chunks of the reference have a value: no threshold, no alerts.")
    cut = [row for row in rows if not row["whole"]]
    if cut:
        sizes = sorted({row["n"] for row in cut}, reverse=True)
        say(f"Left over at the end of a period, as a shorter chunk: {sizes[0]:,} rows at most.")
    if any(row["method"] == "cbpe" for row in rows):
        say(CBPE_BLIND)


def _print_columns(rows: Sequence[dict[str, Any]]) -> None:
    from workbench.drift import by_column

    names = (
        "column", "method", "chunks", "alerts", "first_alert", "last", "lower", "threshold",
    )  # fmt: skip
    print_table(names, [[line[name] for name in names] for line in by_column(rows)])


def print_worst(
    workbench: Workbench,
    metric: str,
    columns: Sequence[str],
    where: str | None,
    reference: str | None,
    least: int | None,
    as_json: bool,
) -> None:
    """The worst slices, and the command that writes the rows of the worst one."""
    from workbench.worst import ALPHA, LEAST_ROWS, find_worst

    found = find_worst(
        workbench.current,
        metric,
        columns=columns,
        where=where,
        reference=reference,
        least_rows=LEAST_ROWS if least is None else least,
    )
    if as_json:
        print_json(found.rows)
    elif found.rows:
        names = ("n", "value", "other", "effect", "low", "high", "q")
        print_table(
            ("where", *names),
            [[row["where"], *(row[name] for name in names)] for row in found.rows],
        )
    than = "before" if reference else "elsewhere"
    say(
        f"{found.n_slices:,} slices looked at, {len(found.rows)} named: {metric} is worse there "
        f"than {than}. Of such findings, {ALPHA:.0%} at most are chance (Benjamini-Hochberg)."
    )
    if found.rows:
        rows = found.rows[0]["where"]
        condition = f"({where}) AND {rows}" if where else rows
        folder = shlex.quote(str(workbench.folder))
        click.echo(
            "The rows of the first: "
            f"workbench export enriched_inferences --project {folder} "
            f"--where {shlex.quote(condition)} -o worst.parquet",
            err=True,
        )
