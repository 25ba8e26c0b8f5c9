"""What a session has chosen. The only module that touches session state; filters live in the URL.

The key of a bound widget is also its URL parameter, so a link restores the whole view.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

import streamlit as st

from workbench import engine
from workbench.running import RunningQuery

_FILTERS = ("model", "label", "from", "to", "where")
_CHOICES = (
    *("chart", "metric", "by", "group", "q", "request", "relation", "limit", "format"),
    *(
        "bins",
        "rule",
        "split",
        "panel",
        "bin",
        "by2",
        "least",
        "cell",
        "pair",
        "fixed",
        "doubt",
        "tenth",
        "range",
    ),
    *("sure", "column", "method", "every", "since", "chunk", "promise", "worst", "search", "moved"),
    *("training", "target", "sampler", "seed", "tokens", "clean", "splits", "columns"),
    *("dataset", "version", "against", "show", "file", "newer"),
)

#: URL parameter of a link to rows: their SQL condition. Of a parameter that is bound to a widget of
#: the page that it leaves, a link would lose the value.
TAKEN = "slice"

#: How a missing label or group is called in a list of choices.
NONE = "(none)"


@dataclass(frozen=True)
class Filters:
    """The rows of `enriched_inferences` that a session looks at.

    Attributes
    ----------
    models, labels
        Allowed values; all when empty. `NONE` stands for NULL.
    first, last
        First and last day, both included.
    where
        An SQL condition that a person typed, not checked yet.
    """

    models: tuple[str, ...] = ()
    labels: tuple[str, ...] = ()
    first: date | None = None
    last: date | None = None
    where: str = ""

    def steps(self) -> list[tuple[str, str]]:
        """Each filter in words and as an SQL condition."""
        steps = []
        if self.models:
            steps.append(("model version", one_of("model_version", self.models)))
        if self.labels:
            steps.append(("label", one_of("label", self.labels)))
        if self.first:
            steps.append((f"from {self.first}", f"ts >= TIMESTAMPTZ '{self.first} 00:00:00+00'"))
        if self.last:
            end = self.last + timedelta(days=1)
            steps.append((f"to {self.last}", f"ts < TIMESTAMPTZ '{end} 00:00:00+00'"))
        if self.where.strip():
            steps.append(("condition", f"({self.where.strip()}\n)"))
        return steps

    def condition(self) -> str | None:
        """All filters as one SQL condition, or None."""
        return " AND ".join(condition for _, condition in self.steps()) or None


def one_of(expression: str, values: Iterable[str]) -> str:
    """Write the SQL condition that `expression` is one of `values`; `NONE` is NULL."""
    values = list(values)
    listed = ", ".join(engine.literal(value) for value in values if value != NONE)
    parts = [f"{expression} IN ({listed})"] if listed else []
    if NONE in values:
        parts.append(f"{expression} IS NULL")
    return parts[0] if len(parts) == 1 else f"({' OR '.join(parts)})"


def hold() -> None:
    """Keep what a link brought in when the page is changed; call it before any widget is drawn."""
    if TAKEN in st.query_params:
        st.session_state["where"] = st.query_params[TAKEN]
        st.session_state["group"] = None
        # In one step: else the address would lose the condition with the parameter.
        others = {key: st.query_params.get_all(key) for key in st.query_params if key != TAKEN}
        st.query_params.from_dict({**others, "where": st.query_params[TAKEN]})
    for key in (*_FILTERS, *_CHOICES):
        if key in st.session_state:
            # Streamlit forgets a bound value that nobody has set, so it is set.
            st.session_state[key] = st.session_state[key]


def take_param(key: str) -> str | None:
    """Return a parameter that stands for all others of a link; call it before any widget."""
    value = st.query_params.get(key)
    if value is not None:
        st.query_params.from_dict({})
    return value


def filters() -> Filters:
    """Return the filters as they stand; empty before their widgets were first drawn."""
    state = st.session_state
    return Filters(
        models=tuple(state.get("model") or ()),
        labels=tuple(state.get("label") or ()),
        first=state.get("from"),
        last=state.get("to"),
        where=state.get("where") or "",
    )


def clear_filters() -> None:
    """Show all rows again. For use as a callback."""
    st.session_state.update({"model": [], "label": [], "from": None, "to": None, "where": ""})
    st.session_state["group"] = None


def choose(key: str, value: Any) -> None:
    """Set the widget called `key`. For use as a callback, which runs before the widget."""
    st.session_state[key] = value


def chosen(key: str) -> Any:
    """Return the value of the widget called `key`, or None."""
    return st.session_state.get(key)


def given(key: str) -> Any:
    """Return the value of the widget called `key`, or what the link says before it is drawn."""
    return st.session_state.get(key) or st.query_params.get_all(key)


def drop_unless(key: str, options: Sequence[Any]) -> None:
    """Forget a choice that is no longer possible; call it before the widget is drawn."""
    if st.session_state.get(key) is not None and st.session_state[key] not in options:
        st.session_state[key] = None


def pick_from(chart: str, key: str) -> Callable[[], None]:
    """Make a callback that takes over the group of the mark that was clicked in `chart`."""

    def take() -> None:
        event = st.session_state.get(chart) or {}
        points = event.get("selection", {}).get("points", [])
        marks = [point["customdata"] for point in points if point.get("customdata")]
        st.session_state[key] = marks[0][0] if marks else None

    return take


def value_of(name: str | None) -> str | None:
    """Return the text of the group called `name`; None for NULL."""
    return None if name == NONE else name


def grouping() -> str | None:
    """Return the expression that the Explore page groups by."""
    return "prob_bin" if chosen("chart") == "calibration" else chosen("by")


def session_build(current: str) -> str:
    """Id of the build that this session reads: the one that was current when it began."""
    build_id: str = st.session_state.setdefault("build", current)
    return build_id


def load_build(build_id: str) -> None:
    """Read another build from now on. For use as a callback."""
    st.session_state["build"] = build_id


def query() -> RunningQuery | None:
    """Return the query that this session started last."""
    return st.session_state.get("query")


def run_query(start: Callable[..., RunningQuery], sql: str | None = None) -> None:
    """Start `sql`, else what the form holds, ending what ran before. For use as a callback."""
    state = st.session_state
    if (before := query()) is not None:
        before.cancel()
    if sql is not None:
        state["q"], state["explain"] = sql, False
    state["query"] = start(
        state["q"], limit=state["rows"], timeout=float(state["seconds"]), explain=state["explain"]
    )


def append_to_query(text: str) -> None:
    """Add `text` to what the form holds. For use as a callback."""
    st.session_state["q"] = f"{st.session_state.get('q') or ''}\n{text}".lstrip()


def exported() -> dict[str, Any] | None:
    """Say what this session exported last: file, rows and the slice that it holds."""
    return st.session_state.get("exported")


def keep_export(done: dict[str, Any] | None) -> None:
    """Remember the file that was made last."""
    st.session_state["exported"] = done
