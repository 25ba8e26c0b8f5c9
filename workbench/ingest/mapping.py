"""From staged rows to rows of the contract: mapping, casts and checks, all as one query.

The result is one relation with every staged row: the contract's columns, and `REASON` and `FIELD`,
which are NULL for a row that is accepted.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

import duckdb

from workbench import contract, engine
from workbench.engine import identifier, json_path, literal
from workbench.errors import ConfigError, suggest
from workbench.importers import PART, RAW, ROW
from workbench.ingest import casts
from workbench.ingest.base import Base, raw_of, resolve, section
from workbench.ingest.rules import defaults, rules_of
from workbench.project import Source

REASON, FIELD, FLAGS = "__reason", "__field", "flags"
CHECKED = "checked_rows"
NO_ZONE = "__no_zone"
#: Columns of a checked row that are not what its source said.
OWN = {PART, ROW, RAW, REASON, FIELD, NO_ZONE, "__bad"}

#: Texts in which blanks mean that there is no value.
_KEYS = {
    "request_id", "model_version", "user_id", "session_id", "trace_id", "parent_id", "item_id",
    "feedback_id", "name", "kind", "scope", "rater_id", "rater_kind", "chosen_id", "rejected_id",
    "retracts", "alias",
}  # fmt: skip


def check(connection: duckdb.DuckDBPyConnection, source: Source, base: Base) -> None:
    """Map, cast and check the rows of `base` into the relation `CHECKED`; see `checked`.

    It lacks the columns that no row has (`missing_columns`): to write them down takes as long as
    the others. The text of a row is there only where it is kept: of feedback, and of refused rows.
    """
    query, missing = checked(connection, source, base)
    text = f"CASE WHEN {REASON} IS NOT NULL THEN {RAW} END AS {RAW}"
    replaced = "" if source.table == "feedback" else f" REPLACE ({text})"
    connection.execute(
        f"CREATE OR REPLACE TABLE {CHECKED} AS "
        f"SELECT * EXCLUDE ({', '.join(map(identifier, ['__bad', *missing]))}){replaced} "
        f"FROM ({query})"
    )


def missing_columns(table: str, present: Iterable[str]) -> dict[str, str]:
    """Type of each column that a row of `table` has by contract and that is not in `present`."""
    there = set(present)
    return {name: c.type for name, c in _mapped(table).items() if name not in there}


def _mapped(table: str) -> dict[str, contract.Column]:
    """The columns of a lake table that are not made by the workbench alone."""
    own = ("features", *contract.OWN_FEEDBACK_COLUMNS)
    return {n: c for n, c in contract.table(table).columns.items() if n not in own}


def checked(
    connection: duckdb.DuckDBPyConnection, source: Source, base: Base
) -> tuple[str, list[str]]:
    """Query of the rows of `base` mapped, cast and checked; the columns that are NULL in all.

    Raises
    ------
    ConfigError
        If the mapping names what is not there; all such problems are named at once.
    """
    columns = _mapped(source.table)
    inputs, used, problems = _inputs(connection, source, base, columns)
    problems += _missing_mandatory(source, inputs, base)
    features = _feature_inputs(source, base, used, problems)
    if problems:
        noun = "problem" if len(problems) == 1 else "problems"
        raise ConfigError(
            f"The mapping of [{section(source)}] has {len(problems)} {noun}:\n"
            + "\n".join(f"  - {problem}" for problem in problems),
            f"The columns of the source are: {', '.join(base.types) or 'none'}.",
        )
    if "metadata" in columns:
        inputs["metadata"] = _with_left_over(inputs.get("metadata"), base, used)
    selected = [PART, ROW, f"{raw_of(base)} AS {RAW}"]
    values, bads = [], []
    for name, (dtype, sql) in {**inputs, **features}.items():
        target = columns[name].type if name in columns else source.features[feature_of(name)]
        selected.append(f"{sql} AS {identifier('__in_' + name)}")
        given = identifier("__in_" + name)
        result = casts.cast(given, dtype, _canonical(connection, target))
        value = f"nullif(trim({result.value}), '')" if name in _KEYS else result.value
        values.append(f"{value} AS {identifier(name)}")
        if result.bad != "false":
            bads.append((name, result.bad))
        if name == "ts":
            selected.append(f"{casts.has_no_zone(sql, dtype)} AS {NO_ZONE}")
    missing = missing_columns(source.table, inputs)
    nulls = [f"CAST(NULL AS {dtype}) AS {identifier(n)}" for n, dtype in missing.items()]
    no_zone = NO_ZONE if "ts" in inputs else f"false AS {NO_ZONE}"
    bad = (
        "CASE " + " ".join(f"WHEN {c} THEN {literal(n)} " for n, c in bads) + "END"
        if bads
        else ("CAST(NULL AS VARCHAR)")
    )
    cast_sql = (
        f"SELECT {PART}, {ROW}, {RAW}, {no_zone}, {', '.join([*values, *nulls])}, "
        f"{bad} AS __bad FROM (SELECT {', '.join(selected)} FROM {base.relation})"
    )
    rules = rules_of(source, columns)
    reason = " ".join(f"WHEN {c} THEN {literal(r)}" for r, _, c in rules)
    field = " ".join(f"WHEN {c} THEN {literal(f)}" for _, f, c in rules)
    flagged, filled = defaults(source, inputs)
    entries = ", ".join(f"{sql} AS {identifier(name)}" for name, sql in filled.items())
    replaced = f"* REPLACE ({entries})" if filled else "*"
    query = (
        f"SELECT {replaced}, {flagged} AS {FLAGS}, "
        f"CASE WHEN __bad IS NOT NULL THEN 'bad_type' {reason} END AS {REASON}, "
        f"CASE WHEN __bad IS NOT NULL THEN __bad {field} END AS {FIELD} FROM ({cast_sql})"
    )
    return query, [name for name in missing if name not in filled]


def feature_column(name: str) -> str:
    """Lake column of a feature."""
    return f"features.{name}"


def feature_of(column: str) -> str:
    """Feature of a lake column."""
    return column.removeprefix("features.")


def _canonical(connection: duckdb.DuckDBPyConnection, dtype: str) -> str:
    return str(connection.execute(f"SELECT typeof(CAST(NULL AS {dtype}))").fetchall()[0][0])


def _inputs(
    connection: duckdb.DuckDBPyConnection,
    source: Source,
    base: Base,
    columns: Mapping[str, contract.Column],
) -> tuple[dict[str, tuple[str, str]], set[str], list[str]]:
    """Type and SQL of each mapped field, the source columns they use, and what is wrong."""
    inputs: dict[str, tuple[str, str]] = {}
    used: set[str] = set()
    problems: list[str] = []
    for name in columns:
        expression = source.columns.get(name)
        if expression is None:
            same = name if name in base.types else None
            if same is not None:
                inputs[name] = base.texts[same]
                used.add(same)
            continue
        bare = resolve(expression, base.types)
        if bare is not None:
            inputs[name] = base.texts[bare]
            used.add(bare)
            continue
        try:
            query = f"(SELECT (\n{expression}\n) AS e FROM {base.relation})"
            dtype = engine.columns_of(connection, query)["e"]
        except duckdb.Error as error:
            problems.append(_explain(name, expression, base, error))
            continue
        if dtype == '"NULL"':
            dtype = "VARCHAR"
        inputs[name] = (dtype, f"(\n{expression}\n)")
        used |= {
            column
            for column in base.types
            if re.search(rf"(?<!\w){re.escape(column)}(?!\w)", expression, re.IGNORECASE)
        }
    return inputs, used, problems


def _explain(name: str, expression: str, base: Base, error: duckdb.Error) -> str:
    if re.fullmatch(r"\"?[\w .-]+\"?", expression):
        return (
            f"{name} = {expression!r}: the source has no such column. "
            f"{suggest(expression, base.types)} A constant is written \"'{expression}'\"."
        )
    unknown = re.search(r'Referenced column "(.+?)" not found', str(error))
    if unknown:
        return (
            f"{name} = {expression!r}: the source has no column {unknown[1]!r}. "
            f"{suggest(unknown[1], base.types)}"
        )
    return f"{name} = {expression!r}: {engine.message(error)}"


def _missing_mandatory(source: Source, inputs: Mapping[str, object], base: Base) -> list[str]:
    needed = {
        "inferences": ["request_id", "ts", "model_version"],
        "feedback": ["ts", "name"],
        "aliases": ["alias", "request_id"],
    }
    problems = []
    for name in needed[source.table]:
        if name in inputs or name in source.columns or (name == "ts" and source.clock == "none"):
            continue
        hint = suggest(name, base.types, label="one of these columns")
        extra = ', or set clock = "none"' if name == "ts" else ""
        problems.append(f"{name} is mandatory and not mapped{extra}. {hint}")
    if source.table == "feedback":
        carriers = ("value", "corrected_output", "chosen_id", "retracts")
        if not any(name in inputs or name in source.columns for name in carriers):
            problems.append(
                "value is mandatory and not mapped (or corrected_output, or chosen_id and "
                f"rejected_id). {suggest('value', base.types, label='one of these columns')}"
            )
        targets = ("request_id", "session_id", "trace_id", "chosen_id")
        if not any(name in inputs or name in source.columns for name in targets) and not (
            source.optional_request_id and "user_id" in inputs
        ):
            problems.append(
                "request_id is mandatory and not mapped. "
                f"{suggest('request_id', base.types, label='one of these columns')}"
            )
    return problems


def _feature_inputs(
    source: Source, base: Base, used: set[str], problems: list[str]
) -> dict[str, tuple[str, str]]:
    result = {}
    for name in source.features:
        column = resolve(name, base.types)
        if column is None:
            problems.append(
                f"feature {name!r}: the source has no such column. {suggest(name, base.types)}"
            )
        else:
            result[feature_column(name)] = base.texts[column]
            used.add(column)
    return result


def _with_left_over(mapped: tuple[str, str] | None, base: Base, used: set[str]) -> tuple[str, str]:
    """What no field took as one JSON object, beside what is mapped to ``metadata``.

    The members of a mapped object keep their names and their text; a column that has such a name
    is called ``column.NAME``. What is mapped and is no object becomes the member ``metadata``.
    """
    rest = [name for name in base.jsons if name not in used and name in base.types]
    if not rest:
        return mapped or ("VARCHAR", "CAST(NULL AS VARCHAR)")
    values = [base.jsons[name] for name in rest]
    empty = " AND ".join(f"{value} IS NULL" for value in values)
    pairs = ", ".join(f"{identifier(n)} := {v}" for n, v in zip(rest, values, strict=True))
    alone = f"CASE WHEN NOT ({empty}) THEN CAST(to_json(struct_pack({pairs})) AS VARCHAR) END"
    if mapped is None:
        return "VARCHAR", alone
    # In JSON a value that is not there may be null.
    nothing = " AND ".join(f"coalesce(CAST({v} AS VARCHAR), 'null') = 'null'" for v in values)
    text = casts.as_text(mapped[1], mapped[0])
    member = "CASE WHEN json_valid(__t) THEN __t ELSE CAST(to_json(__t) AS VARCHAR) END"
    whole = (
        "CASE WHEN CASE WHEN json_valid(__t) THEN json_type(__t) = 'OBJECT' ELSE false END "
        f"THEN trim(__t, ' \t\r\n') ELSE '{{\"metadata\":' || {member} || '}}' END"
    )
    members = ", ".join(
        f"CASE WHEN json_exists(__o, {json_path(name)}) THEN {literal('column.' + name)} "
        f"ELSE {literal(name)} END, {value}"
        for name, value in zip(rest, values, strict=True)
    )
    # The lambdas are there to name what is used several times.
    joined = (
        f"left(__o, -1) || CASE WHEN len(json_keys(__o)) > 0 THEN ',' ELSE '' END || "
        f"substr(CAST(json_object({members}) AS VARCHAR), 2)"
    )
    both = f"list_transform([{whole}], lambda __o: {joined})[1]"
    merged = f"CASE WHEN {nothing} THEN __t WHEN __t IS NULL THEN {alone} ELSE {both} END"
    return "VARCHAR", f"list_transform([{text}], lambda __t: {merged})[1]"
