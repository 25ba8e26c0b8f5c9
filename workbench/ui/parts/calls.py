"""Widgets for registered things that take parameters; the value is their written form."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import streamlit as st

from workbench.calls import Parametrised, write_call
from workbench.guide import Param
from workbench.ui import state
from workbench.ui.parts import words
from workbench.ui.parts.controls import BOUND


def call_choice(
    label: str,
    names: Sequence[str],
    key: str,
    *,
    help: str,
    index: int | None = None,
    none: str = "",
) -> str | None:
    """Draw the choice of one registered thing, and return its written form.

    Parameters
    ----------
    label, help
        What is chosen, and why one would.
    names
        What there is.
    key
        Key of the choice.
    index
        The default; None for none.
    none
        What it means that none is chosen.
    """
    before = state.given(key)
    more = [before] if isinstance(before, str) else before
    text = st.selectbox(
        label,
        list(dict.fromkeys([*names, *more])),
        index,
        key=key,
        bind=BOUND,
        accept_new_options=True,
        placeholder=none,
        help=help,
    )
    return str(text) if text else None


def parameters(
    key: str,
    entry: Parametrised,
    given: Mapping[str, Any],
    write: Callable[[str], None],
) -> None:
    """Draw the parameters of a chosen thing behind a button; nothing where it takes none.

    Parameters
    ----------
    key
        Where in the page it stands.
    entry
        The thing.
    given
        The values of all of its parameters.
    write
        Takes its written form when one is changed.
    """
    if not entry.params:
        return
    keys = {name: f"{key}-{entry.name}-{name}" for name in entry.params}

    def take() -> None:
        values = {name: state.chosen(each) for name, each in keys.items()}
        write(
            write_call(
                entry,
                {
                    name: entry.params[name].default if value is None else value
                    for name, value in values.items()
                },
            )
        )

    with st.popover(f"Settings of {words.code(entry.name)}", icon=":material/tune:"):
        for name, param in entry.params.items():
            state.choose(keys[name], given[name])
            _widget(name, param, keys[name], take)


def _widget(name: str, param: Param, key: str, take: Callable[[], None]) -> None:
    label = words.code(name).capitalize()
    shared: dict[str, Any] = {"key": key, "on_change": take, "help": param.about or None}
    if param.choices:
        shown = {"": "none"}
        st.selectbox(
            label, param.choices, format_func=lambda one: shown.get(one, str(one)), **shared
        )
    elif isinstance(param.default, bool):
        st.toggle(label, **shared)
    elif isinstance(param.default, (int, float)):
        kind: Any = type(param.default)
        ends = [None if end is None else kind(end) for end in (param.minimum, param.maximum)]
        state.choose(key, kind(state.chosen(key)))
        look: Any = {"step": 1, "format": "%d"} if kind is int else {"step": 0.05, "format": "%g"}
        st.number_input(label, min_value=ends[0], max_value=ends[1], **look, **shared)
    else:
        st.text_input(label, **shared)
