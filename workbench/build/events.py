"""The received rows sorted out: which count, which are duplicates, spam, or outside their scale."""

from __future__ import annotations

import re
from collections.abc import Mapping

import duckdb

from workbench import contract, engine, places
from workbench.build import parts
from workbench.build.sources import LakeTable, contract_relation
from workbench.compiled import Parts
from workbench.engine import identifier, literal
from workbench.errors import ConfigError
from workbench.ingest.casts import NUMBER
from workbench.project import Project, Signal

#: Feedback columns that are long: kept in the lake only and joined late, by row.
WIDE_FEEDBACK = ("corrected_output", "comment", "tags", "metadata", "raw")
REFUSED = "narrow.refused"
#: Rows from which on columns without any value are not stored. A value that comes later cannot be
#: put in, so that all is built anew, and for fewer rows they cost nothing.
MANY = 100_000


def readings(
    connection: duckdb.DuckDBPyConnection,
    register: list[tuple[str, int]],
    replaced: set[int],
    continued: set[int],
) -> None:
    """Make ``narrow.readings``: which readings of files count."""
    connection.execute(
        'CREATE TABLE narrow.readings (ingest_id BIGINT, "table" VARCHAR, live BOOLEAN, '
        "continued BOOLEAN)"
    )
    rows = [(n, table, n not in replaced, n in continued) for table, n in register]
    engine.insert(connection, "narrow.readings", rows)
    connection.execute(
        f'CREATE TABLE {REFUSED} (id VARCHAR, "table" VARCHAR, reason VARCHAR, field VARCHAR, '
        "raw VARCHAR, source_file VARCHAR, source_row BIGINT, ingested_at TIMESTAMPTZ)"
    )


def live(relation: str) -> str:
    """The rows of a lake relation whose reading counts."""
    return (
        f"(SELECT l.* FROM {relation} l "
        "SEMI JOIN (SELECT ingest_id FROM narrow.readings WHERE live) r USING (ingest_id))"
    )


def inferences(compiled: Parts, rows: str) -> None:
    """Make ``narrow.inferences`` of the received `rows`: one per request_id, without wide columns.

    Of several rows with one id the least by (ts, content) wins, whatever the order of arrival. Of
    two systems that saw the same call at the same time, that which knows more of it.
    """
    connection = compiled.connection
    connection.execute(f"CREATE OR REPLACE TEMP VIEW received AS SELECT * FROM {rows}")
    connection.execute(
        # Of the ids, only the few whose hash is not unique are compared: they take much memory.
        "CREATE OR REPLACE TEMP TABLE repeated AS SELECT request_id FROM received WHERE "
        "hash(request_id) IN (SELECT hash(request_id) AS h FROM received GROUP BY h "
        "HAVING count(*) > 1) GROUP BY request_id HAVING count(*) > 1"
    )
    fields = [
        f"{identifier(name)} := {identifier(name)}" for name in contract.table("inferences").columns
    ]
    connection.execute(
        "CREATE OR REPLACE TEMP TABLE losers AS "
        "SELECT row_id, request_id, content, source_file, source_row "
        "FROM (SELECT *, row_number() OVER (PARTITION BY request_id "
        "ORDER BY ts NULLS LAST, len(json_keys(content)) DESC, md5(content), source_file, "
        "source_row, row_id) AS place "
        "FROM (SELECT row_id, request_id, ts, source_file, source_row, "
        f"CAST(json_merge_patch('{{}}', to_json(struct_pack({', '.join(fields)}))) AS VARCHAR) "
        "AS content "
        "FROM received SEMI JOIN repeated USING (request_id))) WHERE place > 1"
    )
    connection.execute(
        f"INSERT INTO {REFUSED} SELECT request_id, 'inferences', 'duplicate', 'request_id', "
        "content, source_file, source_row, NULL FROM losers"
    )
    compiled.run(parts.inferences, ["received"], empty=_empty(connection, "received"))
    places.create(connection)


def feedback(compiled: Parts, project: Project, rows: str) -> None:
    """Make ``narrow.feedback`` of the received `rows`: the accepted events with kind and reward."""
    connection = compiled.connection
    named = " ".join(
        [project.spam or "", *(signal.positive or "" for signal in project.signals.values())]
    )
    kept = [name for name in WIDE_FEEDBACK if re.search(rf"\b{name}\b", named)]
    absent = [name for name in WIDE_FEEDBACK if name not in (*kept, "corrected_output")]
    presence = (
        "* REPLACE (CASE WHEN corrected_output IS NOT NULL THEN '' END AS corrected_output)"
        if "corrected_output" not in kept
        else "*"
    )
    connection.execute(
        f"CREATE OR REPLACE TEMP TABLE events AS SELECT {presence} "
        f"FROM (SELECT * EXCLUDE ({', '.join(absent)}) FROM {rows})"
    )
    conditions = _conditions(connection, project.signals)
    spam = _condition(connection, "feedback.spam", project.spam, number=False)
    joined = "JOIN positives p ON e.row_id = p.positives_row" if "positive_" in conditions else ""
    connection.execute(
        f"CREATE OR REPLACE TEMP VIEW judged AS SELECT e.*, {conditions} AS positive, "
        f"coalesce({spam}, false) AS is_spam FROM events e {joined}"
    )
    compiled.run(
        parts.scored,
        ["judged"],
        signals=project.signals,
        classes=project.classes,
        own=tuple(dict.fromkeys(("positive", "corrected_output", *kept))),
    )
    _sort_out(connection, rows)
    empty = _empty(connection, "scored")
    query = "SELECT * EXCLUDE (is_spam, is_bad) FROM scored ANTI JOIN sorted_out USING (row_id)"
    for statement in engine.table_statements(connection, "narrow.feedback", query, empty):
        connection.execute(statement)
    used = ("events", "positives", "scored", "repeated_events", "sorted_out")
    engine.drop_temporary(connection, used)


def _empty(connection: duckdb.DuckDBPyConnection, relation: str) -> tuple[str, ...]:
    """Columns that need not be stored."""
    if engine.scalar(connection, f"SELECT count(*) FROM {relation}") < MANY:
        return ()
    return engine.empty_columns(connection, relation, engine.columns_of(connection, relation))


def aliases(
    connection: duckdb.DuckDBPyConnection, project: Project, table: LakeTable | None
) -> None:
    """Make ``narrow.aliases``: each pair of an alias and what it stands for once."""
    rows = (
        "(SELECT NULL::VARCHAR AS alias, NULL::VARCHAR AS request_id WHERE false)"
        if table is None
        else live(contract_relation(project, table))
    )
    connection.execute(
        f"CREATE TABLE narrow.aliases AS SELECT DISTINCT alias, request_id FROM {rows}"
    )


def _sort_out(connection: duckdb.DuckDBPyConnection, rows: str) -> None:
    """Refuse, in this order, bad values, all but one of each id, and spam.

    Of several events with one id the least by (ts, content) stays, whatever the order of arrival;
    only for those is the content looked at.
    """
    content = ", ".join(
        f"{identifier(name)} := {identifier(name)}"
        for name in contract.table("feedback").columns
        if name not in contract.OWN_FEEDBACK_COLUMNS
    )
    connection.execute(
        "CREATE OR REPLACE TEMP TABLE repeated_events AS SELECT feedback_id FROM scored "
        "WHERE NOT is_bad GROUP BY feedback_id HAVING count(*) > 1"
    )
    connection.execute(
        "CREATE OR REPLACE TEMP TABLE sorted_out AS "
        "WITH candidates AS (SELECT row_id FROM scored SEMI JOIN repeated_events "
        "USING (feedback_id) WHERE NOT is_bad), "
        "ranked AS (SELECT row_id, row_number() OVER (PARTITION BY feedback_id ORDER BY "
        f"ts NULLS LAST, md5(CAST(to_json(struct_pack({content})) AS VARCHAR)), source_file, "
        f"source_row, row_id) AS place FROM {rows} SEMI JOIN candidates USING (row_id)) "
        "SELECT row_id, CASE WHEN is_bad THEN 'bad_value' WHEN coalesce(place, 1) > 1 "
        "THEN 'duplicate' ELSE 'spam' END AS reason FROM scored LEFT JOIN ranked USING (row_id) "
        "WHERE is_bad OR is_spam OR place > 1"
    )
    field = "CASE reason WHEN 'bad_value' THEN 'value' WHEN 'duplicate' THEN 'feedback_id' END"
    connection.execute(
        f"INSERT INTO {REFUSED} SELECT feedback_id, 'feedback', reason, {field}, raw, source_file, "
        f"source_row, ingested_at FROM {rows} JOIN sorted_out USING (row_id)"
    )


def _conditions(connection: duckdb.DuckDBPyConnection, signals: Mapping[str, Signal]) -> str:
    """SQL of whether an event's signal is positive; the conditions are worked out per row first.

    In a condition ``value`` is a number where the condition reads as one, else text.
    """
    texts: list[str] = []
    numbers: list[str] = []
    cases: list[str] = []
    for position, (name, signal) in enumerate(signals.items()):
        if signal.positive is None:
            continue
        where = f"feedback.signals.{name}.positive"
        numeric = _binds(connection, signal.positive, number=True)
        condition = _condition(connection, where, signal.positive, number=numeric)
        (numbers if numeric else texts).append(f"{condition} AS positive_{position}")
        cases.append(f"WHEN name = {literal(name)} THEN positive_{position}")
    connection.execute(
        "CREATE OR REPLACE TEMP TABLE positives AS SELECT t.row_id AS positives_row"
        + "".join(f", t.{entry.rsplit(' AS ', 1)[1]}" for entry in texts)
        + "".join(f", n.{entry.rsplit(' AS ', 1)[1]}" for entry in numbers)
        + f" FROM (SELECT row_id{''.join(', ' + entry for entry in texts)} FROM events) t "
        f"JOIN (SELECT row_id{''.join(', ' + entry for entry in numbers)} FROM {_NUMERIC}) n "
        "USING (row_id)"
    )
    return f"CASE {' '.join(cases)} END" if cases else "CAST(NULL AS BOOLEAN)"


_NUMERIC = (
    "(SELECT * REPLACE (CASE lower(value) WHEN 'true' THEN 1.0 WHEN 'false' THEN 0.0 "
    f"ELSE CASE WHEN regexp_full_match(trim(value), {literal(NUMBER)}) "
    "THEN TRY_CAST(value AS DOUBLE) END END AS value) FROM events)"
)


def _binds(connection: duckdb.DuckDBPyConnection, condition: str, *, number: bool) -> bool:
    relation = _NUMERIC if number else "events"
    sample = "CAST(1 AS DOUBLE)" if number else "'a'"
    try:
        connection.execute(
            f"SELECT CAST((\n{condition}\n) AS BOOLEAN) FROM "
            f"(SELECT * REPLACE ({sample} AS value) FROM "
            f"(SELECT r.* FROM (SELECT 1) LEFT JOIN (SELECT * FROM {relation} LIMIT 0) r ON true))"
        ).fetchall()
    except duckdb.Error:
        return False
    return True


def _condition(
    connection: duckdb.DuckDBPyConnection, where: str, condition: str | None, *, number: bool
) -> str:
    """A condition from the configuration as SQL.

    Raises
    ------
    ConfigError
        If it does not fit the columns of an event.
    """
    if condition is None:
        return "false"
    relation = _NUMERIC if number else "events"
    try:
        connection.execute(f"SELECT CAST((\n{condition}\n) AS BOOLEAN) FROM {relation} LIMIT 0")
    except duckdb.Error as error:
        raise ConfigError(
            f"{where} = {condition!r} cannot be used: {engine.message(error)}",
            'Write an SQL condition over the columns of feedback, such as "value >= 30".',
        ) from error
    return f"CAST((\n{condition}\n) AS BOOLEAN)"


def same_output(
    connection: duckdb.DuckDBPyConnection, inferences: LakeTable, feedback: LakeTable
) -> None:
    """Whether each correction equals the output: the one comparison that needs wide columns."""
    any_correction = engine.scalar(
        connection, "SELECT count(*) FROM narrow.feedback WHERE kind = 'correction'"
    )
    if not any_correction or "output" not in inferences.columns:
        connection.execute(
            "CREATE OR REPLACE TEMP TABLE same_output AS "
            "SELECT NULL::BIGINT AS same_row, NULL::VARCHAR AS same_request, "
            "NULL::BOOLEAN AS same_output WHERE false"
        )
        return
    connection.execute(
        "CREATE OR REPLACE TEMP TABLE same_output AS SELECT f.row_id AS same_row, "
        "a.request_id AS same_request, c.corrected_output = o.output AS same_output "
        "FROM narrow.feedback f JOIN narrow.credits a USING (feedback_id) "
        "JOIN narrow.inferences i ON a.request_id = i.request_id "
        f"JOIN (SELECT row_id, corrected_output FROM {feedback.relation}) c "
        "ON f.row_id = c.row_id "
        f"JOIN (SELECT row_id, output FROM {inferences.relation}) o "
        "ON i.row_id = o.row_id WHERE f.kind = 'correction'"
    )
