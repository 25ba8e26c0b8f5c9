"""Who answers: the columns that may drive it, and the response rate by each of their values."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence

import ibis
import ibis.expr.datatypes as dt
import ibis.expr.types as ir
import pyarrow as pa
from ibis import _

from workbench import formulas
from workbench.errors import DataError, suggest

Execute = Callable[[ir.Table], pa.Table]

#: What may drive who answers, in any project.
USUAL = (
    "ts", "model_version", "model", "device", "channel", "cohort", "position", "prob_bin",
)  # fmt: skip
#: What is known only because somebody answered.
OF_FEEDBACK = frozenset({
    "reward", "label", "label_reason", "label_index", "label_delay", "correct", "positive",
    "n_events", "n_feedback", "n_raters", "agreement", "calibration_y", "labelled",
})  # fmt: skip
MISSING = "-"
HOUR = "hour(ts)"
_MOST_COLUMNS = 12
_SOME = 50_000
#: What stands between the names and between the values of columns that are crossed.
CROSS, AND = " x ", ", "


def root_of(name: str) -> str:
    """Column of the table that a name such as ``user.tier`` or ``hour(ts)`` reads."""
    return "ts" if name == HOUR else name.partition(".")[0]


def _read(table: ir.Table, name: str) -> ir.Value:
    if name == HOUR and "ts" in table.columns:
        return formulas.hour(table.ts)
    root, *fields = name.split(".")
    if root not in table.columns:
        raise DataError(f"There is no column {name!r}.", suggest(root, table.columns))
    value = table[root]
    for field in fields:
        kind = value.type()
        if not isinstance(kind, dt.Struct) or field not in kind.names:
            inside = kind.names if isinstance(kind, dt.Struct) else ()
            raise DataError(f"There is no column {name!r}.", suggest(field, inside))
        value = value[field]
    return value


def value_of(table: ir.Table, name: str) -> ir.StringValue:
    """Value of a column as text; one that is missing is a text too, and like no other.

    Raises
    ------
    DataError
        If there is no such column, or its values are not few things that have names.
    """
    return ("=" + _few(table, name).cast("string")).fill_null(MISSING)


def _few(table: ir.Table, name: str) -> ir.Value:
    """A column whose values are few things that have names."""
    value = _read(table, name)
    if not _countable(value.type()):
        raise DataError(
            f"{name} is {value.type()}, which has no values to tell apart.",
            "Use a column of texts, whole numbers or booleans, such as prob_bin.",
        )
    return value


def _countable(kind: dt.DataType) -> bool:
    return bool(kind.is_string() or kind.is_integer() or kind.is_boolean())


def check(names: Sequence[str], later: Collection[str]) -> None:
    """Refuse columns that are known only after the inference: they explain nothing.

    Raises
    ------
    DataError
        If one is.
    """
    for name in names:
        if root_of(name) in {*OF_FEEDBACK, *later}:
            raise DataError(
                f"{name} is known only after the inference, so it does not say who will answer.",
                "Leave it out.",
            )


def candidates(
    table: ir.Table, execute: Execute, most: int, *, later: Collection[str] = ()
) -> list[str]:
    """Usual columns, and fields of structs, that have at least two values and at most `most`.

    Parameters
    ----------
    table
        The rows.
    execute
        Runs an expression.
    most
        Greatest number of values.
    later
        Structs of what became known only after the inference.
    """
    names: list[str] = []
    for column, kind in table.schema().items():
        if column == "ts":
            names.append(HOUR)
        elif isinstance(kind, dt.Struct) and column not in later:
            names += [f"{column}.{field}" for field, of in kind.items() if _countable(of)]
        elif column in USUAL and _countable(kind):
            names.append(column)
    if not names:
        return []
    # An hour has 24 values, which are few enough whatever the limit is.
    limits = {name: max(most, 25) if name == HOUR else most for name in names}
    # To count all values of a column that has very many takes longer than all else here.
    some = _n_values(table.limit(_SOME), execute, names)
    names = [name for name in names if some[name] <= limits[name]]
    n = _n_values(table, execute, names)
    return [name for name in names if 2 <= n[name] <= limits[name]][:_MOST_COLUMNS]


def _n_values(table: ir.Table, execute: Execute, names: Sequence[str]) -> dict[str, int]:
    """How many values each column has; that one is missing is a value."""
    if not names:
        return {}
    read = {name: _read(table, name) for name in names}
    counts = execute(
        table.aggregate(
            **{f"n{i}": value.nunique() for i, value in enumerate(read.values())},
            **{f"none{i}": value.isnull().any() for i, value in enumerate(read.values())},
        )
    ).to_pylist()[0]
    return {name: counts[f"n{i}"] + bool(counts[f"none{i}"]) for i, name in enumerate(read)}


def rates(table: ir.Table, names: Sequence[str]) -> ir.Table:
    """Response rate by each value of each column.

    Parameters
    ----------
    table
        Inferences with ``n_events``, ``label``, ``reward`` and what the columns read.
    names
        Columns such as ``device``, ``user.tier`` or ``hour(ts)``, or several of them crossed:
        ``device x user.tier``.

    Returns
    -------
    ir.Table
        ``column_name``, ``value`` as text, ``n``, ``n_labelled``, ``response_rate`` (share with an
        event of any kind) and its Wilson interval ``low``, ``high``. A missing value is NULL; among
        crossed ones it is the word NULL.
    """
    parts = {name: name.split(CROSS) for name in names}
    every = dict.fromkeys(part for of in parts.values() for part in of)
    places = {part: f"part_{i}" for i, part in enumerate(every)}
    read = {place: _few(table, part) for part, place in places.items()}
    rows = table.select(**read, **heard(table))
    # Columns are crossed because each has few values: all pairs are added up from one pass.
    together = _counts(rows, list(read)) if sum(len(of) > 1 for of in parts.values()) > 1 else None
    found = []
    for name, of in parts.items():
        own = [places[part] for part in of]
        counts = _counts(rows, own) if together is None else together
        first, *others = (counts[place].cast("string") for place in own)
        value = first
        for other in others:
            value = value.fill_null("NULL") + AND + other.fill_null("NULL")
        counts = counts.select(*_SUMS, value=value).group_by("value")
        # A sum of BIGINT is a HUGEINT, which Arrow has no integer for.
        sums = counts.agg(**{n: _[n].cast("float64").sum().cast("int64") for n in _SUMS})
        rated = _rated(sums, ["value"])
        found.append(
            rated.select(column_name=ibis.literal(name), **{n: rated[n] for n in rated.columns})
        )
    return found[0] if len(found) == 1 else ibis.union(*found)


def heard(table: ir.Table) -> dict[str, ir.BooleanValue]:
    """``answered``: whether an inference has an event of any kind; ``labelled``."""
    return {
        "answered": (table.n_events > 0).fill_null(False),
        "labelled": table.label.notnull() | table.reward.notnull(),
    }


def rate(rows: ir.Table, by: Sequence[str]) -> ir.Table:
    """Response rate of each group of rows that have the columns of `heard`.

    Returns
    -------
    ir.Table
        The columns `by`, ``n``, ``n_labelled``, ``response_rate``, ``low`` and ``high`` (Wilson).
    """
    return _rated(_counts(rows, by), by)


_SUMS = ("n", "n_labelled", "answered")


def _counts(rows: ir.Table, by: Sequence[str]) -> ir.Table:
    return rows.group_by(list(by)).agg(
        n=rows.count(),
        n_labelled=rows.count(where=rows.labelled),
        answered=rows.count(where=rows.answered),
    )


def _rated(counts: ir.Table, by: Sequence[str]) -> ir.Table:
    low, high = formulas.wilson(counts.answered, counts.n)
    return counts.select(
        *by,
        "n",
        "n_labelled",
        response_rate=counts.answered.cast("float64") / counts.n.cast("float64"),
        low=low,
        high=high,
    )
