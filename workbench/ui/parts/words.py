"""Numbers and codes in words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from workbench.contexts import REASONS as REASONS_OF_CONTEXTS

#: Metrics that are shares, shown in percent.
SHARES = frozenset({"accuracy", "label_coverage", "response_rate", "selection_rate"})

REASONS = {
    "empty": "no labelled rows",
    "no_positives": "no positive labels",
    "no_negatives": "no negative labels",
    "single_class": "only one class among the labels",
    "suppressed": "too few rows to show",
    "tie": "the raters are tied",
    "not_applicable": "no row has the values that it needs",
    "missing_column": "the build lacks a column that it needs",
    "no_clock": "the rows have no time",
    "few_effective": "too few rows carry the weight to say it",
}

REASONS_OF_RATERS = {
    "empty": "no inference has values of two raters",
    "single_class": "only one value was given",
    "not_applicable": "the values are no numbers",
}

STATUSES = {
    "attributed": "found their inference",
    "orphan": "name no inference that is known",
    "ambiguous": "fit several inferences equally well",
    "invalid": "were refused",
    "duplicate": "were repeats of another event",
    "spam": "were excluded as spam",
}

NAMES = {
    "accuracy": "Accuracy",
    "brier_score": "Brier score",
    "ece": "Calibration error",
    "calibration_noise_floor": "By chance alone",
    "mce": "Largest error of a bin",
    "smooth_ece": "Smooth error",
    "brier_reliability": "Brier: reliability",
    "brier_resolution": "Brier: resolution",
    "brier_uncertainty": "Brier: uncertainty",
    "roc_auc": "ROC AUC",
    "reward_mean": "Mean reward",
    "label_coverage": "Label coverage",
    "selection_rate": "Selection rate",
}


def metric_name(metric: str) -> str:
    """How a metric is called in a heading."""
    name = metric.split("(")[0]
    return NAMES.get(name, name.replace("_", " ").capitalize())


def number(metric: str, value: float | None) -> str:
    """Return a metric's value for people."""
    if value is None:
        return "not defined"
    return f"{value:.1%}" if metric.split("(")[0] in SHARES else f"{value:.3f}"


def reason(code: str | None) -> str:
    """Why a value is not defined, in words."""
    return REASONS.get(code or "", code or "unknown reason")


def rater_reason(code: str) -> str:
    """Say why agreement is not defined."""
    return REASONS_OF_RATERS.get(code, code)


def interval(row: dict[str, Any]) -> str:
    """Return the 95 % interval and n of a metric row."""
    n = f"n = {row['n']:,}"
    if row["value"] is None:
        return f"{reason(row['reason'])} ({row['n_labelled']:,} labelled)"
    if row["low"] is None or row["high"] is None:
        return n
    return f"{number(row['metric'], row['low'])} to {number(row['metric'], row['high'])} · {n}"


def when(moment: datetime | None) -> str:
    """Return a time in UTC to the minute."""
    return "unknown" if moment is None else f"{moment:%Y-%m-%d %H:%M} UTC"


def age(seconds: float) -> str:
    """How long before the inference a fact was known or happened."""
    if seconds < 1:
        return "of the same moment"
    for unit, length in (("day", 86_400), ("hour", 3_600), ("minute", 60), ("second", 1)):
        if seconds >= length:
            return f"{plural(int(seconds // length), unit)} before"
    return "of the same moment"


def context_reason(code: str) -> str:
    """Why a context found nothing, in a sentence."""
    return REASONS_OF_CONTEXTS.get(code, code.replace("_", " ").capitalize() + ".")


def plural(n: int, one: str, many: str | None = None) -> str:
    """`n` with its noun."""
    return f"{n:,} {one if n == 1 else many or one + 's'}"


def code(name: str) -> str:
    """Return a reason code as words."""
    return name.replace("_", " ")


def stages(ledger: Mapping[str, int]) -> list[tuple[str, int]]:
    """Return the ledger of the feedback as what remains after each step."""
    left = ledger.get("received", 0)
    found = [("Received", left)]
    for name, statuses in (
        ("Valid", ("invalid",)),
        ("Not a repeat", ("duplicate",)),
        ("Not spam", ("spam",)),
        ("Attributed", ("orphan", "ambiguous")),
    ):
        left -= sum(ledger.get(status, 0) for status in statuses)
        found.append((name, left))
    return found


def in_order(rows: Sequence[dict[str, Any]], names: Sequence[str | None]) -> list[dict[str, Any]]:
    """Rows of groups in the order of `names`."""
    by_name = {row["group"]: row for row in rows}
    return [by_name[name] for name in names if name in by_name]


def chart_rows(
    rows: Sequence[dict[str, Any]], sizes: Mapping[str | None, int]
) -> list[dict[str, Any]]:
    """Return the numbers of a metric by group as a plain table."""
    columns = ("value", "low", "high", "n", "n_labelled")
    return [
        {
            "group": row["group"],
            **{name: row[name] for name in columns},
            "rows": sizes.get(row["group"], 0),
            "why not defined": reason(row["reason"]) if row["value"] is None else None,
        }
        for row in rows
    ]
