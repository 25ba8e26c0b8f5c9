"""What becomes of a slice on the Slices page: the examples, and the dataset made of them."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from typing import Any

import streamlit as st

from workbench import charts
from workbench.datasets import Slice
from workbench.datasets.compile import compile_dataset
from workbench.datasets.slices import save_slice, to_toml
from workbench.errors import WorkbenchError
from workbench.query import Build
from workbench.training_formats import FormatCall
from workbench.ui import data, data_datasets, state
from workbench.ui.data_datasets import Draft
from workbench.ui.parts import words
from workbench.ui.parts.cards import chart_card, rows_table
from workbench.ui.parts.empty import problem
from workbench.ui.parts.links import link

#: Rows up to which examples are counted without being asked to: about a second.
LIVE = 20_000
#: What reads texts or fits clusters takes so many times as long.
SLOW = 5
_SLOW = ("near_duplicates", "diversity")

_FIGURES = {
    "n": ("Inferences", "How many there are."),
    "n_labelled": ("With a label", "How many of them somebody judged."),
    "positive_share": ("Share positive", "Share of the judged that have the positive label."),
    "mean_reward": ("Mean reward", "How good they were judged, 0 to 1."),
    "accuracy": ("Accuracy", "Share of the judged where the prediction was right."),
    "mean_score": ("Mean probability", "What the model predicted of the judged, on average."),
    "outcome": ("Observed frequency", "How often what it predicted came true."),
    "brier_score": ("Brier score", "Mean squared error of the probability; 0 is best."),
    "ece": ("Calibration error", "How far probability and frequency are apart, by bins."),
}
_BESIDE = (
    "A training set is seldom a fair sample: who gives feedback is no accident, and a sampler may "
    "prefer some rows. The dots show the share of each value in all inferences of the build, and "
    "in those that the examples come from. A long line is a value that the training set has too "
    "much or too little of."
)
_FUNNEL = (
    "How many are left after each step, and what was taken off. An inference without feedback is "
    "no negative example: it is left out. Cleaning comes before the draw, so what is drawn is "
    "clean."
)


def counted(source: Build, chosen: Slice, call: FormatCall, n: int) -> Draft | None:
    """Choose the examples, at once or when asked to; None where that was not asked for."""
    asked = [source.id, chosen.id, str(call)]
    settings = (*chosen.clean, chosen.sampler or "", chosen.split.by if chosen.split else "")
    slow = any(text.startswith(_SLOW) for text in settings)
    if n * (SLOW if slow else 1) > LIVE:
        st.button(
            "Count the examples",
            on_click=state.choose,
            args=("counted", asked),
            type="primary",
            icon=":material/filter_alt:",
        )
        if state.chosen("counted") != asked:
            st.caption(f"Of {n:,} rows this may take a while. You can compile without it.")
            return None
    with st.spinner("Choosing the examples", show_time=True):
        return data_datasets.draft(source, chosen, str(call), data_datasets.settings_id())


def funnel(draft: Draft) -> None:
    """Draw what is left after each step."""
    events = {row["reason"]: row["rows"] for row in draft.funnel if row["unit"] == "events"}
    st.header(words.plural(draft.rows, "example"))
    if draft.rows == 0:
        st.info(
            "Nothing is left to be trained on. The funnel says where it went: widen the filters, "
            "or choose another training format.",
            icon=":material/filter_alt_off:",
        )
    said = [
        f"{name}: " + ", ".join(f"{row['value'] or state.NONE} {row['rows']:,}" for row in rows)
        for name, rows in draft.figures.get("counts", {}).items()
        if len(rows) > 1 or (name == "label" and rows[0]["value"] is not None)
    ]
    if events:
        said.append(
            f"{events.get('received', 0):,} feedback events were received, "
            f"{events.get('attributed', 0):,} of them found their inference"
        )
    chart_card(
        charts.funnel(stages(draft.funnel), what="What is left after each step"),
        draft.funnel,
        key="slice-funnel",
        said=" · ".join(said),
        also=_FUNNEL,
    )


def stages(funnel: list[dict[str, Any]]) -> list[tuple[str, int]]:
    """What remains after each step of a funnel, without the events."""
    found: list[tuple[str, int]] = []
    left = 0
    for row in funnel:
        if row["unit"] == "events" or row["step"] == "kept":
            continue
        if row["rows"] >= 0 and row["step"] in _NAMES:
            left = row["rows"]
            found.append((_NAMES[row["step"]], left))
        elif row["rows"]:
            left += row["rows"]
            found.append((f"Less: {words.code(row['reason'])}", left))
    return found


_NAMES = {"inferences": "All inferences", "slice": "In the slice", "candidates": "Candidates"}


def beside(draft: Draft) -> None:
    """Draw the population against the slice."""
    if not draft.rows:
        return
    st.header("Beside the population")
    sides = draft.figures["beside"]
    rows = cohort_shares(draft.figures["cohorts"], sides)
    if rows:
        chart_card(
            charts.shares(rows, names=("all inferences", "the slice"), what="Share of values"),
            rows,
            key="cohorts",
            said=f"Of {sides['population']['n']:,} and {sides['slice']['n']:,} inferences.",
            also=_BESIDE,
        )
    st.dataframe(
        [
            {
                "figure": title,
                "all inferences": _number(sides["population"][name]),
                "the slice": _number(sides["slice"][name]),
                "what it is": about,
            }
            for name, (title, about) in _FIGURES.items()
        ],
        hide_index=True,
        alt="Figures of all inferences and of those in the slice.",
    )


def cohort_shares(
    cohorts: Mapping[str, list[dict[str, Any]]], sides: Mapping[str, Mapping[str, Any]]
) -> list[dict[str, Any]]:
    """Share of each value in the population and in the slice."""
    return [
        {
            "name": f"{words.code(name)}: {charts.group_name(row['value'])}",
            "first": row["population"] / (sides["population"]["n"] or 1),
            "second": row["slice"] / (sides["slice"]["n"] or 1),
        }
        for name, rows in cohorts.items()
        for row in rows
    ]


def _number(value: float | None) -> str:
    if value is None:
        return "not defined"
    return f"{value:,}" if isinstance(value, int) else f"{value:.3f}"


def preview(draft: Draft) -> None:
    """Show the first examples."""
    if draft.rows:
        st.header("Preview")
        n = draft.preview.num_rows
        rows_table(draft.preview, alt=f"The first {n} of {draft.rows:,} examples.")


def keep(chosen: Slice) -> None:
    """Draw how to save the slice as a file of the project."""
    st.header("Save the slice")
    with (
        st.form("save-slice", border=False),
        st.container(horizontal=True, vertical_alignment="bottom"),
    ):
        name = st.text_input("Name of the slice", key="slice-name", placeholder="thumbs")
        force = st.checkbox("Replace one of that name", key="slice-force")
        save = st.form_submit_button("Save", icon=":material/save:")
    if save:
        try:
            path = save_slice(data.project_dir(), name.strip(), chosen, force=force)
            st.success(f"Saved as {path.relative_to(data.project_dir())}")
        except (WorkbenchError, OSError) as error:
            problem(error if isinstance(error, WorkbenchError) else WorkbenchError(str(error)))
    with st.expander("The slice as a file", icon=":material/description:"):
        st.code(to_toml(chosen), language="toml", wrap_lines=True)


def compile_form(source: Build, chosen: Slice, call: FormatCall) -> None:
    """Draw how to make the next version of a dataset of the slice."""
    st.header("Compile")
    st.caption(
        "Makes the next version of a dataset: the examples with their weights, a card, and all "
        "that is needed to make the same bytes again."
    )
    with (
        st.form("compile", border=False),
        st.container(horizontal=True, vertical_alignment="bottom"),
    ):
        name = st.text_input("Name of the dataset", key="dataset-name", placeholder="thumbs")
        tag = st.text_input(
            "Tag of the version",
            key="dataset-tag",
            placeholder="none",
            help="A name by which the version is found, such as candidate.",
        )
        go = st.form_submit_button("Compile", type="primary", icon=":material/play_arrow:")
    if go:
        state.choose("compiled", None)
        _compile(source, chosen, call, name.strip(), tag.strip())
    done = state.chosen("compiled")
    if done and done["of"] == [source.id, chosen.id, str(call)]:
        st.success(f"{done['name']} {done['version']}: {words.plural(done['rows'], 'example')}")
        link("datasets", "Open the dataset", dataset=done["name"], version=done["version"])
    words_ = ["workbench", "dataset", "compile", name.strip() or "NAME"]
    words_ += ["--slice", state.chosen("slice-name") or "SLICE", "--format", str(call)]
    st.caption("The same without this page, with the slice saved")
    st.code(shlex.join(words_), language="bash", wrap_lines=True)


def _compile(source: Build, chosen: Slice, call: FormatCall, name: str, tag: str) -> None:
    with st.status(f"Compiling {name}", expanded=True) as status:

        def narrate(what: str) -> None:
            status.update(label=f"Compiling {name}: {what}")
            status.write(what.capitalize())

        try:
            made = compile_dataset(
                data.project_dir(),
                name,
                chosen,
                str(call),
                build_id=source.id,
                tags=(tag,) if tag else (),
                narrate=narrate,
            )
        except (WorkbenchError, OSError) as error:
            status.update(label=f"{name or 'The dataset'} was not compiled", state="error")
            problem(error if isinstance(error, WorkbenchError) else WorkbenchError(str(error)))
            return
        status.update(
            label=f"Compiled {name} in {made['seconds']:.1f} s", state="complete", expanded=False
        )
    state.choose(
        "compiled",
        {
            "of": [source.id, chosen.id, str(call)],
            **{key: made[key] for key in ("version", "rows")},
            "name": name,
        },
    )
