"""``workbench metrics``."""

from __future__ import annotations

import sys

import click

from workbench.cli._calibrated import print_calibrated
from workbench.cli._common import (
    common,
    folder,
    print_grouped,
    print_json,
    print_table,
    say,
    wants_json,
)
from workbench.cli._disparities import print_disparities
from workbench.cli._raters import check_options as check_rater_options
from workbench.cli._raters import print_raters
from workbench.cli._searches import check_options, print_drift, print_worst


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
@click.option("--weighted", is_flag=True,
              help="As observed, and so that labelled inferences stand for all.")  # fmt: skip
@click.option("--calibrated", is_flag=True,
              help="Before and after recalibration, on inferences it has not seen.")  # fmt: skip
@click.option("--skew", is_flag=True,
              help="Who gives feedback: response rate by column, or by --by.")  # fmt: skip
@click.option("--fail-if", "gates", multiple=True, metavar="COND",
              help="Exit with 5 if this holds, such as 'ece > 0.05'.")  # fmt: skip
@click.option("--drift", "drifted", is_flag=True,
              help="Compare chunks of time with a reference: inputs, outputs, "
              "feedback.")  # fmt: skip
@click.option("--by-column", "columns", multiple=True, metavar="NAME",
              help="With --drift: a column or expression, 'labelled', 'attributions' or "
              "'expected'; may be repeated. Default: all.")  # fmt: skip
@click.option("--every", default="week", metavar="UNIT|N", show_default=True,
              help="With --drift: chunks of a day, week, month or N rows.")  # fmt: skip
@click.option("--method", "methods", multiple=True, metavar="NAME",
              help="With --drift: jensen_shannon, psi, ks, wasserstein, chi_square or "
              "mean.")  # fmt: skip
@click.option("--reference", metavar="SQL",
              help="The rows to compare with, such as \"ts < '2026-03-09'\". With --drift, by "
              "default the first third of the chunks; with --worst, slices are compared with "
              "themselves before.")  # fmt: skip
@click.option("--worst", is_flag=False, flag_value="accuracy", metavar="[METRIC]",
              help="Find the slices of up to two columns (or of those in --by) where a metric "
              "is worst. Default: accuracy.")  # fmt: skip
@click.option("--raters", is_flag=True,
              help="Each rater: agreement with others, reliability, signs of a bot.")  # fmt: skip
@click.option("--agreement", is_flag=True,
              help="How far raters agree beyond chance, by signal and pair of raters.")  # fmt: skip
@click.option("--policies", is_flag=True,
              help="How labels would change under each label policy.")  # fmt: skip
@click.option("--list", "list_only", is_flag=True, help="List the metrics and what they are.")
@common
def command(
    by: tuple[str, ...],
    only: tuple[str, ...],
    where: str | None,
    compared: bool,
    least: int | None,
    weighted: bool,
    calibrated: bool,
    skew: bool,
    gates: tuple[str, ...],
    drifted: bool,
    columns: tuple[str, ...],
    every: str,
    methods: tuple[str, ...],
    reference: str | None,
    worst: str | None,
    raters: bool,
    agreement: bool,
    policies: bool,
    list_only: bool,
    project_dir: str | None,
    as_json: bool,
) -> None:
    """Measure: values with 95 % intervals, by any expression.

    Without options, on a terminal: at most six lines that say what is wrong, for whom, and how
    sure that is.

    With --disparities, --only also takes demographic_parity, equal_opportunity, equalized_odds
    and predictive_parity. adjusted_low and adjusted_high hold for all pairs of groups at once.

    --weighted needs weights: workbench fit propensity, then workbench build. --calibrated needs
    workbench fit recalibration, then workbench build.

    With --raters and --agreement, --where is about the feedback; --least is the least number of
    events of a rater (20), or of common inferences of two (10).
    """
    from workbench.cli import _skew
    from workbench.errors import ConfigError, GateError
    from workbench.handle import Workbench
    from workbench.measure import failed_gates, parse_gates
    from workbench.summary import in_words

    if list_only:
        _list(as_json)
        return
    given = {"raters": raters, "agreement": agreement, "policies": policies}
    of_raters = [name for name, wanted in given.items() if wanted]
    if compared + weighted + calibrated + skew + drifted + bool(worst) + len(of_raters) > 1:
        raise ConfigError(
            "--disparities, --weighted, --calibrated, --skew, --drift, --worst, --raters, "
            "--agreement and --policies are different answers.",
            "Ask for one at a time.",
        )
    check_options(drifted, worst, only, by, columns, methods, reference)
    for asked in of_raters:
        check_rater_options(asked, only, by, where, gates, least)
    if calibrated and gates:
        raise ConfigError(
            "--fail-if is about the probabilities as they are.", "Leave --calibrated out."
        )
    conditions = parse_gates(gates)
    workbench = Workbench(folder(project_dir))
    plain_call = not (by or only or where or gates or compared or least)
    if of_raters:
        print_raters(workbench, of_raters[0], only, where, least, wants_json(as_json))
    elif drifted:
        print_drift(
            workbench.drift(
                columns, every=every, reference=reference, methods=methods, where=where
            ),
            wants_json(as_json),
        )
    elif worst:
        print_worst(workbench, worst, by, where, reference, least, wants_json(as_json))
    elif compared:
        print_disparities(workbench, only, by, where, least, wants_json(as_json))
    elif weighted:
        _skew.print_weighted(workbench, only, by, where, wants_json(as_json))
    elif calibrated:
        print_calibrated(workbench, only, by, where, wants_json(as_json))
    elif skew:
        _skew.print_rates(workbench, by, where, wants_json(as_json))
    elif plain_call and not wants_json(as_json) and sys.stdout.isatty():
        for line in in_words(workbench.current, workbench.status()):
            click.echo(line)
    else:
        rows = workbench.metrics(only, by=by, where=where, least=least or 0)
        if wants_json(as_json):
            print_json(rows)
        else:
            columns = ("metric", *by, "value", "low", "high", "n", "n_labelled", "reason")
            print_grouped(columns, rows, by)
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
