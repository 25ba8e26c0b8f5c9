"""Facts from the workbench's own logs: earlier inferences, and earlier feedback on them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta

import duckdb

from workbench import contract, engine
from workbench.build import facts
from workbench.build.changes import span
from workbench.build.sources import LakeTable, contract_relation
from workbench.contexts import Before, time_column
from workbench.engine import identifier
from workbench.errors import ConfigError, suggest
from workbench.ingest.context import key_column
from workbench.project import Context, Project

#: The times that a fact from a log has. No call is withdrawn, which spares a join much.
TIMES = {"inferences": ("ts", "known_at"), "feedback": ("ts", "known_at", "until")}
#: The rewards of all events, where all were labelled.
REWARDS = "(SELECT feedback_id, reward FROM rewarded WHERE main)"
#: What is about a row of a log, not about what happened.
_PRIVATE = (
    "row_id", "ingest_id", "source_file", "source_row", "ingested_at", "schema_version", "raw",
    "retracts",
)  # fmt: skip
#: Feedback columns that are long, without those above.
_LONG_FEEDBACK = ("corrected_output", "comment", "tags", "metadata")
#: What each row of a log says of its event by itself, whatever its inference says.
_OF_THE_EVENT = ("ts", "request_id")

# A call that takes longer than thirty years is one whose end nobody knows.
_ANSWERED = (
    "i.ts + to_microseconds(CASE WHEN NOT isnan(i.latency_ms) "
    "THEN CAST(1000 * least(i.latency_ms, 1e12) AS BIGINT) END)"
)
_LONG_INFERENCE = tuple(contract.WIDE_COLUMNS)


def prepare(
    connection: duckdb.DuckDBPyConnection,
    context: Context,
    project: Project,
    tables: Mapping[str, LakeTable],
    asked: str | None = None,
    rewards: str = REWARDS,
    before: Before | None = None,
) -> tuple[str, ...]:
    """Make the facts of `context` from a log: the columns that its struct takes.

    Every fact has ``__ts``, ``__known_at`` and ``__until``, the time at which it was withdrawn.

    Parameters
    ----------
    asked
        Relation of the keys that are asked for, and `facts.OLDEST`, whose facts are enough; None
        for all.
    rewards
        Relation of the ``feedback_id`` and ``reward`` of every event.
    before
        Which facts from before the oldest time at which a key is asked for are enough.

    Raises
    ------
    ConfigError
        If the context names a column that the log does not have, or a key that is none.
    """
    columns = (
        _inference_columns(connection)
        if context.log == "inferences"
        else _feedback_columns(connection)
    )
    names = _resolved(context, columns)
    taken = tuple(names[name] for name in context.columns)
    listed = [
        f"CAST({columns[names[right]]} AS VARCHAR) AS {key_column(number)}"
        for number, (_, right) in enumerate(context.on)
    ]
    values = dict.fromkeys([*taken, *(names[name] for name in context.needed)])
    listed += [f"{columns[name]} AS {identifier(name)}" for name in values]
    if context.log == "inferences":
        placed, identity, relation = _inferences(project, tables, values)
    else:
        placed, identity, relation = _feedback(project, tables, values, rewards)
    times = {option: time_column(option) for option in placed}
    listed += [f"{placed[option]} AS {column}" for option, column in times.items()]
    keys = [key_column(number) for number in range(len(context.on))]
    found = f"(SELECT {', '.join(listed)}, {identity} AS identity FROM {relation})"
    if asked and keys and before is not None and context.log == "inferences":
        found = _since(connection, found, keys, asked, before)
    elif asked and keys:
        found += f" SEMI JOIN {asked} USING ({', '.join(keys)})"
    order = ", ".join([times["ts"], times["known_at"], "identity"])
    connection.execute(
        f"CREATE OR REPLACE TEMP TABLE {identifier(facts.relation(context))} AS "
        f"SELECT * EXCLUDE (identity), row_number() OVER (ORDER BY {order}) AS {facts.ORDER} "
        f"FROM {found}"
    )
    return taken


#: Parts of the time of the log in which a key's last facts are looked for, before all of it.
_PARTS = (64, 8)


def _since(
    connection: duckdb.DuckDBPyConnection,
    found: str,
    keys: Sequence[str],
    asked: str,
    before: Before,
) -> str:
    """SQL of the facts in the query `found` that can matter to whom asks; makes ``asked_since``.

    There each key has the time from which on its facts are enough, NULL for all. To sort all that
    a key has would take far longer than to count what it had lately.
    """
    known = f"greatest({time_column('ts')}, {time_column('known_at')})"
    none = "NULL::TIMESTAMPTZ"
    first = none if before.span is None else f"{facts.OLDEST} - {span(before.span)}"
    connection.execute(
        f"CREATE OR REPLACE TEMP TABLE asked_since AS SELECT *, {first} AS since, "
        f"{before.last is None} AS enough FROM {asked}"
    )
    listed, on = ", ".join(keys), " AND ".join(f"a.{key} = n.{key}" for key in keys)
    # An answer that was known since a time was asked for at most the longest call earlier, and by
    # ``ts`` the engine finds the end of the log at once.
    whole, slowest = connection.execute(
        "SELECT max(ts) - min(ts), max(latency_ms) FILTER (NOT isnan(latency_ms)) "
        "FROM narrow.inferences"
    ).fetchone() or (None, None)
    lag = span(timedelta(milliseconds=min(max(slowest or 0.0, 0.0), 1e12) + 1))
    recent = (
        f"{time_column('ts')} >= getvariable('facts_start') - {lag} "
        f"AND {known} >= getvariable('facts_start')"
    )
    for part in _PARTS if before.last is not None and whole is not None else ():
        start = f"{facts.OLDEST} - {span(whole / part)}"
        connection.execute(
            f"SET VARIABLE facts_start = (SELECT min({start}) FROM asked_since WHERE NOT enough)"
        )
        connection.execute(
            f"UPDATE asked_since a SET since = greatest(since, {start}), enough = true "
            f"FROM (SELECT {listed} FROM {found} JOIN asked_since USING ({listed}) "
            f"WHERE NOT enough AND {recent} AND {known} >= {start} AND {known} < {facts.OLDEST} "
            f"GROUP BY {listed} HAVING count(*) >= {before.last}) n WHERE {on}"
        )
    connection.execute("SET VARIABLE facts_start = (SELECT min(since) FROM asked_since)")
    on = " AND ".join(f"f.{key} = a.{key}" for key in keys)
    return (
        f"(SELECT f.* FROM {found} f SEMI JOIN (FROM asked_since WHERE since IS NOT NULL) a "
        f"ON {on} AND {known} >= a.since WHERE {recent} "
        f"UNION ALL FROM {found} SEMI JOIN (FROM asked_since WHERE since IS NULL) "
        f"USING ({listed}))"
    )


def _resolved(context: Context, columns: Mapping[str, str]) -> dict[str, str]:
    """The column of the log that each name in the settings means."""
    known = {name.lower(): name for name in columns}
    keys = [right for _, right in context.on]
    named = dict.fromkeys([*keys, *context.columns, *context.needed])
    problems = [
        f"{context.log} have no column {name!r} here. {suggest(name, columns)}"
        for name in named
        if name.lower() not in known
    ]
    long = {*_LONG_INFERENCE, *_LONG_FEEDBACK}
    problems += [f"{key!r} cannot be a key." for key in keys if key.lower() in long]
    if problems:
        raise ConfigError(
            f"[context.{context.name}] names what is not there:\n"
            + "\n".join(f"  - {problem}" for problem in problems),
            f"The columns are: {', '.join(columns)}.",
        )
    return {name: known[name.lower()] for name in named}


def _inference_columns(connection: duckdb.DuckDBPyConnection) -> dict[str, str]:
    """SQL of each column of an inference, in its log's own order."""
    types = engine.columns_of(connection, "narrow.inferences")
    found = {
        name: _whole(f"i.{identifier(name)}", dtype)
        for name, dtype in types.items()
        if name not in (*_PRIVATE, "flags")
    }
    return found | {name: f"wide.{name}" for name in _LONG_INFERENCE}


def _feedback_columns(connection: duckdb.DuckDBPyConnection) -> dict[str, str]:
    """SQL of each column of an event: its own, what it is worth, and those of its inference."""
    types = engine.columns_of(connection, "narrow.feedback")
    own = {
        name: _whole(f"f.{identifier(name)}", dtype)
        for name, dtype in types.items()
        if name in contract.table("feedback").columns and name not in _PRIVATE
    }
    own |= {name: f"long.{name}" for name in _LONG_FEEDBACK}
    own["request_id"] = "a.request_id"
    own |= {"reward": "w.reward", "positive": "w.reward >= 0.5", "negative": "w.reward < 0.5"}
    theirs = _inference_columns(connection)
    shared = {
        name: f"coalesce({sql}, {theirs[name]})"
        for name, sql in own.items()
        if name in theirs and name not in _OF_THE_EVENT
    }
    return own | {name: sql for name, sql in theirs.items() if name not in own} | shared


def _whole(sql: str, dtype: str) -> str:
    # Among facts an INTEGER is a column that holds nothing.
    return f"CAST({sql} AS BIGINT)" if dtype == "INTEGER" else sql


_Rows = tuple[dict[str, str], str, str]


def _inferences(
    project: Project, tables: Mapping[str, LakeTable], values: Mapping[str, object]
) -> _Rows:
    """SQL of the times, of the identity, and of the rows; an answer is known when it was given."""
    times = {
        "ts": "i.ts",
        "known_at": f"coalesce({_ANSWERED}, i.ts)",
        "until": "NULL::TIMESTAMPTZ",
    }
    wide = _wide(project, tables["inferences"], values, _LONG_INFERENCE)
    return times, "i.request_id", f"narrow.inferences i {_joined(wide, 'wide', 'i.row_id')}"


def _feedback(
    project: Project, tables: Mapping[str, LakeTable], values: Mapping[str, object], rewards: str
) -> _Rows:
    """SQL of the times, of the identity, and of the events that judge one inference."""
    times = {
        "ts": "f.ts",
        # An event that is dated before its inference says nothing about it yet.
        "known_at": "greatest(f.received_at, i.ts, chosen.ts, rejected.ts)",
        "until": "r.at",
    }
    retracted = (
        "(SELECT retracts, min(greatest(ts, received_at)) AS at FROM narrow.feedback "
        "WHERE retracts IS NOT NULL GROUP BY retracts)"
    )
    wide = _wide(project, tables["inferences"], values, _LONG_INFERENCE)
    long = _wide(project, tables["feedback"], values, _LONG_FEEDBACK)
    relation = (
        # Which inference a verdict on a whole session is credited to depends on what follows.
        "(SELECT e.* FROM narrow.feedback e WHERE e.retracts IS NULL "
        "AND coalesce(e.scope, 'inference') = 'inference') f "
        "JOIN (SELECT * FROM narrow.attribution WHERE status = 'attributed' "
        "AND method <> 'trace') a ON f.feedback_id = a.feedback_id "
        "LEFT JOIN narrow.inferences i ON a.request_id = i.request_id "
        "LEFT JOIN narrow.inferences chosen ON a.chosen_request_id = chosen.request_id "
        "LEFT JOIN narrow.inferences rejected ON a.rejected_request_id = rejected.request_id "
        f"LEFT JOIN {rewards} w "
        "ON f.feedback_id = w.feedback_id "
        f"LEFT JOIN {retracted} r ON f.feedback_id = r.retracts "
        f"{_joined(wide, 'wide', 'i.row_id')} {_joined(long, 'long', 'f.row_id')}"
    )
    return times, "f.feedback_id", relation


def _wide(
    project: Project, table: LakeTable, values: Mapping[str, object], long: tuple[str, ...]
) -> str:
    """The lake's rows with those long columns that are wanted; empty where none is."""
    wanted = [name for name in long if name in values]
    if not wanted:
        return ""
    return f"(SELECT row_id, {', '.join(wanted)} FROM {contract_relation(project, table)})"


def _joined(relation: str, name: str, row: str) -> str:
    return f"LEFT JOIN {relation} {name} ON {row} = {name}.row_id" if relation else ""
