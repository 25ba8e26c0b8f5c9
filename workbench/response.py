"""Who answers: the columns that may drive it, and the response rate by each of their values."""

from __future__ import annotations

import functools
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass

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
_SOME = 10_000
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
    some = likely(table, execute, most, later=later)
    return few_of(list(some), _n_values(table, execute, list(some)), most)


def likely(
    table: ir.Table, execute: Execute, most: int, *, later: Collection[str] = ()
) -> dict[str, int]:
    """Columns that the first rows do not rule out of `candidates`, with their values there."""
    names: list[str] = []
    for column, kind in table.schema().items():
        if column == "ts":
            names.append(HOUR)
        elif isinstance(kind, dt.Struct) and column not in later:
            names += [f"{column}.{field}" for field, of in kind.items() if _countable(of)]
        elif column in USUAL and _countable(kind):
            names.append(column)
    # To count all values of a column that has very many takes longer than all else here.
    some = _n_values(table.limit(_SOME), execute, names)
    return {name: n for name, n in some.items() if n <= _limit(name, most)}


def few_of(names: Sequence[str], n: Mapping[str, int], most: int) -> list[str]:
    """Those of some columns with `n` values that are `candidates`."""
    return [name for name in names if 2 <= n[name] <= _limit(name, most)][:_MOST_COLUMNS]


def _limit(name: str, most: int) -> int:
    # An hour has 24 values, which are few enough whatever the limit is.
    return max(most, 25) if name == HOUR else most


def _n_values(table: ir.Table, execute: Execute, names: Sequence[str]) -> dict[str, int]:
    """How many values each column has; that one is missing is a value."""
    if not names:
        return {}
    return _counted(table, execute, {name: _read(table, name) for name in names})


def _counted(table: ir.Table, execute: Execute, read: Mapping[str, ir.Value]) -> dict[str, int]:
    counts = execute(
        table.aggregate(
            **{f"n{i}": value.nunique() for i, value in enumerate(read.values())},
            **{f"none{i}": value.isnull().any() for i, value in enumerate(read.values())},
        )
    ).to_pylist()[0]
    return {name: counts[f"n{i}"] + bool(counts[f"none{i}"]) for i, name in enumerate(read)}


@dataclass(frozen=True)
class Cells:
    """Inferences counted by all of some columns at once, of which all else can be added up.

    Attributes
    ----------
    table
        Their counts, with a column for each of `names`.
    names
        The columns.
    """

    table: ir.Table
    names: Sequence[str]

    @property
    def places(self) -> dict[str, str]:
        """The column of `table` that has the values of each name."""
        return {name: f"part_{i}" for i, name in enumerate(self.names)}

    def n_values(self, execute: Execute) -> dict[str, int]:
        """How many values each column has; that one is missing is a value."""
        read = {name: self.table[place] for name, place in self.places.items()}
        return _counted(self.table, execute, read)


def cells_of(table: ir.Table, names: Sequence[str]) -> Cells:
    """Count inferences by columns of few values; `table` is that of `rates`."""
    read = {f"part_{i}": _few(table, name) for i, name in enumerate(names)}
    return Cells(_counts(table.select(**read, **heard(table)), list(read)), names)


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
    every = list(dict.fromkeys(part for of in parts.values() for part in of))
    # Columns are crossed because each has few values: all pairs are added up from one pass.
    if sum(len(of) > 1 for of in parts.values()) > 1:
        return rates_of(cells_of(table, every), names)
    return _rates({name: cells_of(table, of) for name, of in parts.items()})


def rates_of(cells: Cells, names: Sequence[str]) -> ir.Table:
    """`rates` of columns that are among those of `cells`."""
    return _rates(dict.fromkeys(names, cells))


def _rates(cells: Mapping[str, Cells]) -> ir.Table:
    found = []
    for name, of in cells.items():
        counts = of.table
        read = {f"value_{i}": counts[of.places[part]].cast("string")
                for i, part in enumerate(name.split(CROSS))}  # fmt: skip
        if len(read) > 1:
            read = {key: value.fill_null("NULL") for key, value in read.items()}
        # A sum of BIGINT is a HUGEINT, which Arrow has no integer for.
        sums = counts.select(*_SUMS, **read).group_by(list(read)).agg(
            **{n: _[n].cast("float64").sum().cast("int64") for n in _SUMS}
        )  # fmt: skip
        # The texts of each pair are put together once.
        value = functools.reduce(lambda one, other: one + AND + other, (sums[key] for key in read))
        found.append(sums.select(*_SUMS, column_name=ibis.literal(name), value=value))
    # The formula of the interval stands in the query once: to plan it takes longer than to add up.
    return _rated(found[0] if len(found) == 1 else ibis.union(*found), ["column_name", "value"])


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
