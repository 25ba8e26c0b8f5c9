"""The parts of the record page."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Literal

import streamlit as st

from workbench.query import Build
from workbench.ui import data
from workbench.ui.parts import words
from workbench.ui.parts.controls import BOUND

_TEXTS = (("input", "Input"), ("reasoning", "Reasoning"), ("output", "Output"))
_VERDICT = ("prediction", "label", "correct", "reward", "confidence", "score")


def chooser() -> str | None:
    """Draw the field for the request_id."""
    return st.text_input("request_id", key="request", bind=BOUND, placeholder="r-000123") or None


def verdict(found: Mapping[str, Any]) -> None:
    """Show what the model said and what it turned out to be."""
    with st.container(horizontal=True):
        for name in _VERDICT:
            value = found.get(name)
            if value is not None:
                shown = f"{value:.3f}" if isinstance(value, float) else str(value)
                with st.container(border=True, width=150):
                    st.metric(name, shown)
    if found.get("label") is None and found.get("reward") is None:
        st.caption(f"No label: {words.code(str(found.get('label_reason') or 'no feedback'))}.")


def texts(found: Mapping[str, Any]) -> None:
    """Show the long texts whole, as they are."""
    for name, title in _TEXTS:
        if found.get(name):
            st.subheader(title)
            st.code(str(found[name]), language=None, wrap_lines=True, height=_height(found[name]))


def _height(text: str) -> int | Literal["content"]:
    return 320 if len(text) > 3000 or text.count("\n") > 14 else "content"


def fields(source: Build, found: Mapping[str, Any]) -> None:
    """Show all plain fields with what they mean."""
    skip = {name for name, _ in _TEXTS}
    meaning = {
        row["column"]: row["comment"] for row in data.relations(source).get(data.RELATION, [])
    }
    rows = [
        {"field": name, "value": plain(value), "meaning": meaning.get(name, "")}
        for name, value in found.items()
        if name not in skip and value is not None and not _is_table(value)
        if not isinstance(value, dict)
    ]
    st.subheader("Inference")
    st.dataframe(
        rows,
        hide_index=True,
        # A key and a time are to be read whole.
        column_config={"value": st.column_config.TextColumn(width=310)},
        alt="The fields of the inference that have a value.",
    )
    for name, value in found.items():
        if _is_table(value):
            st.subheader(words.code(name).capitalize())
            _rows(value, f"The {words.code(name)} of the inference.")


def contexts(source: Build, found: Mapping[str, Any]) -> None:
    """Show the features and each context as a section: its facts, their origin and their age."""
    reports = source.manifest["status"]["contexts"]
    ages = data.context_ages(source, str(found["request_id"])) if reports else {}
    sections = [("features", None), *reports.items()] if found.get("features") else reports.items()
    sides = st.columns(2)
    for place, (name, report) in enumerate(sections):
        with sides[place % 2]:
            st.subheader("Features" if report is None else f"Context: {name}")
            if report is not None:
                _provenance(report, ages.get(f"{name}__age"), ages.get(f"{name}__reason"))
            if found.get(name) is not None:
                _facts(found[name], name)


def _provenance(report: Mapping[str, Any], age: float | None, reason: str | None) -> None:
    """Say how a context is joined, from what, how old it was, or why there is nothing."""
    parts = [words.code(report["join"]), ", ".join(report["source"])]
    st.caption(" · ".join([*parts, *([] if age is None else [words.age(age)])]))
    if reason is not None:
        st.caption(f"{words.context_reason(reason)} (`{reason}`)")


def _facts(facts: Mapping[str, Any], name: str) -> None:
    rows = [
        {"field": key, "value": plain(value)}
        for key, value in facts.items()
        # A list of records has a table of its own, and none where it is empty.
        if value is not None and value != [] and not _is_table(value)
    ]
    if rows:
        st.dataframe(rows, hide_index=True, alt=f"What was known as {name}.")
    for key, value in facts.items():
        if _is_table(value):
            st.caption(words.code(key).capitalize())
            _rows(value, f"The {words.code(key)} of {name}.")


def _is_table(value: Any) -> bool:
    """Whether a value is a list of records."""
    return isinstance(value, list) and bool(value) and isinstance(value[0], dict)


def _rows(rows: Sequence[Mapping[str, Any]], alt: str) -> None:
    shown = [
        {key: plain(v) if isinstance(v, list | dict) else v for key, v in row.items()}
        for row in rows
    ]
    times = {key for row in rows for key, value in row.items() if isinstance(value, datetime)}
    config = {
        key: st.column_config.DatetimeColumn(format="YYYY-MM-DD HH:mm:ss", timezone="UTC")
        for key in times
    }
    st.dataframe(shown, hide_index=True, column_config=config, alt=alt)


def events(found: Sequence[Mapping[str, Any]]) -> None:
    """Show every feedback event that judges the inference, raw."""
    st.subheader(words.plural(len(found), "feedback event"))
    if not found:
        st.caption("Nobody judged this inference. That does not mean that it was right or wrong.")
    for event in found:
        said = " · ".join(str(event[name]) for name in ("name", "value") if event.get(name))
        with st.expander(f"{said} · {words.when(event.get('ts'))}", icon=":material/reviews:"):
            rows = [
                {"field": name, "value": plain(value)}
                for name, value in event.items()
                if name != "raw" and value is not None
            ]
            st.dataframe(
                rows, hide_index=True, alt="The fields of the event, attribution included."
            )
            st.caption("As it was received")
            st.code(str(event.get("raw") or ""), language="json", wrap_lines=True)


def plain(value: Any) -> str:
    """Return a value of any type as one line of text; of a number what the eye can take in."""
    if isinstance(value, float):
        return f"{value:.6g}" if abs(value) < 1e6 else str(value)
    if isinstance(value, list) and not any(isinstance(one, list | dict) for one in value):
        return ", ".join(map(plain, value))
    if isinstance(value, list | dict):
        return json.dumps(value, ensure_ascii=False, default=str)
    return str(value)
