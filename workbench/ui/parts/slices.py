"""The parts of the Slices page: choose rows, and take over a saved choice."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import streamlit as st

from workbench.cleaners import cleaners, parse_cleaner
from workbench.datasets import Slice
from workbench.datasets.slice import DEFAULT_CLEANERS
from workbench.datasets.slices import load_slice
from workbench.datasets.slices import names as saved_names
from workbench.datasets.split import parse_split
from workbench.errors import ConfigError, WorkbenchError
from workbench.query import Build
from workbench.samplers import parse_sampler, samplers
from workbench.training_formats import FormatCall, parse_training_format, training_formats
from workbench.ui import data, data_datasets, state
from workbench.ui.parts.calls import call_choice, parameters
from workbench.ui.parts.controls import BOUND
from workbench.ui.parts.empty import problem
from workbench.ui.parts.export import RELATIONS


def from_link() -> None:
    """Take over the slice of the version of a dataset that the link names, if it names one."""
    name, _, version = (state.take_param("of") or "").partition("@")
    if name:
        made = data_datasets.dataset(name).manifest(version)
        take_over(Slice(**made["slice"]), made["training_format"])


def saved() -> None:
    """Draw the choice of a saved slice."""
    names = saved_names(data.project_dir())
    if not names:
        return
    with st.container(horizontal=True, vertical_alignment="bottom"):
        name = st.selectbox(
            "Saved slices", names, None, key="saved-slice", placeholder="choose one", width=320
        )
        st.button(
            "Load",
            on_click=_load,
            args=(name,),
            disabled=name is None,
            icon=":material/edit_note:",
        )
    failed = state.chosen("slice-problem")
    if failed:
        problem(failed)


def _load(name: str) -> None:
    try:
        chosen = load_slice(data.project_dir(), name)
        if chosen.limit == 0:
            raise ConfigError(f"The slice {name!r} takes no rows.", "Give it a limit of 1 or more.")
        take_over(chosen)
    except WorkbenchError as error:
        state.choose("slice-problem", error)


def take_over(chosen: Slice, training_format: str | None = None) -> None:
    """Set all widgets to what a slice says. Call it before they are drawn."""
    state.clear_filters()
    for key, value in widgets(chosen).items():
        state.choose(key, value)
    if training_format:
        state.choose("training", training_format)


def widgets(chosen: Slice) -> dict[str, Any]:
    """The value of each widget for a slice, by its key."""
    return {
        "where": chosen.where or "",
        "relation": chosen.relation,
        "columns": list(chosen.columns),
        "limit": chosen.limit,
        "sampler": chosen.sampler,
        "seed": chosen.seed,
        "tokens": chosen.tokens,
        "target": chosen.target,
        "clean": list(chosen.clean),
        "splits": str(chosen.split) if chosen.split else "",
        "slice-problem": None,
    }


def choose(source: Build, conditions: list[tuple[str, str]]) -> tuple[Slice, FormatCall]:
    """Draw all that a slice says, and return it with the training format.

    Raises
    ------
    ConfigError
        If it is no slice.
    """
    with st.container(border=True):
        call, target, relation = _examples()
        sampler, limit, tokens, seed = _draw()
        clean, split, columns = _rest(source, relation)
    return (
        Slice(
            relation=relation,
            where=condition(conditions),
            columns=tuple(columns),
            limit=limit,
            sampler=sampler,
            seed=seed,
            tokens=tokens,
            target=target,
            clean=tuple(clean),
            split=parse_split(split) if split.strip() else None,
        ),
        call,
    )


def condition(conditions: list[tuple[str, str]]) -> str | None:
    """All filters as one condition; one alone stays as it was typed."""
    if [name for name, _ in conditions] == ["condition"]:
        return state.filters().where.strip()
    return " AND ".join(sql for _, sql in conditions) or None


def _examples() -> tuple[FormatCall, str | None, str]:
    names = training_formats.names()
    left, middle, right = st.columns(3)
    with left:
        text = call_choice(
            "Training format",
            names,
            "training",
            index=names.index("kto"),
            help="What one example is. "
            + " ".join(f"**{each.name}**: {each.about}" for each in training_formats),
        )
        call = parse_training_format(text or "kto")
        parameters("training", call.format, call.params, _writer("training"))
    targets = call.format.targets
    state.drop_unless("target", targets)
    target = middle.selectbox(
        "Target",
        targets,
        None,
        key="target",
        bind=BOUND,
        placeholder=targets[0],
        help="What an example teaches: what people said of the answer, what the model predicted, "
        "or nothing.",
    )
    relation = right.selectbox(
        "Relation",
        RELATIONS,
        key="relation",
        bind=BOUND,
        help="Which rows the filters are about: inferences, or the feedback on them.",
    )
    st.caption(call.format.about)
    return call, target, relation


def _draw() -> tuple[str | None, int | None, int | None, int]:
    places = st.columns([2, 1, 1, 1])
    with places[0]:
        sampler = call_choice(
            "Sampler",
            samplers.names(),
            "sampler",
            none="uniform",
            help="Which rows are preferred if not all are taken. "
            + " ".join(f"**{each.name}**: {each.about}" for each in samplers),
        )
        drawn = parse_sampler(sampler or "uniform")
        parameters("sampler", drawn.sampler, drawn.params, _writer("sampler"))
    limit = places[1].number_input(
        "Examples at most", 1, None, None, key="limit", bind=BOUND, placeholder="all"
    )
    tokens = places[2].number_input(
        "Tokens at most",
        0,
        None,
        None,
        key="tokens",
        bind=BOUND,
        placeholder="any",
        help="Of prompts and answers together. Where they were not counted: four characters each.",
    )
    seed = places[3].number_input(
        "Seed",
        0,
        None,
        0,
        key="seed",
        bind=BOUND,
        help="The same seed draws the same examples of the same build.",
    )
    st.caption(drawn.sampler.about)
    return sampler, limit, tokens, int(seed or 0)


def _rest(source: Build, relation: str) -> tuple[list[str], str, list[str]]:
    left, middle, right = st.columns([2, 2, 1])
    with left:
        before = state.given("clean")
        clean = st.multiselect(
            "Cleaning, in this order",
            list(dict.fromkeys([*cleaners.names(), *DEFAULT_CLEANERS, *before])),
            list(DEFAULT_CLEANERS),
            key="clean",
            bind=BOUND,
            placeholder="nothing is left out",
            help="What is left out before the draw; each is counted. "
            + " ".join(f"**{each.name}**: {each.about}" for each in cleaners),
        )
        for place, text in enumerate(clean):
            call = parse_cleaner(text)
            parameters(f"clean-{place}", call.cleaner, call.params, _writer("clean", place))
    split = middle.text_input(
        "Split",
        key="splits",
        bind=BOUND,
        placeholder="user_id: train=0.8, test=0.2",
        help="What stays together, and the share of each part. By a column or SQL expression; "
        "`time`: the earliest first; `near_duplicates`: prompts that are nearly alike.",
    )
    columns = right.multiselect(
        "More columns",
        list(source.columns(data.RELATION)),
        key="columns",
        bind=BOUND,
        placeholder="none",
        accept_new_options=True,
        help="Columns of enriched_inferences that each example carries beside its own.",
    )
    return clean, split, columns


def _writer(key: str, place: int | None = None) -> Callable[[str], None]:
    def write(text: str) -> None:
        if place is None:
            state.choose(key, text)
        else:
            before = state.chosen(key)
            state.choose(key, [*before[:place], text, *before[place + 1 :]])

    return write
