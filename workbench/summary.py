"""A build in at most six lines: what is wrong, for whom, and how sure that is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from workbench.drift import drift
from workbench.query import Build
from workbench.raters import raters
from workbench.state import measure_quick
from workbench.worst import GAP, Search, find_several, find_worst

#: Slices that a line names at most.
_NAMED = 2
_FURTHEST = "probability minus outcome is furthest off"

Row = Mapping[str, Any]


def in_words(build: Build, status: Row) -> list[str]:
    """Say the most important things about a build, a sentence or two each.

    Parameters
    ----------
    build
        The build to read.
    status
        What `workbench status` says of it.

    Returns
    -------
    list of str
        Feedback, coverage, quality, calibration, raters, drift: a line each where there is
        something to say. Slices are those of `find_worst`: worse than the rest beyond chance, with
        allowance for how many were looked at.
    """
    asked = ["label_coverage", "accuracy", "reward_mean", "ece", "calibration_noise_floor"]
    overall = {row["metric"]: row for row in measure_quick(build, asked)}
    lines = [_feedback(status), _coverage(build, overall["label_coverage"])]
    if overall["label_coverage"]["n_labelled"]:
        lines += [_quality(build, overall), _calibration(build, overall)]
    lines += [_raters(build), _drift(build)]
    return [line for line in lines if line]


def findings(build: Build) -> list[str]:
    """The parts of `in_words` that name slices or columns, for a page that shows the numbers."""
    overall = {row["metric"]: row for row in measure_quick(build, ["accuracy", "reward_mean"])}
    quality = _quality_metric(overall)
    asked = (
        ("label_coverage", "fewest labels"),
        (quality, f"{quality} is worst"),
        (GAP, _FURTHEST),
    )
    searches = find_several(build, [name for name, _ in asked], limit=_NAMED)
    lines = [_slices(found, lead) for found, (_, lead) in zip(searches, asked, strict=True)]
    return [
        *(f"{line[0].upper()}{line[1:]}." for line in lines if line),
        *filter(None, [_raters(build), _drift(build)]),
    ]


def _feedback(status: Row) -> str:
    received = status["received"]
    if not received:
        return "No feedback has been received."
    if received == status["attributed"]:
        return f"All {received:,} feedback events found their inference."
    parts = [
        f"{status[name]:,} {name}"
        for name in ("invalid", "duplicate", "spam", "orphan", "ambiguous")
        if status[name]
    ]
    return (
        f"{status['attributed']:,} of {received:,} feedback events found their inference; "
        f"not used: {', '.join(parts)}."
    )


def _coverage(build: Build, row: Row) -> str:
    if row["value"] is None:
        return "There are no inferences."
    missing = row["n"] - row["n_labelled"]
    if not missing:
        return f"All {row['n']:,} inferences have a label or a reward."
    line = f"{missing:,} of {row['n']:,} inferences ({1 - row['value']:.1%}) have no label"
    silent = _slices(find_worst(build, "label_coverage", limit=_NAMED), "fewest")
    if not row["n_labelled"]:
        return f"{line}."
    return f"{line}; {silent or 'what follows is about the others'}."


def _quality_metric(overall: Mapping[str, Row]) -> str:
    return "accuracy" if overall["accuracy"]["value"] is not None else "reward_mean"


def _quality(build: Build, overall: Mapping[str, Row]) -> str:
    name = _quality_metric(overall)
    row = overall[name]
    if row["value"] is None:
        return f"{name} is not defined: {row['reason']}."
    line = f"{name} is {row['value']:.3f}{_interval(row)}"
    found = find_worst(build, name, limit=_NAMED)
    return f"{line}; {_slices(found, 'worst') or _nothing(found)}."


def _calibration(build: Build, overall: Mapping[str, Row]) -> str:
    row, floor = overall["ece"], overall["calibration_noise_floor"]["value"]
    if row["value"] is None:
        return ""
    line = f"ece is {row['value']:.3f}{_interval(row)}"
    if floor is not None:
        line += f", where chance alone would show {floor:.3f}"
    found = find_worst(build, GAP, limit=_NAMED)
    return f"{line}; {_slices(found, _FURTHEST) or _nothing(found)}."


def _nothing(found: Search) -> str:
    return f"none of {found.n_slices:,} slices is worse than the rest beyond chance"


def _interval(row: Row) -> str:
    n = f"n = {row['n']:,}"
    if row["low"] is None:
        return f" ({n})"
    return f" [{row['low']:.3f}, {row['high']:.3f}] ({n})"


def _slices(found: Search, lead: str) -> str:
    """Name the worst slices: each number, that of the rest, an interval of their difference."""
    said = []
    for row in found.rows:
        share = row["metric"] == "label_coverage"
        style = ".1%" if share else "+.3f" if row["metric"] == GAP else ".3f"
        low, high = sorted(abs(row[end]) for end in ("low", "high"))
        apart = f"{low:.1%} to {high:.1%}" if share else f"{low:.3f} to {high:.3f}"
        said.append(
            f"where {_named(row['slice'])}: {row['value']:{style}} against {row['other']:{style}} "
            f"elsewhere, {apart} apart (n = {row['n']:,})"
        )
    return f"{lead} {', then '.join(said)}" if said else ""


def _named(values: Row) -> str:
    return " and ".join(
        f"{name} {value}" if str(value).startswith(("<", ">")) else f"{name} = {value}"
        for name, value in values.items()
    )


def _raters(build: Build) -> str:
    """Which raters look like bots."""
    flagged = [row for row in raters(build) if row["flagged"]]
    said = [f"{row['rater_id']} ({row['name']}): {row['reason']}" for row in flagged[:_NAMED]]
    if not said:
        return ""
    of = "1 rater looks" if len(flagged) == 1 else f"{len(flagged):,} raters look"
    return f"{of} like a bot; {'. '.join(said)}."


def _drift(build: Build) -> str:
    """Which columns were beyond their thresholds in the last whole week."""
    rows = [row for row in drift(build) if row["whole"] and row["threshold"] is not None]
    if not rows:
        return ""
    last = max(row["chunk"] for row in rows)
    beyond: dict[str, Row] = {}
    for row in rows:
        if row["chunk"] == last and row["alert"]:
            beyond.setdefault(row["column"], row)
    looked_at = len({row["column"] for row in rows})
    if not beyond:
        return ""
    named = "; ".join(
        f"{name}: {row['method']} {row['value']:.3f}, expected up to {row['threshold']:.3f}"
        if row["lower"] is None or row["value"] > row["threshold"]
        else f"{name}: {row['method']} {row['value']:.3f}, expected at least {row['lower']:.3f}"
        for name, row in list(beyond.items())[:_NAMED]
    )
    first = next(iter(beyond.values()))["from"]
    return (
        f"In the week from {first:%Y-%m-%d}, {len(beyond)} of {looked_at} columns were beyond what "
        f"the first weeks let expect: {named}."
    )
