"""From staged rows to rows of the contract: mapping, casts and checks, all as one query.

The result is one relation with every staged row: the contract's columns, and `REASON` and `FIELD`,
which are NULL for a row that is accepted.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import duckdb

from workbench import contract, engine
from workbench.engine import identifier, literal
from workbench.errors import ConfigError, suggest
from workbench.importers import PART, RAW, ROW, Staged
from workbench.ingest import casts
from workbench.project import Source

REASON, FIELD, FLAGS = "__reason", "__field", "flags"
CHECKED = "checked_rows"
NO_ZONE = "__no_zone"

# Log-probabilities below this are placeholders that some providers write for "not available".
_LEAST_LOGPROB = -1000.0

#: Texts in which blanks mean that there is no value.
_KEYS = {
    "request_id", "model_version", "user_id", "session_id", "trace_id", "parent_id", "item_id",
    "feedback_id", "name", "kind", "scope", "rater_id", "rater_kind", "chosen_id", "rejected_id",
    "retracts",
}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Base:
    """What a mapping reads: a relation whose columns have the types that expressions see.

    Attributes
    ----------
    relation
        The relation, with `PART`, `ROW` and `RAW`.
    types
        Type of each source column in expressions.
    texts
        Type and SQL of each source column when it is mapped by its bare name.
    jsons
        SQL of each source column as JSON.
    """

    relation: str
    types: Mapping[str, str]
    texts: Mapping[str, tuple[str, str]]
    jsons: Mapping[str, str]


def base_of(
    connection: duckdb.DuckDBPyConnection,
    source: Source,
    staged: Staged,
    known: Mapping[str, str],
    names: Mapping[int, str],
    *,
    typed: bool = False,
) -> Base:
    """The relation that the mapping reads, after the source's own query if it has one.

    Parameters
    ----------
    connection
        Connection in which the rows are staged.
    source
        Whose mapping it is.
    staged
        The rows.
    known
        Columns that earlier files of the source had; they are NULL where this batch lacks them.
    names
        File name of each part.
    typed
        Find the columns' types even where no expression needs them.
    """
    needs_types = typed or source.sql is not None or any(
        resolve(expression, {**dict.fromkeys(staged.columns, ""), **known}) is None
        for expression in source.columns.values()
    )
    columns = staged.infer() if needs_types else staged.columns
    lower = {name.lower() for name in columns}
    missing = {name: dtype for name, dtype in known.items() if name.lower() not in lower}
    selected = [PART, ROW, RAW]
    texts: dict[str, tuple[str, str]] = {}
    jsons: dict[str, str] = {}
    for number, (name, column) in enumerate(columns.items()):
        selected.append(f"{column.typed} AS {identifier(name)}")
        if staged.native:
            texts[name] = (column.type, identifier(name))
            jsons[name] = column.json
        else:
            selected += [f"{column.text} AS __text_{number}", f"{column.json} AS __json_{number}"]
            texts[name] = ("VARCHAR", f"__text_{number}")
            jsons[name] = f"__json_{number}"
    for name, dtype in missing.items():
        selected.append(f"CAST(NULL AS {dtype}) AS {identifier(name)}")
        texts[name] = (dtype, identifier(name))
    relation = f"(SELECT {', '.join(selected)} FROM {staged.relation})"
    types = {**{name: column.type for name, column in columns.items()}, **missing}
    if source.sql is None:
        return Base(relation=relation, types=types, texts=texts, jsons=jsons)
    return _reshape(connection, source, relation, types, names)


def _reshape(
    connection: duckdb.DuckDBPyConnection,
    source: Source,
    relation: str,
    types: Mapping[str, str],
    names: Mapping[int, str],
) -> Base:
    """Run the source's own query over the relation `source`."""
    files = ", ".join(f"({number}, {literal(name)})" for number, name in names.items())
    listed = "".join(f", s.{identifier(name)}" for name in types)
    reserved = {name.lower() for name in types}
    extra = [
        f"{sql} AS {name}"
        for name, sql in (("source_file", "f.name"), ("source_row", f"s.{ROW}"))
        if name not in reserved
    ]
    own = "".join(f", {entry}" for entry in extra)
    connection.execute(
        f"CREATE OR REPLACE VIEW source AS SELECT {(listed + own)[2:]} FROM {relation} s "
        f"JOIN (VALUES {files}) f(number, name) ON s.{PART} = f.number"
    )
    sql = str(source.sql).strip().rstrip(";")
    try:
        connection.execute(f"CREATE OR REPLACE TABLE reshaped AS {sql}")
    except duckdb.Error as error:
        raise ConfigError(
            f"The sql of [{section(source)}] failed: {engine.message(error)}",
            f"It reads the relation source, whose columns are: {', '.join(types)}, source_file, "
            "source_row.",
        ) from error
    out = engine.columns_of(connection, "reshaped")
    lower = {name.lower(): name for name in out}
    part = "0" if len(names) == 1 else "NULL"
    if "source_file" in lower:
        part = f"(SELECT min(f.number) FROM (VALUES {files}) f(number, name) " \
               f"WHERE f.name = r.{identifier(lower['source_file'])})"
    elif len(names) == 1:
        part = str(next(iter(names)))
    row = "row_number() OVER ()"
    if "source_row" in lower:
        row = f"TRY_CAST(r.{identifier(lower['source_row'])} AS BIGINT)"
    kept = [name for name in out if name.lower() not in ("source_file", "source_row")]
    listed = "".join(f", r.{identifier(name)}" for name in kept)
    relation = (
        f"(SELECT CAST({part} AS INTEGER) AS {PART}, {row} AS {ROW}, "
        f"CAST(NULL AS VARCHAR) AS {RAW}{listed} FROM reshaped r)"
    )
    return Base(
        relation=relation,
        types={name: out[name] for name in kept},
        texts={name: (out[name], identifier(name)) for name in kept},
        jsons={name: f"to_json({identifier(name)})" for name in kept},
    )


def section(source: Source) -> str:
    """What a source is called in the configuration."""
    return source.table.replace("context_", "context.", 1)


def resolve(expression: str, columns: Mapping[str, object]) -> str | None:
    """The column that `expression` names, None where it is an expression."""
    if expression in columns:
        return expression
    bare = expression
    if len(bare) > 1 and bare[0] == bare[-1] == '"':
        bare = bare[1:-1].replace('""', '"')
    lowered = {name.lower(): name for name in columns}
    return bare if bare in columns else lowered.get(bare.lower())


def check(connection: duckdb.DuckDBPyConnection, source: Source, base: Base) -> None:
    """Map, cast and check the rows of `base` into the relation `CHECKED`.

    Raises
    ------
    ConfigError
        If the mapping names what is not there; all such problems are named at once.
    """
    columns = {
        name: column
        for name, column in contract.table(source.table).columns.items()
        if name not in ("features", *contract.OWN_FEEDBACK_COLUMNS)
    }
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
    if "metadata" not in inputs:
        inputs["metadata"] = ("VARCHAR", _left_over(base, used))
    selected = [PART, ROW, f"{_raw(base)} AS {RAW}"]
    values, bads, types = [], [], {}
    for name, (dtype, sql) in {**inputs, **features}.items():
        target = columns[name].type if name in columns else source.features[feature_of(name)]
        selected.append(f"{sql} AS {identifier('__in_' + name)}")
        given = identifier("__in_" + name)
        result = casts.cast(given, dtype, _canonical(connection, target))
        value = f"nullif(trim({result.value}), '')" if name in _KEYS else result.value
        values.append(f"{value} AS {identifier(name)}")
        types[name] = target
        if result.bad != "false":
            bads.append((name, result.bad))
        if name == "ts":
            selected.append(f"{casts.has_no_zone(sql, dtype)} AS {NO_ZONE}")
    nulls = [
        f"CAST(NULL AS {column.type}) AS {identifier(name)}"
        for name, column in columns.items()
        if name not in inputs
    ]
    no_zone = NO_ZONE if "ts" in inputs else f"false AS {NO_ZONE}"
    bad = "CASE " + " ".join(f"WHEN {c} THEN {literal(n)} " for n, c in bads) + "END" if bads else (
        "CAST(NULL AS VARCHAR)"
    )
    cast_sql = (
        f"SELECT {PART}, {ROW}, {RAW}, {no_zone}, {', '.join([*values, *nulls])}, "
        f"{bad} AS __bad FROM (SELECT {', '.join(selected)} FROM {base.relation})"
    )
    rules = _rules(source, columns)
    reason = " ".join(f"WHEN {c} THEN {literal(r)}" for r, _, c in rules)
    field = " ".join(f"WHEN {c} THEN {literal(f)}" for _, f, c in rules)
    flagged, defaults = _defaults(source, inputs)
    connection.execute(
        f"CREATE OR REPLACE TABLE {CHECKED} AS "
        f"SELECT * REPLACE ({', '.join(defaults)}), {flagged} AS {FLAGS}, "
        f"CASE WHEN __bad IS NOT NULL THEN 'bad_type' {reason} END AS {REASON}, "
        f"CASE WHEN __bad IS NOT NULL THEN __bad {field} END AS {FIELD} FROM ({cast_sql})"
    )


def feature_column(name: str) -> str:
    """Lake column of a feature."""
    return f"feature.{name}"


def feature_of(column: str) -> str:
    """Feature of a lake column."""
    return column.removeprefix("feature.")


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
    return f"{name} = {expression!r}: {engine.message(error)}"


def _missing_mandatory(
    source: Source, inputs: Mapping[str, object], base: Base
) -> list[str]:
    needed = {"inferences": ["request_id", "ts", "model_version"], "feedback": ["ts", "name"]}
    problems = []
    for name in needed[source.table]:
        if name in inputs or (name == "ts" and source.clock == "none"):
            continue
        hint = suggest(name, base.types, label="one of these columns")
        extra = ', or set clock = "none"' if name == "ts" else ""
        problems.append(f"{name} is mandatory and not mapped{extra}. {hint}")
    if source.table == "feedback":
        carriers = ("value", "corrected_output", "chosen_id", "retracts")
        if not any(name in inputs for name in carriers):
            problems.append(
                "value is mandatory and not mapped (or corrected_output, or chosen_id and "
                f"rejected_id). {suggest('value', base.types, label='one of these columns')}"
            )
        targets = ("request_id", "session_id", "trace_id", "chosen_id")
        if not any(name in inputs for name in targets) and not (
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


def _left_over(base: Base, used: set[str]) -> str:
    """Everything that no field took, as one JSON object; NULL where nothing is left."""
    rest = [name for name in base.jsons if name not in used and name in base.types]
    if not rest:
        return "CAST(NULL AS VARCHAR)"
    pairs = ", ".join(f"{identifier(name)} := {base.jsons[name]}" for name in rest)
    empty = " AND ".join(f"{base.jsons[name]} IS NULL" for name in rest)
    return f"CASE WHEN NOT ({empty}) THEN CAST(to_json(struct_pack({pairs})) AS VARCHAR) END"


def _raw(base: Base) -> str:
    pairs = ", ".join(f"{identifier(n)} := {base.jsons[n]}" for n in base.types if n in base.jsons)
    return f"coalesce({RAW}, CAST(to_json(struct_pack({pairs})) AS VARCHAR))" if pairs else RAW


def _rules(
    source: Source, columns: Mapping[str, contract.Column]
) -> list[tuple[str, str, str]]:
    """Reason, field and condition of each check, in the order in which they are reported."""
    rules: list[tuple[str, str, str]] = []
    optional = {"feedback_id", "ingested_at"}
    if source.clock == "none":
        optional.add("ts")
    if source.table == "feedback":
        optional.add("name")
        rules += _feedback_rules(source)
    rules += [
        ("missing_value", name, f"{identifier(name)} IS NULL")
        for name, column in columns.items()
        if column.required and name not in optional
    ]
    rules += [
        ("ts_out_of_range", name, f"NOT ({casts.time_in_range(identifier(name))})")
        for name, column in columns.items()
        if column.type == "TIMESTAMP WITH TIME ZONE"
    ]
    rules += [
        ("not_allowed" if re.search(r" IN \(|\w = ", column.check) else "out_of_range",
         name, f"NOT ({column.check})")
        for name, column in columns.items()
        if column.check
    ]
    return rules


def _feedback_rules(source: Source) -> list[tuple[str, str, str]]:
    says = "coalesce(value, corrected_output, retracts) IS NULL"
    both = "(chosen_id IS NULL OR rejected_id IS NULL)"
    rules = [
        ("missing_value", "name", "name IS NULL AND retracts IS NULL"),
        ("missing_value", "value", f"{says} AND {both}"),
        ("missing_value", "session_id", "scope = 'session' AND session_id IS NULL "
                                         "AND request_id IS NULL"),
        ("missing_value", "trace_id", "scope = 'trace' AND trace_id IS NULL "
                                       "AND request_id IS NULL"),
    ]
    if not source.optional_request_id:
        rules.append(
            (
                "missing_value",
                "request_id",
                "request_id IS NULL AND coalesce(scope, 'inference') = 'inference' "
                "AND retracts IS NULL AND chosen_id IS NULL AND rejected_id IS NULL",
            )
        )
    return rules


def _defaults(source: Source, inputs: Mapping[str, object]) -> tuple[str, list[str]]:
    """SQL of the flags of a row, and of the columns that the workbench fills in."""
    if source.table == "feedback":
        identity = ", ".join(
            f"{identifier(name)} := {identifier(name)}"
            for name in sorted(inputs)
            if name not in ("feedback_id", "received_at")
        )
        return "CAST(NULL AS VARCHAR[])", [
            f"coalesce(feedback_id, md5(CAST(to_json(struct_pack({identity})) AS VARCHAR))) "
            "AS feedback_id",
            "coalesce(name, 'retraction') AS name",
            "coalesce(received_at, ts) AS received_at",
            "coalesce(scope, 'inference') AS scope",
            f"coalesce(schema_version, {contract.FEEDBACK_SCHEMA_VERSION}) AS schema_version",
        ]
    bad = (
        f"len(list_filter(token_logprobs, lambda p: p < {_LEAST_LOGPROB} OR p > 1e-6 "
        "OR isnan(p))) > 0"
    )
    flags = f"CASE WHEN {bad} THEN ['token_logprobs:sentinel'] END"
    return flags, [f"CASE WHEN {bad} THEN NULL ELSE token_logprobs END AS token_logprobs"]


def problems_of(rows: Sequence[tuple[str, str | None, int]]) -> str:
    """Refused rows in words: ``3 missing_value (ts), 1 not_json``."""
    return ", ".join(f"{n} {reason}" + (f" ({field})" if field else "") for reason, field, n in rows)
