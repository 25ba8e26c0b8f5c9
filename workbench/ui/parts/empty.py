"""The states without anything to show: each says why, and what to do next."""

from __future__ import annotations

import re
from pathlib import Path

import streamlit as st

from workbench.errors import WorkbenchError
from workbench.ui import state


def no_build(project: Path) -> None:
    """Say that the project has no build yet."""
    st.title("No build yet")
    st.markdown(
        f"The folder `{project}` has no build, so there is nothing to show. "
        "With logs of your own, describe them and build:"
    )
    st.code(
        "workbench init my-project --inferences logs/calls.jsonl --feedback logs/feedback.jsonl\n"
        "workbench build --project my-project\n"
        "workbench serve --project my-project",
        language="bash",
    )
    st.markdown("To see the dashboard with generated logs first:")
    st.code("workbench demo", language="bash")


def no_rows(what: str = "these filters") -> None:
    """Say that the filters leave nothing, and offer to clear them."""
    st.info(f"No rows match {what}.", icon=":material/filter_alt_off:")
    st.button("Clear all filters", on_click=state.clear_filters, key="clear-empty")


def no_labels(n: int) -> None:
    """Say that there are rows but no labels."""
    st.info(
        f"{n:,} rows match, but none of them has a label yet, so there is nothing to compare the "
        "model with. Labels come from feedback; choose other filters, or bring feedback in with "
        "`workbench build`.",
        icon=":material/label_off:",
    )


def no_scores() -> None:
    """Say that no row has a probability."""
    st.info(
        "No inference has a probability, so there is nothing to be sure or unsure of. Map the "
        "model's `score` or `confidence` in `workbench.toml`, then run `workbench build`.",
        icon=":material/question_mark:",
    )


def no_raters() -> None:
    """Say that nobody has said enough to be measured."""
    st.info(
        "No rater has 20 events of one signal here, so there is nothing to compare. Map "
        "`rater_id` of the feedback in `workbench.toml`, or choose other filters.",
        icon=":material/person_off:",
    )


def no_clock() -> None:
    """Say that no row has a time."""
    st.info(
        "No inference has a time, so there are no weeks to compare. Map `ts` in "
        "`workbench.toml`, or compare chunks of so many rows: type a number under Chunks.",
        icon=":material/schedule:",
    )


def few_labels(n: int, least: int) -> None:
    """Warn that there are too few labels to conclude much."""
    st.warning(
        f"Only {n:,} labelled rows: with fewer than {least} the intervals are wide and bins are "
        "mostly noise.",
        icon=":material/warning:",
    )


def problem(error: WorkbenchError) -> None:
    """Show an error in plain words, with what to do next."""
    lines = [_as_it_is(line) for line in str(error).splitlines()]
    st.error("  \n".join(lines), icon=":material/error:")


def _as_it_is(text: str) -> str:
    """Keep what an error quotes from being read as Markdown."""
    return re.sub(r"([\\`*_\[\]$:<>~#|])", r"\\\1", text)
