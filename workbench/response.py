"""Who answers: the columns that may drive it, and the response rate by each of their values."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence

import ibis
import ibis.expr.datatypes as dt
import ibis.expr.types as ir
import pyarrow as pa

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
#: What stands between the names and between the values of columns that are crossed.
CROSS, AND = " x ", ", "


def root_of(name: str) -> str:
    """Column of the table that a name such as ``user.tier`` or ``hour(ts)`` reads."""
    return "ts" if name == HOUR else name.partition(".")[0]


def _read(table: ir.Table, name: str) -> ir.Value:
    if name == HOUR and "ts" in table.columns:
        return table.ts.hour()
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
    return ("=" + _text(table, name)).fill_null(MISSING)


def _text(table: ir.Table, name: str) -> ir.StringValue:
    value = _read(table, name)
    if not _countable(value.type()):
        raise DataError(
            f"{name} is {value.type()}, which has no values to tell apart.",
            "Use a column of texts, whole numbers or booleans, such as prob_bin.",
        )
    return value.cast("string")


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
    counts = execute(
        table.aggregate(
            **{f"c{i}": value_of(table, name).nunique() for i, name in enumerate(names)}
        )
    ).to_pylist()[0]
    # An hour has 24 values, which are few enough whatever the limit is.
    limits = [max(most, 25) if name == HOUR else most for name in names]
    few = [n for i, n in enumerate(names) if 2 <= counts[f"c{i}"] <= limits[i]]
    return few[:_MOST_COLUMNS]


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
    found = [_rates(table, name) for name in names]
    return found[0] if len(found) == 1 else ibis.union(*found)


def _rates(table: ir.Table, name: str) -> ir.Table:
    parts = name.split(CROSS)
    value = _text(table, parts[0])
    for part in parts[1:]:
        value = value.fill_null("NULL") + AND + _text(table, part).fill_null("NULL")
    rows = table.select(value=value, **heard(table))
    found = rate(rows, ["value"])
    return found.select(column_name=ibis.literal(name), **{n: found[n] for n in found.columns})


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
    counts = rows.group_by(list(by)).agg(
        n=rows.count(),
        n_labelled=rows.count(where=rows.labelled),
        answered=rows.count(where=rows.answered),
    )
    low, high = formulas.wilson(counts.answered, counts.n)
    return counts.select(
        *by,
        "n",
        "n_labelled",
        response_rate=counts.answered.cast("float64") / counts.n.cast("float64"),
        low=low,
        high=high,
    )
