"""``workbench metrics``."""

from __future__ import annotations

import sys

import click
from workbench.cli._common import common, folder, print_json, print_table, say, wants_json
from workbench.cli._disparities import print_disparities


@click.command("metrics")
@click.option("--by", multiple=True, metavar="EXPR",
              help="SQL expression to group by; may be repeated.")  # fmt: skip
@click.option("--only", multiple=True, metavar="NAME,...",
              help="Metrics, such as \"accuracy,ece(bins=20, bin_rule='guo')\".")  # fmt: skip
@click.option("--where", metavar="SQL", help="Condition on the inferences.")
@click.option("--disparities", "compared", is_flag=True,
              help="Compare the groups: difference, ratio, and which two they are of.")  # fmt: skip
@click.option("--least", type=click.IntRange(min=0), metavar="N",
              help="Hide values of fewer rows, and others that would give them away. "
              "Default: 20 with --disparities, else 0.")  # fmt: skip
@click.option("--fail-if", "gates", multiple=True, metavar="COND",
              help="Exit with 5 if this holds, such as 'ece > 0.05'.")  # fmt: skip
@click.option("--list", "list_only", is_flag=True, help="List the metrics and what they are.")
@common
def command(
    by: tuple[str, ...],
    only: tuple[str, ...],
    where: str | None,
    compared: bool,
    least: int | None,
    gates: tuple[str, ...],
    list_only: bool,
    project_dir: str | None,
    as_json: bool,
) -> None:
    """Measure: values with 95 % intervals, by any expression.

    Without options, on a terminal: at most six lines that say what is wrong, for whom, and how
    sure that is.

    With --disparities, --only also takes demographic_parity, equal_opportunity, equalized_odds
    and predictive_parity. adjusted_low and adjusted_high hold for all pairs of groups at once.
    """
    from workbench.errors import GateError
    from workbench.handle import Workbench
    from workbench.measure import failed_gates, in_words, parse_gates

    if list_only:
        _list(as_json)
        return
    conditions = parse_gates(gates)
    workbench = Workbench(folder(project_dir))
    plain_call = not (by or only or where or gates or compared or least)
    if compared:
        print_disparities(workbench, only, by, where, least, wants_json(as_json))
    elif plain_call and not wants_json(as_json) and sys.stdout.isatty():
        for line in in_words(workbench.current, workbench.status()):
            click.echo(line)
    else:
        rows = workbench.metrics(only, by=by, where=where, least=least or 0)
        if wants_json(as_json):
            print_json(rows)
        else:
            columns = ("metric", *by, "value", "low", "high", "n", "n_labelled", "reason")
            print_table(
                columns,
                [[row["by"].get(name) if name in by else row[name] for name in columns]
                 for row in rows],
            )  # fmt: skip
    failed = failed_gates(workbench.current, conditions, where)
    if failed:
        raise GateError("A gate failed: " + "; ".join(failed) + ".")
    if gates:
        say("No gate failed.")


def _list(as_json: bool) -> None:
    from workbench.metrics import metrics

    rows = [(m.name, m.better, m.about) for m in metrics]
    if wants_json(as_json):
        print_json([{"name": n, "better": b, "about": a} for n, b, a in rows])
    else:
        print_table(("metric", "better", "about"), rows)
