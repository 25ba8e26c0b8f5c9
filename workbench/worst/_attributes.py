"""What a slice may be made of: columns of few values, and ranges of numbers."""

from __future__ import annotations

import math
import re
from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from fractions import Fraction
from itertools import accumulate
from typing import Any

import ibis.expr.datatypes as dt

from workbench.configuration import load
from workbench.engine import identifier, literal
from workbench.query import Build
from workbench.scratch import Scratch

RELATION = "enriched_inferences"

#: Columns of the log that say where and for whom, not what the model answered or what came of it.
LOGGED = (
    "model_version", "model", "device", "channel", "cohort", "position", "step", "item_id",
    "source_system", "latency_ms", "input_tokens", "output_tokens",
)  # fmt: skip

#: More values than this, and a text is no segment.
MOST_VALUES = 30
#: Up to so many values, a number is taken by value; else by ranges.
FEW_NUMBERS = 8
#: Where ranges are cut: fine at the ends, where a fault of the surroundings shows.
CUTS = (0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99)
#: Characters of a number that is the same as a DECIMAL and as a DOUBLE.
_SHORT = 15
#: Columns that are searched at most: the pairs grow with the square.
MOST_ATTRIBUTES = 48


@dataclass(frozen=True)
class Attribute:
    """One column that slices are made of.

    Attributes
    ----------
    name
        As a person writes it.
    held
        Its column among the held rows.
    values
        Its values, rising; empty for ranges.
    cuts
        Where the ranges begin, as text; empty for values.
    has_nan
        Whether it holds NaN, which SQL takes for the greatest number.
    """

    name: str
    held: str
    values: tuple[Any, ...] = ()
    cuts: tuple[str, ...] = ()
    has_nan: bool = False

    @property
    def code(self) -> str:
        """SQL over the held rows: the place of the value or range, and one past the last for NULL.

        Small numbers group several times as fast as texts.
        """
        last = len(self.values) or len(self.cuts) + 1
        if self.cuts:
            coded = self._between(0, len(self.cuts))
        else:
            listed = ", ".join(map(_written, self.values))
            coded = f"coalesce(list_position([{listed}], {self.held}) - 1, {last})"
        return f"CAST({coded} AS UTINYINT)"

    def _between(self, low: int, high: int) -> str:
        """SQL of the range, found by halving those from `low` to `high`."""
        if low < high:
            middle = (low + high) // 2
            below, above = self._between(low, middle), self._between(middle + 1, high)
            return f"CASE WHEN {self.held} < {self.cuts[middle]} THEN {below} ELSE {above} END"
        last = len(self.cuts)
        if low < last:
            return str(low)
        # NULL and NaN are below no cut.
        missing = self.condition(last + 1, self.held)
        return f"CASE WHEN {missing} THEN {last + 1} ELSE {last} END"

    def is_null(self, code: int) -> bool:
        """Whether it is the code of NULL."""
        return code == (len(self.values) or len(self.cuts) + 1)

    def condition(self, code: int, name: str | None = None) -> str:
        """SQL of the rows with this code, over the column called `name`."""
        name = name or self.name
        if self.is_null(code):
            return f"({name} IS NULL OR isnan({name}))" if self.has_nan else f"{name} IS NULL"
        if not self.cuts:
            return f"{name} = {_written(self.values[code])}"
        low = self.cuts[code - 1] if code else None
        high = self.cuts[code] if code < len(self.cuts) else None
        parts = [f"{name} >= {low}"] if low else []
        parts += [f"{name} < {high}"] if high else []
        if self.has_nan and high is None:
            parts.append(f"NOT isnan({name})")
        return " AND ".join(parts)

    def label(self, code: int) -> Any:
        """What a person reads: the value, or the range; None for NULL."""
        if self.is_null(code):
            return None
        if not self.cuts:
            return self.values[code]
        if code == 0:
            return f"< {self.cuts[0]}"
        if code == len(self.cuts):
            return f">= {self.cuts[-1]}"
        return f"{self.cuts[code - 1]} to {self.cuts[code]}"


_SOME = 10_000
#: From so many numbers on they are counted, in so many ranges of equal width, and at most this
#: share of them is sorted.
_MANY, _BINS, _SORTED = 100_000, 4000, 0.1

#: Types of values that can be written down in a condition.
_WRITTEN = (str, bool, int, float, Decimal, date)


def _written(value: Any) -> str:
    """`value` as an SQL literal that is equal to it."""
    if isinstance(value, str):
        return literal(value)
    if isinstance(value, float) and not math.isfinite(value):
        return f"CAST('{value}' AS DOUBLE)"
    if isinstance(value, float) and len(repr(value)) > _SHORT and "e" not in repr(value):
        # Without an exponent it is a DECIMAL, which may become the number next to it.
        return f"{value!r}e0"
    if isinstance(value, datetime):
        return f"TIMESTAMPTZ '{value.isoformat()}'" if value.tzinfo else f"TIMESTAMP '{value}'"
    return f"DATE '{value}'" if isinstance(value, date) else str(value).lower()


def candidates(build: Build, columns: Sequence[str] = ()) -> dict[str, str]:
    """Expressions that slices may be made of, as a person writes them, with their SQL.

    Parameters
    ----------
    build
        The build to read.
    columns
        SQL expressions to use in place of all. By default: what the log says of where and for
        whom, the features, and the contexts that do not look forward.
    """
    if columns:
        return {text.strip(): build.expression(text) for text in columns}
    schema = build.table(RELATION).schema()
    keywords = build.arrow(
        "SELECT keyword_name FROM duckdb_keywords() WHERE keyword_category = 'reserved'"
    )
    reserved = set(keywords.column(0).to_pylist())

    def quoted(name: str) -> str:
        plain = re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name) and name.lower() not in reserved
        return name if plain else identifier(name)

    found = [name for name in LOGGED if name in schema]
    # To read one wide column, every row of the lake is read.
    if "tags" in schema and build.count(
        f"SELECT 1 AS one FROM {RELATION} WHERE tags IS NOT NULL LIMIT 1"
    ):
        found.append("tags[1]")
    without = () if load(build.project_dir).inferences.features else ("features",)
    for name, dtype in schema.items():
        if name in without:
            continue
        # A context that has a maturity looks forward: it is a consequence and no segment.
        if dtype.is_struct() and "mature" not in dtype.names:
            found += [f"{quoted(name)}.{quoted(field)}" for field in _flat(dtype)]
    return {text: text for text in found}


def _flat(struct: dt.Struct) -> Iterator[str]:
    for name, dtype in struct.items():
        if dtype.is_string() or dtype.is_numeric() or dtype.is_boolean():
            yield name


def attributes(rows: Scratch, names: Mapping[str, str]) -> list[Attribute]:
    """Those of the held columns that make slices, with their values or ranges.

    Parameters
    ----------
    rows
        The held rows.
    names
        What a person writes, by held column.
    """
    if not names:
        return []
    types = {
        name: dtype
        for name, dtype, *_ in rows.connection.execute(f"DESCRIBE {rows.name}").fetchall()
    }
    few = {held: FEW_NUMBERS if _is_number(types[held]) else MOST_VALUES for held in names}
    # Of a column that has very many, to look for all values takes longer than all else here.
    counts = ", ".join(f"count(DISTINCT {held}) AS {held}" for held in names)
    (some,) = rows.run(f"SELECT {counts} FROM (FROM {rows.name} LIMIT {_SOME})").to_pylist()
    result = []
    for held, name in names.items():
        values = _values(rows, held, few[held]) if some[held] <= few[held] else None
        if _is_number(types[held]) and (values is None or any(map(_is_nan, values))):
            found = _ranges(rows, name, held, types[held])
            result += [found] if found.cuts else []
        elif values and all(isinstance(value, _WRITTEN) for value in values):
            result.append(Attribute(name, held, values=tuple(values)))
        if len(result) == MOST_ATTRIBUTES:
            break
    return result


def _values(rows: Scratch, held: str, most: int) -> list[Any] | None:
    """The values of a column, rising; None if they are more than `most`."""
    # A query for each column: small groups are found ten times as fast as several at once.
    found: list[Any] = rows.run(
        f"SELECT {held} FROM (SELECT DISTINCT {held} FROM {rows.name} WHERE {held} IS NOT NULL "
        f"LIMIT {most + 1}) ORDER BY 1"
    )[held].to_pylist()
    return found if len(found) <= most else None


def _ranges(rows: Scratch, name: str, held: str, dtype: str) -> Attribute:
    """Ranges of a number; without cuts where there are none."""
    has_nan = (
        f"coalesce(bool_or(isnan({held})), false)" if dtype in ("DOUBLE", "FLOAT") else "false"
    )
    (found,) = rows.run(
        f"SELECT count({held}) AS n, min({held}) AS least, max({held}) AS most, "
        f"{has_nan} AS has_nan FROM {rows.name}"
    ).to_pylist()
    if not found["n"]:
        return Attribute(name, held, has_nan=found["has_nan"])
    quantiles = _counted_quantiles(rows, held, **found)
    if quantiles is None:
        quantiles = rows.run(
            f"SELECT quantile_disc({held}, {list(CUTS)}) AS cuts FROM {rows.name}"
        )["cuts"][0].as_py()  # fmt: skip
    return Attribute(name, held, cuts=_cuts(quantiles, found["least"]), has_nan=found["has_nan"])


def _counted_quantiles(
    rows: Scratch, held: str, n: int, least: Any, most: Any, has_nan: bool
) -> list[Any] | None:
    """``quantile_disc`` of `CUTS`; None where too many values lie close together.

    Most values are counted and not sorted.
    """
    width = float(most) - float(least)
    if n < _MANY or has_nan or not 0.0 < width < math.inf or math.isinf(_BINS / width):
        return None
    # The greater of two numbers is in no lower bin, however both are rounded.
    place = (
        f"CAST(floor(({held}::DOUBLE - ({float(least)!r}::DOUBLE)) "
        f"* {_BINS / width!r}::DOUBLE) AS SMALLINT)"
    )
    counted = rows.run(
        f"SELECT {place} AS bin, count(*) AS n FROM {rows.name} "
        f"WHERE {held} IS NOT NULL GROUP BY bin ORDER BY bin"
    ).to_pydict()
    ends = list(accumulate(counted["n"]))
    ranks = [max(math.ceil(n * Fraction(str(cut))), 1) - 1 for cut in CUTS]
    bins = [bisect_right(ends, rank) for rank in ranks]
    if sum(counted["n"][i] for i in set(bins)) > n * _SORTED:
        return None
    among = ", ".join(str(counted["bin"][i]) for i in sorted(set(bins)))
    sorted_values = rows.run(
        f"SELECT {held} AS value FROM {rows.name} WHERE {place} IN ({among}) ORDER BY value"
    )["value"]
    starts: dict[int, int] = {}
    before = 0
    for i in sorted(set(bins)):
        # The place of the bin among what was sorted, less that among all.
        starts[i] = before - (ends[i] - counted["n"][i])
        before += counted["n"][i]
    return [sorted_values[rank + starts[i]].as_py() for rank, i in zip(ranks, bins, strict=True)]


def _is_nan(value: Any) -> bool:
    return isinstance(value, float) and math.isnan(value)


def _is_number(dtype: str) -> bool:
    return dtype.startswith(
        ("DOUBLE", "FLOAT", "DECIMAL", "TINYINT", "SMALLINT", "INTEGER", "BIGINT", "HUGEINT", "U")
    ) and not dtype.startswith("UUID")


def _cuts(quantiles: Sequence[Any], least: Any) -> tuple[str, ...]:
    """Short numbers near the quantiles, rising; none that all rows are above."""
    numbers = [float(value) for value in quantiles if math.isfinite(value)]
    cuts = {float(f"{number:.4g}") for number in numbers}
    return tuple(f"{cut:.15g}" for cut in sorted(cuts) if cut > float(least))
