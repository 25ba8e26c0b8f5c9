"""What the Reliability page shows."""

from __future__ import annotations

from typing import Any

from workbench import fitting
from workbench.query import Build
from workbench.reliability import Reliability, reliability
from workbench.ui.data import RELATION, cached, in_group

HEADLINE = (
    "ece", "calibration_noise_floor", "mce", "smooth_ece",
    "brier_score", "brier_reliability", "brier_resolution", "brier_uncertainty",
    "log_loss", "roc_auc",
)  # fmt: skip
_OF_BINS = ("ece", "calibration_noise_floor", "mce")

#: What recalibration is judged by on the page.
JUDGED = ("ece", "smooth_ece", "brier_score", "log_loss")


def calls(bins: int, rule: str) -> tuple[str, ...]:
    """The metrics at the head of the page, those of bins with the chosen ones."""
    return tuple(
        f"{name}(bins={bins}, bin_rule={rule!r})" if name in _OF_BINS else name for name in HEADLINE
    )


@cached
def bins_of(
    source: Build, bins: int, rule: str, by: str | None, condition: str | None
) -> Reliability:
    """The bins of the diagram; each row has a ``mark``, what it is called on the page."""
    found = reliability(source, bins, rule, by, condition)
    for row in found.rows:
        name = bin_name(row)
        row["mark"] = f"{row['group']} · {name}" if by else name
        if by:
            row["where"] = f"{row['where']} AND {in_group(by, row['group'])}"
    return found


def bin_name(row: dict[str, Any]) -> str:
    """How a bin is called: counted from 1; 0 is what the rule leaves out."""
    return "0" if row["bin"] is None else str(row["bin"] + 1)


@cached
def recalibration(source: Build) -> dict[str, Any] | None:
    """Which artefact the build corrects the probability with: ``id`` and ``held_out``, or None."""
    found: list[dict[str, Any]] = source.arrow(
        "SELECT id, held_out FROM narrow.artefacts WHERE kind = 'recalibration'"
    ).to_pylist()
    return found[0] if found else None


@cached
def before_and_after(source: Build, condition: str | None) -> list[dict[str, Any]]:
    """Calibration metrics before and after recalibration, on rows that it was not fitted on."""
    return fitting.before_and_after(source, list(JUDGED), [], condition)


@cached
def corrected_bins(source: Build, bins: int, rule: str, condition: str | None) -> Reliability:
    """The bins before and after, with ``series``, on rows that it was not fitted on."""
    artefact = recalibration(source)
    assert artefact is not None
    parts = [f"({artefact['held_out']})", "calibrated_p IS NOT NULL"]
    where = " AND ".join([*parts, *([f"({condition}\n)"] if condition else [])])
    rows, queries = [], []
    for name, column in (("as it is", "calibration_p"), ("recalibrated", "calibrated_p")):
        found = reliability(source, bins, rule, where=where, probability=column)
        for row in found.rows:
            mark = f"{name} · {bin_name(row)}"
            behind = f"{row['where']} AND {' AND '.join(parts)}"
            rows.append({**row, "series": name, "group": mark, "where": behind})
        queries.append(found.sql)
    return Reliability(rows, ";\n\n".join(queries))


def has_scores(source: Build) -> bool:
    """Whether any row has a probability."""
    return bool(
        source.count(
            f"SELECT 1 AS one FROM narrow.{RELATION} WHERE calibration_p IS NOT NULL LIMIT 1"
        )
    )
