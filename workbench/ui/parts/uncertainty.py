"""The parts of the Uncertainty page."""

from __future__ import annotations

import streamlit as st

from workbench import charts
from workbench.query import Build
from workbench.ui import data, data_uncertainty, state
from workbench.ui.parts import words
from workbench.ui.parts.cards import chart_card
from workbench.ui.parts.controls import BOUND
from workbench.ui.parts.rows import LIMIT, mark_choice, rows_behind

_DISTRIBUTION = (
    "How many answers were given at each value of the score, and what became of them. A score with "
    "one peak far to one side tells few answers apart. The rows without a judgement are no sample "
    "of all rows: who gives feedback depends on what happened. Click a bar to read its rows."
)
_TENTHS = (
    "The judged answers in order of the score, cut into ten parts of equal size. A model that "
    "knows when it is wrong has high bars on the left and low ones on the right; equal bars mean "
    "that the score says nothing. With rounded scores some parts are larger and some are missing, "
    "since equal answers are never parted."
)


def settings(source: Build) -> str:
    """Draw the choice of the score."""
    return str(
        st.selectbox(
            "Score of uncertainty",
            data_uncertainty.scores(source),
            key="doubt",
            bind=BOUND,
            width=260,
            help="Only those that have values in this build.",
        )
    )


def detection(source: Build, condition: str | None) -> None:
    """Draw how well each score tells wrong answers from right ones."""
    st.header("Does it know when it is wrong?")
    rows = data_uncertainty.detection(source, condition)
    undefined = {row["reason"] for row in rows if row["value"] is None}
    said = f"On {words.plural(max(row['n'] for row in rows), 'judged row')}."
    if undefined:
        said += f" Not defined: {', '.join(map(words.reason, sorted(undefined)))}."
    columns = ("name", "value", "low", "high", "n", "n_labelled")
    chart_card(
        charts.intervals(
            rows,
            what="Error detection (area under the ROC curve)",
            reference=0.5,
            said="what chance gives",
        ),
        [{name: row[name] for name in columns} for row in rows],
        key="detection",
        said=said,
        sql=data.compiled(source, data_uncertainty.detection_calls(source), condition),
        guides=("error_detection_auroc",),
    )


def errors(source: Build, score: str, condition: str | None) -> None:
    """Draw errors by tenth of the score, and how many are found by looking at few answers."""
    st.header("Where the errors are")
    left, right = st.columns(2)
    found = data_uncertainty.error_rates(source, score, condition)
    judged = words.plural(sum(row["n"] for row in found.rows), "judged row")
    with left:
        chart_card(
            charts.error_rates(found.rows, score=score),
            [{k: row[k] for k in _PARTS} for row in found.rows],
            key="tenths",
            on_pick=state.pick_from("tenths", "tenth"),
            said=f"On {judged}; bars are 95 % intervals.",
            sql=found.sql,
            guides=("uncertainty",),
            also=_TENTHS,
        )
    with right:
        rows = data_uncertainty.capture(source, score, condition)
        columns = ("share", "value", "low", "high", "n", "n_labelled")
        chart_card(
            charts.captured(rows, score=score),
            [{name: row[name] for name in columns} for row in rows],
            key="captured",
            on_pick=state.pick_from("captured", "share"),
            said=f"On {judged}; bars are 95 % intervals.",
            sql=data.compiled(source, data_uncertainty.capture_calls(score), condition),
            guides=("error_capture_rate",),
        )
    marks = {
        str(row["part"]): f"{row['part']} ({score} {row['first']:.3f} to {row['last']:.3f}, "
        f"{row['value']:.1%} wrong)"
        for row in found.rows
    }
    shares = {row["mark"]: row["where"] for row in rows if row["where"]}
    left, right = st.columns(2)
    with left:
        tenth = mark_choice("tenth", marks, "Rows of the tenth")
    with right:
        share = mark_choice("share", shares, "Rows of the least sure")
    if tenth:
        where = next(row["where"] for row in found.rows if str(row["part"]) == tenth)
        rows_behind(source, condition, where, f"of tenth {marks[tenth]}", key="tenth")
    if share:
        what = f"of the least sure {share} by {score}"
        rows_behind(source, condition, shares[share], what, key="share")


_PARTS = ("part", "first", "last", "value", "low", "high", "n")


def distribution(source: Build, score: str, condition: str | None) -> None:
    """Draw how the score is distributed over wrong, right and unjudged answers."""
    st.header("How unsure it was")
    found = data_uncertainty.distribution(source, score, condition)
    n = sum(row["n"] for row in found.rows)
    judged = sum(row["n_wrong"] + row["n_right"] for row in found.rows)
    columns = ("part", "first", "last", "n", "n_wrong", "n_right")
    chart_card(
        charts.distribution(found.rows, score=score),
        [{name: row[name] for name in columns} for row in found.rows],
        key="distribution",
        on_pick=state.pick_from("distribution", "range"),
        said=f"{judged:,} of {words.plural(n, 'row')} judged. Counts have no interval.",
        sql=found.sql,
        also=_DISTRIBUTION,
    )
    marks = {
        str(row["part"]): f"{score} {row['first']:.3f} to {row['last']:.3f}" for row in found.rows
    }
    range_ = mark_choice("range", marks, "Rows of the range")
    if range_:
        where = next(row["where"] for row in found.rows if str(row["part"]) == range_)
        rows_behind(source, condition, where, f"with {marks[range_]}", key="range")


def wrong(source: Build, score: str, condition: str | None) -> None:
    """Show the wrong answers that the model was least sure of, or surest."""
    st.header("Wrong answers")
    order = st.segmented_control(
        "Order",
        ["least sure first", "surest first"],
        default="least sure first",
        required=True,
        key="sure",
        bind=BOUND,
    )
    surest = order == "surest first"
    rows_behind(
        source,
        condition,
        "correct = false",
        f"where the model was wrong, {order} by {score}",
        key="wrong",
        table=lambda: data_uncertainty.wrong_rows(
            source, score, condition, surest=surest, limit=LIMIT
        ),
    )
