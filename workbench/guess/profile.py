"""What each column of a sample holds: types, domains, shapes, how often values repeat."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import duckdb

from workbench.guess.files import KEY_ROWS, SAMPLE_ROWS, Group, quote
from workbench.guess.names import phrase

_LEAF_DEPTH = 4
_DOMAIN = 60
_NUMBER = r"^[+-]?(\d+\.?\d*([eE][+-]?\d+)?|\.\d+)$"
_DAY_FIRST = r"^\d{1,2}\.\d{1,2}\.\d{4}"
_SLASHED = r"^\d{1,2}/\d{1,2}/\d{4}"
_SENTINEL = r"(^|[^\d.])-9999?(\.0+)?($|[^\d.])"
_UUID = r"^[0-9a-fA-F]{8}-?([0-9a-fA-F]{4}-?){3}[0-9a-fA-F]{12}$"

_STATS = {
    "n": "count(*)",
    "filled": "count(t)",
    "distinct": "count(DISTINCT t)",
    "numbers": f"count(*) FILTER (regexp_matches(t, '{_NUMBER}'))",
    "integers": r"count(*) FILTER (regexp_matches(t, '^[+-]?\d{1,18}(\.0+)?$'))",
    "plain_integers": r"count(*) FILTER (regexp_matches(t, '^-?(0|[1-9]\d{0,17})$'))",
    "low": "min(x)",
    "high": "max(x)",
    "booleans": "count(*) FILTER (lower(t) IN ('true', 'false'))",
    "times": r"count(*) FILTER (regexp_matches(t, '^\d{4}-\d{2}-\d{2}') "
    "AND extract(year FROM TRY_CAST(t AS TIMESTAMP)) BETWEEN 1990 AND 2099)",
    "midnights": "count(*) FILTER (TRY_CAST(t AS TIMESTAMP) = "
    "date_trunc('day', TRY_CAST(t AS TIMESTAMP)))",
    "day_first": f"count(*) FILTER (regexp_matches(t, '{_DAY_FIRST}'))",
    "slashed": f"count(*) FILTER (regexp_matches(t, '{_SLASHED}'))",
    "uuids": f"count(*) FILTER (regexp_matches(t, '{_UUID}'))",
    "lists": "count(*) FILTER (left(t, 1) = '[' AND right(t, 1) = ']')",
    "dicts": "count(*) FILTER (left(t, 1) = '{' AND right(t, 1) = '}')",
    "spaced": r"count(*) FILTER (regexp_matches(left(t, 400), '\s'))",
    "mean_length": "coalesce(avg(length(t)), 0)",
    "max_length": "coalesce(max(length(t)), 0)",
    "sentinels": f"count(*) FILTER (regexp_matches(left(t, 4000), '{_SENTINEL}'))",
}


@dataclass(frozen=True)
class Column:
    """One column, or one leaf of a nested one, and what its sample holds.

    Attributes
    ----------
    path
        The column's name and the names below it.
    type
        DuckDB type as read.
    stats
        Counts over the sample, by the names of the module's statistics.
    domain
        Distinct values as text and how often each occurs; empty when there are many.
    """

    path: tuple[str, ...]
    type: str
    stats: dict[str, float]
    domain: dict[str, int]

    @property
    def name(self) -> str:
        """The path as a person reads it."""
        return ".".join(self.path)

    @property
    def sql(self) -> str:
        """The value in SQL over the source's columns."""
        return ".".join(quote(part) for part in self.path)

    @property
    def mapping(self) -> str:
        """What a configuration writes: a bare column name, or a path with quotes where needed."""
        if len(self.path) == 1:
            return self.path[0]
        plain = re.compile(r"[A-Za-z_]\w*")
        parts = [
            part if plain.fullmatch(part) and part.lower() not in _reserved() else quote(part)
            for part in self.path
        ]
        return ".".join(parts)

    @cached_property
    def spoken(self) -> str:
        """The name's words."""
        return phrase(self.path[-1])

    def share(self, statistic: str) -> float:
        """Share of the filled values for which `statistic` counts."""
        filled = self.stats["filled"]
        return self.stats[statistic] / filled if filled else 0.0

    @property
    def filled(self) -> bool:
        """Whether any value is there."""
        return self.stats["filled"] > 0

    @property
    def complete(self) -> bool:
        """Whether no value is missing."""
        return 0 < self.stats["filled"] == self.stats["n"]

    @property
    def nested(self) -> bool:
        """Whether a value is a struct, a list, a map or JSON."""
        if self.type == "JSON":
            return self.share("lists") + self.share("dicts") > 0
        return _is_nested(self.type)

    @property
    def text_sql(self) -> str:
        """The value as text; a JSON text without its quotes."""
        return _text(self.sql, self.type)

    @property
    def numeric(self) -> bool:
        """Whether all values are numbers."""
        return not self.nested and self.share("numbers") == 1

    @property
    def integral(self) -> bool:
        """Whether all values are whole numbers."""
        return not self.nested and self.share("integers") == 1

    @property
    def temporal(self) -> bool:
        """Whether all values but a few are plausible times in ISO form."""
        return not self.nested and not self.numeric and self.share("times") >= 0.98

    @property
    def key_like(self) -> bool:
        """Whether values could be keys: short, without spaces, neither fractions nor times."""
        return (
            self.filled
            and not self.nested
            and not self.temporal
            and (not self.numeric or self.integral)
            and self.share("booleans") == 0
            and self.share("spaced") <= 0.01
            and self.share("lists") + self.share("dicts") == 0
            and self.stats["max_length"] <= 256
        )

    @property
    def text(self) -> bool:
        """Whether values are prose, or messages as nested data or JSON text."""
        if self.nested or self.share("lists") + self.share("dicts") > 0.9:
            return self.filled
        return not self.numeric and not self.temporal and self.share("spaced") > 0.2

    @property
    def few_values(self) -> bool:
        """Whether the values are a small closed set."""
        return bool(self.domain) and len(self.domain) <= max(2, 0.2 * self.stats["filled"])


@dataclass(frozen=True)
class Sample:
    """A group of files with the profile of its columns."""

    group: Group
    view: str
    columns: tuple[Column, ...]
    connection: duckdb.DuckDBPyConnection

    @property
    def rows(self) -> int:
        """Rows of the sample."""
        return int(self.columns[0].stats["n"]) if self.columns else 0

    def find(self, name: str) -> Column | None:
        """Return the top-level column of this name in any case."""
        for column in self.columns:
            if len(column.path) == 1 and column.path[0].casefold() == name.casefold():
                return column
        return None

    def keys(self, column: Column) -> str:
        """Return SQL of the relation `k` (VARCHAR) of all the column's values, up to a bound."""
        return f"(SELECT {column.text_sql} AS k FROM {self.group.relation()} LIMIT {KEY_ROWS})"

    def ask(self, sql: str) -> tuple[float, ...]:
        """One row of numbers; NULL is 0."""
        row = self.connection.execute(sql).fetchone()
        return tuple(float(value or 0) for value in row or ())

    def unique(self, column: Column) -> bool:
        """Whether no value occurs twice and none is missing."""
        if not column.complete or column.stats["distinct"] < column.stats["n"]:
            return False
        n, distinct = self.ask(f"SELECT count(*), count(DISTINCT k) FROM {self.keys(column)}")
        return n == distinct > 0

    def all_values(self, column: Column) -> dict[str, int]:
        """Distinct values beyond the sample and how often each occurs; empty when many."""
        rows = self.connection.execute(
            f"SELECT k, count(*) FROM {self.keys(column)} WHERE trim(k) <> '' "
            f"GROUP BY k ORDER BY 2 DESC, 1 LIMIT {_DOMAIN + 1}"
        ).fetchall()
        return dict(rows) if len(rows) <= _DOMAIN else {}


_words: list[str] = []


def _reserved() -> list[str]:
    if not _words:
        with duckdb.connect() as connection:
            _words.extend(
                word
                for (word,) in connection.execute(
                    "SELECT keyword_name FROM duckdb_keywords() "
                    "WHERE keyword_category <> 'unreserved'"
                ).fetchall()
            )
    return _words


def take(group: Group, connection: duckdb.DuckDBPyConnection, view: str) -> Sample:
    """Load a bounded sample of `group` as the table `view` and profile its columns."""
    each = -(-SAMPLE_ROWS // min(len(group.files), 20))
    parts = [f"(FROM {group.relation([path])} LIMIT {each})" for path in _spread(group.files)]
    if group.vendor:
        parts = [f"(FROM {group.staged} LIMIT {SAMPLE_ROWS})"]
    table = f"CREATE OR REPLACE TEMP TABLE {view} AS"
    try:
        connection.execute(f"{table} {' UNION ALL BY NAME '.join(parts)}")
    except duckdb.ConversionException:
        # The files by themselves suggest types that do not go together.
        together = group.relation(_spread(group.files))
        connection.execute(f"{table} FROM {together} LIMIT {SAMPLE_ROWS}")
    described = connection.execute(
        f"SELECT column_name, column_type FROM (DESCRIBE {view})"
    ).fetchall()
    columns: list[Column] = []
    for name, dtype in described:
        columns.extend(_profile(connection, view, (name,), dtype))
    return Sample(group, view, tuple(columns), connection)


def _spread(files: Sequence[str]) -> list[str]:
    step = max(1, len(files) // 20)
    return list(files[::step][:20])


def _profile(
    connection: duckdb.DuckDBPyConnection, view: str, path: tuple[str, ...], dtype: str
) -> list[Column]:
    value = ".".join(quote(part) for part in path)
    text = _text(value, dtype)
    source = (
        f"(SELECT nullif(trim({text}), '') AS t, TRY_CAST(t AS DOUBLE) AS d, "
        f"CASE WHEN isfinite(d) THEN d END AS x FROM {view})"
    )
    row = connection.execute(
        f"SELECT {', '.join(f'{sql} AS {name}' for name, sql in _STATS.items())} FROM {source}"
    ).fetchone()
    stats = {name: float(v or 0) for name, v in zip(_STATS, row or (), strict=True)}
    domain: dict[str, int] = {}
    if 0 < stats["distinct"] <= _DOMAIN and stats["max_length"] <= 200:
        domain = dict(
            connection.execute(
                f"SELECT t, count(*) FROM {source} WHERE t IS NOT NULL "
                "GROUP BY t ORDER BY 2 DESC, 1"
            ).fetchall()
        )
    result = [Column(path, dtype, stats, domain)]
    if dtype.startswith("STRUCT(") and not dtype.endswith("]") and len(path) < _LEAF_DEPTH:
        for name, inner in connection.execute(
            f"SELECT column_name, column_type FROM (DESCRIBE SELECT unnest({value}) FROM {view})"
        ).fetchall():
            result.extend(_profile(connection, view, (*path, name), inner))
    return result


def _is_nested(dtype: str) -> bool:
    return dtype.endswith("]") or dtype.startswith(("STRUCT", "MAP"))


def _text(value: str, dtype: str) -> str:
    if dtype == "JSON":
        return f"({value} ->> '$')"
    return (
        f"CAST(to_json({value}) AS VARCHAR)" if _is_nested(dtype) else f"CAST({value} AS VARCHAR)"
    )
