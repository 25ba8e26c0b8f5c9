"""Casts from what a source gives to what the contract wants, as SQL, and what does not fit.

DuckDB's own casts are too kind for a ledger: ``TRY_CAST('1.5' AS BIGINT)`` is 2, and a list with
one bad element keeps a NULL there. Here a value either becomes exactly what was meant or is bad.
"""

from __future__ import annotations

from dataclasses import dataclass

from workbench.engine import json_pointer, literal

#: Times outside of these years are taken for a wrong unit or a default, not for a time.
EARLIEST, LATEST = "1990-01-01", "2100-01-01"

#: How a number is written in a text.
NUMBER = r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?|[+-]?(nan|NaN|NAN|inf|Inf|infinity|Infinity)"

_INTEGERS = {"TINYINT", "SMALLINT", "INTEGER", "BIGINT", "HUGEINT"}
_UNSIGNED = {"UTINYINT", "USMALLINT", "UINTEGER", "UBIGINT", "UHUGEINT"}
_FLOATS = {"FLOAT", "DOUBLE"}
_TIMES = {"TIMESTAMP", "TIMESTAMP_S", "TIMESTAMP_MS", "TIMESTAMP_NS", "DATE"}
_STRPTIME = [
    "%Y-%m-%dT%H:%MZ",
    "%Y-%m-%d %H:%M",
    "%Y-%m-%dT%H:%M",
    "%d/%b/%Y:%H:%M:%S %z",
    "%a, %d %b %Y %H:%M:%S %z",
    "%a, %d %b %Y %H:%M:%S GMT",
    "%Y/%m/%d %H:%M:%S",
]


_MEMBER = json_pointer("k")


@dataclass(frozen=True)
class Cast:
    """SQL of a cast.

    Attributes
    ----------
    value
        The value in the contract's type; NULL where it is missing or bad.
    bad
        Condition that is true where a value is there but does not fit; never NULL.
    """

    value: str
    bad: str


def is_numeric(dtype: str) -> bool:
    """Whether `dtype` is a DuckDB number."""
    return dtype in _INTEGERS | _UNSIGNED | _FLOATS or dtype.startswith("DECIMAL")


def is_nested(dtype: str) -> bool:
    """Whether `dtype` is a list, struct or map."""
    return dtype.endswith("]") or dtype.startswith(("STRUCT", "MAP", "UNION"))


def as_text(expression: str, dtype: str) -> str:
    """SQL of a value as text: unquoted, whole numbers without ``.0``, nested values as JSON."""
    if dtype in ("VARCHAR", "JSON"):
        return f"CAST({expression} AS VARCHAR)"
    if dtype in _FLOATS:
        return (
            f"CASE WHEN isfinite({expression}) AND {expression} = floor({expression}) "
            f"AND abs({expression}) < 9007199254740992 "
            f"THEN CAST(CAST({expression} AS BIGINT) AS VARCHAR) "
            f"ELSE CAST({expression} AS VARCHAR) END"
        )
    if dtype in _TIMES or dtype.startswith("TIMESTAMP"):
        return f"strftime(CAST({expression} AS TIMESTAMPTZ), '%Y-%m-%dT%H:%M:%S.%fZ')"
    if is_nested(dtype):
        return f"CAST(to_json({expression}) AS VARCHAR)"
    return f"CAST({expression} AS VARCHAR)"


def cast(expression: str, dtype: str, target: str) -> Cast:
    """Cast `expression` of DuckDB type `dtype` to the contract type `target`.

    A text of nothing but blanks is a missing value for every target but VARCHAR.
    """
    if target == "VARCHAR":
        return Cast(as_text(expression, dtype), "false")
    if target == "TIMESTAMP WITH TIME ZONE":
        return _time(expression, dtype)
    if target.endswith("[]") or target.startswith("STRUCT"):
        return _nested(expression, dtype, target)
    if dtype == target:
        return Cast(expression, "false")
    return _scalar(expression, dtype, target)


def time_in_range(value: str) -> str:
    """Condition that a time is plausible."""
    return (
        f"{value} >= TIMESTAMPTZ '{EARLIEST} 00:00:00+00' "
        f"AND {value} < TIMESTAMPTZ '{LATEST} 00:00:00+00'"
    )


def has_no_zone(expression: str, dtype: str) -> str:
    """Condition that a time was written without its zone, and so is read as UTC."""
    if dtype in _TIMES and dtype != "DATE":
        return f"{expression} IS NOT NULL"
    if dtype in ("VARCHAR", "JSON"):
        return (
            f"coalesce(regexp_matches({expression}, '^\\s*\\d{{4}}-') AND NOT regexp_matches("
            f"{expression}, '(Z|z|[+-]\\d{{2}}(:?\\d{{2}})?|[A-Za-z]+/[A-Za-z_]+|UTC|GMT)\\s*$') "
            f"AND regexp_matches({expression}, '\\d:\\d'), false)"
        )
    return "false"


def _scalar(expression: str, dtype: str, target: str) -> Cast:
    missing = f"{expression} IS NULL"
    text = dtype in ("VARCHAR", "JSON")
    if text:
        expression = f"nullif(trim({expression}), '')"
        missing = f"{expression} IS NULL"
    value = f"TRY_CAST({expression} AS {target})"
    bad = f"{value} IS NULL"
    if text and (target in _INTEGERS | _UNSIGNED | _FLOATS or target.startswith("DECIMAL")):
        # DuckDB also reads 1_000, 0x1F and 0b11, which no log means as numbers.
        value = f"CASE WHEN regexp_full_match({expression}, {literal(NUMBER)}) THEN {value} END"
        bad = f"({value}) IS NULL"
    if target in _INTEGERS | _UNSIGNED and (text or not _is_integer(dtype)):
        number = f"TRY_CAST({expression} AS DOUBLE)"
        bad = f"({bad} OR coalesce({number} <> floor({number}), false))"
    if target == "BOOLEAN" and text:
        value = (
            f"CASE WHEN lower({expression}) IN ('true', '1', 't', 'yes') THEN true "
            f"WHEN lower({expression}) IN ('false', '0', 'f', 'no') THEN false END"
        )
        bad = f"({value}) IS NULL"
    return Cast(value, f"(NOT ({missing}) AND {bad})")


def _is_integer(dtype: str) -> bool:
    return dtype in _INTEGERS | _UNSIGNED or dtype == "BOOLEAN"


def _time(expression: str, dtype: str) -> Cast:
    if dtype == "TIMESTAMP WITH TIME ZONE":
        return Cast(expression, "false")
    if dtype in _TIMES:
        return Cast(f"CAST({expression} AS TIMESTAMPTZ)", "false")
    if is_numeric(dtype):
        value = _epoch(f"CAST({expression} AS DOUBLE)", f"TRY_CAST({expression} AS BIGINT)")
        return Cast(value, f"({expression} IS NOT NULL AND ({value}) IS NULL)")
    text = f"nullif(trim(CAST({expression} AS VARCHAR)), '')"
    number = f"regexp_full_match({text}, '[+-]?\\d+(\\.\\d*)?([eE][+-]?\\d+)?')"
    formats = "[" + ", ".join(literal(entry) for entry in _STRPTIME) + "]"
    value = (
        f"CASE WHEN {number} THEN "
        f"{_epoch(f'TRY_CAST({text} AS DOUBLE)', f'TRY_CAST({text} AS BIGINT)')} "
        f"ELSE coalesce(TRY_CAST({text} AS TIMESTAMPTZ), "
        f"CAST(try_strptime({text}, {formats}) AS TIMESTAMPTZ)) END"
    )
    return Cast(value, f"({text} IS NOT NULL AND ({value}) IS NULL)")


def _epoch(number: str, whole: str) -> str:
    """Seconds, milli-, micro- or nanoseconds since 1970, told apart by their magnitude."""
    size = f"abs({number})"
    micros = (
        f"CASE WHEN {size} < 1e11 THEN CAST(round({number} * 1000000) AS BIGINT) "
        f"WHEN {size} < 1e14 THEN CAST(round({number} * 1000) AS BIGINT) "
        f"WHEN {size} < 1e17 THEN coalesce({whole}, CAST({number} AS BIGINT)) "
        f"WHEN {size} < 9e18 THEN coalesce({whole}, CAST({number} AS BIGINT)) // 1000 END"
    )
    return f"CASE WHEN isfinite({number}) THEN CAST(make_timestamp({micros}) AS TIMESTAMPTZ) END"


def _nested(expression: str, dtype: str, target: str) -> Cast:
    if dtype == target:
        return Cast(expression, "false")
    if target == "VARCHAR[]":
        return _texts(expression, dtype)
    depth = target.count("[]")
    if dtype.count("[]") == depth and is_numeric(dtype.removesuffix("[]" * depth)):
        return Cast(f"CAST({expression} AS {target})", "false")
    text = f"nullif(trim({as_text(expression, dtype)}), '')"
    document = f"CASE WHEN json_valid({text}) THEN CAST({text} AS JSON) END"
    if target == 'STRUCT("name" VARCHAR, "value" DOUBLE)[]':
        document = _pairs(document)
    structure = literal(_structure(target))
    value = f"CASE WHEN json_type({document}) <> 'NULL' THEN from_json({document}, {structure}) END"
    loose = f"from_json({document}, {literal(_structure(target, loose=True))})"
    lost = f"{_nulls(value, target)} <> {_nulls(loose, target)}"
    null = f"coalesce(json_type({document}) = 'NULL', false)"
    bad = (
        f"({text} IS NOT NULL AND NOT {null} AND (({document}) IS NULL "
        f"OR json_type({document}) <> 'ARRAY' OR ({value}) IS NULL OR coalesce({lost}, true)))"
    )
    return Cast(value, bad)


def _texts(expression: str, dtype: str) -> Cast:
    """A list of texts: a list, an object as ``key=value``, else the one text itself."""
    if dtype.endswith("[]"):
        return Cast(f"CAST({expression} AS VARCHAR[])", "false")
    text = f"nullif(trim({as_text(expression, dtype)}), '')"
    kind = f"CASE WHEN json_valid({text}) THEN json_type({text}) END"
    pairs = (
        f"list_transform(json_keys({text}), lambda k: k || '=' || "
        f"coalesce(json_extract_string({text}, {_MEMBER}), ''))"
    )
    value = (
        f"CASE {kind} WHEN 'ARRAY' THEN from_json({text}, '[\"VARCHAR\"]') "
        f"WHEN 'OBJECT' THEN {pairs} WHEN 'NULL' THEN NULL "
        f"ELSE CASE WHEN {text} IS NOT NULL THEN [{text}] END END"
    )
    return Cast(value, "false")


def _pairs(document: str) -> str:
    """An object of numbers as a list of name and value; a list as it is."""
    keys = f"json_keys({document})"
    listed = (
        f"CAST(to_json(list_transform({keys}, lambda k: {{'name': k, 'value': "
        f"json_extract({document}, {_MEMBER})}})) AS JSON)"
    )
    return f"CASE json_type({document}) WHEN 'OBJECT' THEN {listed} ELSE {document} END"


def _structure(target: str, *, loose: bool = False) -> str:
    """JSON structure of a nested contract type; loose leaves every scalar a text."""
    if target.endswith("[]"):
        return f"[{_structure(target[:-2], loose=loose)}]"
    if target.startswith("STRUCT("):
        fields = (field.split(" ", 1) for field in target[7:-1].split(", "))
        parts = [
            f'"{name.strip(chr(34))}":{_structure(dtype, loose=loose)}' for name, dtype in fields
        ]
        return "{" + ",".join(parts) + "}"
    return '"VARCHAR"' if loose else f'"{target}"'


def _nulls(value: str, target: str) -> str:
    """How many values are missing in a nested value."""
    if target.endswith("[][]"):
        value = f"flatten({value})"
    if target.startswith("STRUCT("):
        names = [field.split(" ", 1)[0] for field in target[7:-3].split(", ")]
        missing = " + ".join(f"CAST(e.{name} IS NULL AS INTEGER)" for name in names)
        return f"coalesce(list_sum(list_transform({value}, lambda e: {missing})), 0)"
    return f"len(list_filter({value}, lambda e: e IS NULL))"
