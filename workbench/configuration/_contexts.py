"""The ``[context.NAME]`` tables; which keys they have is declared by their join."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from workbench import contract
from workbench.configuration._checks import Checks
from workbench.errors import suggest
from workbench.project import Aggregate, Context, Source
from workbench.registry import Registry

LOGS = ("inferences", "feedback")
_KEYS = ("join", "on", "columns")
_SOURCE_KEYS = ("source", "format", "table", "sql", "storage")
# Named, not imported: the package stands above this module.
_JOINS: Registry[Any] = Registry("workbench.contexts", "context_join", label="join")

#: Tables of the contract whose columns no context stands beside.
_ELSEWHERE = (
    "aliases", "enriched_steps",
    "calibration", "group_metrics", "uncertainty", "agreement", "label_delay",
    "metric_state", "metric_sums", "places",
)  # fmt: skip


def read(checks: Checks, given: object, source: Callable[..., Source]) -> tuple[Context, ...]:
    """Read all contexts.

    Parameters
    ----------
    checks
        Collects the problems.
    given
        The table ``[context]``.
    source
        Reads the keys of a source: ``(section, table, *, table, shape)``.
    """
    if not isinstance(given, dict):
        checks.problems.append("[context] must hold one table per context.")
        return ()
    taken = {
        name
        for table in contract.tables().values()
        if table.name not in _ELSEWHERE
        for name in table.columns
    }
    result = []
    for name, entry in given.items():
        where = f"context.{name}"
        if not isinstance(entry, dict):
            checks.problems.append(f"[{where}] must be a table.")
            continue
        if name.lower() in taken or name.lower().startswith("feedback_"):
            checks.problems.append(f"[{where}] is named like a column. Choose another name.")
        if not re.fullmatch(r"[A-Za-z]\w*", name):
            checks.problems.append(f"[{where}]: a context's name is letters, digits and _.")
        chosen = entry.get("join", "lookup")
        if checks.one_of(f"{where}.join", chosen, _JOINS.names()):
            result.append(_context(checks, name, entry, str(chosen), source))
    return tuple(result)


def _context(
    checks: Checks, name: str, entry: Mapping[str, Any], chosen: str, source: Callable[..., Source]
) -> Context:
    where, join = f"context.{name}", _JOINS.get(chosen)
    own = [option.name for option in join.options]
    known = [*_KEYS, *own]
    if join.source != "none":
        known += [*_SOURCE_KEYS, *(("from",) if join.source == "log" else ())]
    checks.unknown(where, entry, known)
    log = entry.get("from") if join.source == "log" else None
    if log is not None:
        checks.one_of(f"{where}.from", log, LOGS)
        if "source" in entry:
            checks.problems.append(f"[{where}] has both source and from. Keep one of them.")
    times, needed, options = _options(checks, where, entry, join)
    if log is not None and times:
        checks.problems.append(
            f"[{where}] takes its facts from the {log}, whose times are known. "
            f"Leave out {', '.join(times)}."
        )
    read_rows = [entry.get(key) for key in ("on", "columns", *own)]
    context = Context(
        name=name,
        source=(
            None
            if log is not None or join.source == "none"
            else source(where, entry, table=f"context_{name}", shape=json.dumps(read_rows))
        ),
        join=chosen,
        log=None if log is None else str(log),
        on=_on(checks, where, entry.get("on"), join.keys),
        columns=checks.texts(f"{where}.columns", entry.get("columns", [])),
        times=MappingProxyType(times),
        mandatory=tuple(o.name for o in join.options if o.kind == "time" and o.required),
        needed=tuple(dict.fromkeys(needed)),
        options=MappingProxyType(options),
    )
    checks.problems += [f"[{where}] {problem}" for problem in join.problems(context)]
    return context


def _options(
    checks: Checks, where: str, entry: Mapping[str, Any], join: Any
) -> tuple[dict[str, str], list[str], dict[str, Any]]:
    """The source columns of the times, those that other options name, and the options."""
    times: dict[str, str] = {}
    needed: list[str] = []
    options: dict[str, Any] = {}
    for option in join.options:
        place, value = f"{where}.{option.name}", entry.get(option.name)
        if value is None:
            if option.required and not (option.kind == "time" and entry.get("from")):
                checks.problems.append(f"[{where}] needs {option.name}: {option.meaning}.")
            if option.kind != "time":
                options[option.name] = option.default
            if option.kind == "column" and option.default is not None:
                needed.append(option.default)
            continue
        if option.kind == "time":
            column = checks.optional_text(place, value)
            if column is not None:
                times[option.name] = column
        elif option.kind == "column":
            named = checks.texts(place, value)
            options[option.name] = named[0] if isinstance(value, str) and named else named
            needed += named
        elif option.kind == "aggregates":
            options[option.name] = _aggregates(checks, place, value, option.choices)
            needed += [a.column for a in options[option.name] if a.column is not None]
        else:
            options[option.name] = _plain(checks, place, value, option)
    return times, needed, options


def _plain(checks: Checks, place: str, value: object, option: Any) -> Any:
    if option.kind == "duration":
        return checks.duration(place, value)
    if option.kind == "choice":
        checks.one_of(place, value, option.choices)
        return value
    if option.kind == "text":
        return checks.optional_text(place, value)
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if option.kind == "number" and number:
        return float(str(value))
    if option.kind == "count" and isinstance(value, int) and number and value >= 1:
        return value
    wanted = "a number" if option.kind == "number" else "a whole number from 1"
    checks.problems.append(f"{place} = {value!r} must be {wanted}.")
    return option.default


def _aggregates(
    checks: Checks, place: str, given: object, functions: tuple[str, ...]
) -> tuple[Aggregate, ...]:
    """Read ``{ field = "function(column)" }``; `functions` say which of them have a column."""
    if not isinstance(given, dict):
        checks.problems.append(f"{place} must be a table: {{ spent = 'sum(amount)' }}.")
        return ()
    result = []
    forms = {function.split("(")[0]: function for function in functions}
    for name, text in given.items():
        match = re.fullmatch(r"\s*(\w+)\s*(?:\(\s*(.*?)\s*\))?\s*", str(text))
        form = forms.get(match[1]) if match else None
        if match is None or form is None or bool(match[2]) != form.endswith(")"):
            word = match[1] if match else str(text)
            checks.problems.append(
                f"{place}.{name} = {text!r} is not an aggregate. "
                f"{suggest(forms.get(word, word), functions)}"
            )
        elif not re.fullmatch(r"[A-Za-z]\w*", name):
            checks.problems.append(f"{place}.{name}: a field's name is letters, digits and _.")
        else:
            result.append(Aggregate(name=name, function=match[1], column=match[2] or None))
    return tuple(result)


def _on(checks: Checks, where: str, given: object, keys: str) -> tuple[tuple[str, str], ...]:
    if isinstance(given, dict):
        pairs = tuple((str(left), str(right)) for left, right in given.items())
    else:
        names = checks.texts(f"{where}.on", [] if given is None else given)
        pairs = tuple((name, name) for name in names)
    if not pairs and keys == "required":
        checks.problems.append(f"[{where}] needs on, the key: on = 'user_id'.")
    if pairs and keys == "none":
        checks.problems.append(f"[{where}] has no key. Leave out on.")
    columns = contract.table("inferences").columns
    for left, _ in pairs:
        if left not in columns:
            checks.problems.append(
                f"{where}.on: inferences have no column {left!r}. {suggest(left, columns)}"
            )
        elif left in contract.WIDE_COLUMNS:
            checks.problems.append(f"{where}.on: {left!r} cannot be a key.")
    return pairs
