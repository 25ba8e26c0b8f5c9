"""The views that analysts read: narrow tables with the lake's wide columns joined late, by row."""

from __future__ import annotations

from collections.abc import Sequence

import duckdb

from workbench import contract, engine, pieces
from workbench.build.events import WIDE_FEEDBACK, live
from workbench.build.sources import LakeTable, contract_relation
from workbench.engine import identifier, literal
from workbench.importers import PART
from workbench.project import Project


def create(
    connection: duckdb.DuckDBPyConnection,
    project: Project,
    inferences: LakeTable,
    feedback: LakeTable,
    quarantine: LakeTable,
) -> None:
    """Create every view, with the contract's comments."""
    lake_inferences = contract_relation(project, inferences)
    lake_feedback = contract_relation(project, feedback)
    listed = ", ".join(f"l.{identifier(n)}" for n in contract.table("inferences").columns)
    connection.execute(
        f"CREATE VIEW main.inferences AS SELECT {listed} FROM {lake_inferences} l "
        "SEMI JOIN narrow.inferences n ON l.row_id = n.row_id"
    )
    renamed = ", ".join(
        f"n.{name}" if name in ("kind", "received_at") else f"l.{identifier(name)}"
        for name in contract.table("feedback").columns
    )
    connection.execute(
        f"CREATE VIEW main.feedback AS SELECT {renamed} FROM {lake_feedback} l "
        "JOIN narrow.feedback n ON l.row_id = n.row_id"
    )
    connection.execute(
        "CREATE VIEW main.attribution AS SELECT a.*, l.raw, l.source_file, l.source_row "
        "FROM narrow.attribution a JOIN narrow.feedback n ON a.feedback_id = n.feedback_id "
        f"JOIN (SELECT row_id, raw, source_file, source_row FROM {lake_feedback}) l "
        "ON n.row_id = l.row_id"
    )
    for name in ("aliases", "credits", "labels", "ledger"):
        connection.execute(f"CREATE VIEW main.{name} AS SELECT * FROM narrow.{name}")
    connection.execute(
        'CREATE VIEW main.quarantine AS SELECT "table", reason, field, raw, source_file, '
        f"source_row, ingested_at FROM {_refused_rows(project, quarantine)} "
        "UNION ALL SELECT * EXCLUDE (id) FROM narrow.refused"
    )
    if inferences.in_place is not None:
        # Without the id of their file and their row in it, all rows are read for one.
        connection.execute(
            f"CREATE VIEW narrow.payload AS SELECT row_id, {PART} AS part, source_row, "
            f"{', '.join(contract.WIDE_COLUMNS)} "
            f"FROM {contract_relation(project, inferences, also=(PART,))}"
        )
    _enriched_inferences(connection, lake_inferences)
    _enriched_feedback(connection, lake_inferences, lake_feedback)
    _enriched_steps(connection, lake_inferences)
    _comment(connection)


def _refused_rows(project: Project, quarantine: LakeTable) -> str:
    """Refused rows of readings that count; a broken-off row that was completed since is not one."""
    rows = live(contract_relation(project, quarantine))
    return (
        f"(SELECT q.* FROM {rows} q LEFT JOIN narrow.readings r ON q.ingest_id = r.ingest_id "
        "WHERE NOT (q.reason IN ('incomplete', 'truncated_file') AND r.continued))"
    )


def refused_counts(project: Project, quarantine: LakeTable) -> str:
    """Query of how many rows were refused, by table and reason."""
    return (
        f'SELECT "table", reason, count(*) FROM (SELECT "table", reason FROM '
        f"{_refused_rows(project, quarantine)} UNION ALL "
        'SELECT "table", reason FROM narrow.refused) GROUP BY ALL ORDER BY ALL'
    )


def _enriched_inferences(connection: duckdb.DuckDBPyConnection, lake: str) -> None:
    of_lake = ("request_id", "ts", *contract.WIDE_COLUMNS)
    columns = engine.columns_of(connection, "narrow.enriched_inferences")
    order = _ordered(
        {name: f"n.{identifier(name)}" for name in columns if name not in ("row_id", *of_lake)},
        {name: f"w.{identifier(name)}" for name in of_lake},
    )
    connection.execute(
        f"CREATE VIEW main.enriched_inferences AS SELECT {order} "
        "FROM narrow.enriched_inferences n "
        f"JOIN {_texts(lake, of_lake)} w ON n.row_id = w.row_id WHERE {pieces.in_time('n.ts')}"
    )


def _enriched_feedback(
    connection: duckdb.DuckDBPyConnection, inferences: str, feedback: str
) -> None:
    of_lake = ("ts", *contract.WIDE_COLUMNS)
    columns = engine.columns_of(connection, "narrow.enriched_feedback")
    own = {
        ("feedback_" + name if name in contract.table("inferences").columns else name): name
        for name in WIDE_FEEDBACK
        if name != "raw"
    }
    order = _ordered(
        {
            name: f"n.{identifier(name)}"
            for name in columns
            if name not in ("row_id", "feedback_row_id", *of_lake)
        },
        {name: f"w.{identifier(name)}" for name in of_lake},
    )
    events = ", ".join(f"e.{identifier(old)} AS {identifier(new)}" for new, old in own.items())
    connection.execute(
        f"CREATE VIEW main.enriched_feedback AS SELECT {order}, {events} "
        "FROM narrow.enriched_feedback n "
        f"LEFT JOIN {_texts(inferences, of_lake)} w ON n.row_id = w.row_id "
        f"JOIN (SELECT row_id, {', '.join(own.values())} FROM {feedback}) e "
        f"ON n.feedback_row_id = e.row_id WHERE {pieces.in_time('n.ts')}"
    )


def _texts(inferences: str, columns: Sequence[str]) -> str:
    """Columns of the lake by row.

    Id and time are those of the build too. Where the views show the lake's, a condition on them
    spares row groups of texts.
    """
    listed = ", ".join(("row_id", *columns))
    return f"(SELECT {listed} FROM {inferences} WHERE {pieces.in_time('ts')})"


#: Where a log says that a step failed: its message first, then its kind, then that it failed.
_ERRORS = (
    "$.error.message", "$.error", '$."error.message"', "$.exception.message", "$.exception",
    '$."exception.message"', '$."error.type"',
)  # fmt: skip
_STATUS_MESSAGES = (
    "$.status_message", "$.statusMessage", '$."status.message"', "$.status.message",
    "$.status.description",
)  # fmt: skip
_STATUSES = ("$.status", "$.status.code", '$."status.code"', "$.status_code", "$.level")


def _error(metadata: str, tags: str) -> str:
    """SQL of what `metadata` (JSON or NULL) and `tags` say went wrong; NULL where nothing did."""

    def found(paths: tuple[str, ...]) -> str:
        values = (f"nullif({metadata} ->> {literal(path)}, '')" for path in paths)
        # What is written where there was no error is no message.
        return ", ".join(
            f"CASE WHEN lower({value}) NOT IN ('false', 'null', 'none', '0', '{{}}', '[]') "
            f"THEN {value} END"
            for value in values
        )

    says_error = "regexp_full_match({0}, '(?i)(status_code_)?(error|failed|failure)')"
    status = " OR ".join(
        f"coalesce({says_error.format(f'({metadata} ->> {literal(path)})')}, false)"
        for path in _STATUSES
    )
    tag = f"list_filter({tags}, lambda t: regexp_matches(t, '(?i)^error([:=]|$)'))[1]"
    tag_text = f"coalesce(nullif(trim(regexp_replace({tag}, '(?i)^error[:=]?', '')), ''), {tag})"
    return (
        f"coalesce({found(_ERRORS)}, "
        f"CASE WHEN {status} THEN coalesce({found(_STATUS_MESSAGES)}, 'error') END, {tag_text})"
    )


def _enriched_steps(connection: duckdb.DuckDBPyConnection, lake: str) -> None:
    derived = {
        "error": _error("w.metadata", "w.tags"),
        "n_tool_calls": (
            "CASE json_type(w.calls) WHEN 'ARRAY' THEN CAST(json_array_length(w.calls) AS BIGINT) "
            "WHEN 'OBJECT' THEN 1 END"
        ),
    }
    narrow = engine.columns_of(connection, "narrow.enriched_steps")
    listed = ", ".join(
        f"{derived[name]} AS {name}" if name in derived else f"{'nw'[name not in narrow]}.{name}"
        for name in contract.table("enriched_steps").columns
    )
    wide = (
        "SELECT row_id, tool_calls, reasoning, output, tags, "
        "CASE WHEN json_valid(tool_calls) THEN CAST(tool_calls AS JSON) END AS calls, "
        "CASE WHEN json_valid(metadata) THEN CAST(metadata AS JSON) END AS metadata "
        f"FROM {lake}"
    )
    connection.execute(
        f"CREATE VIEW main.enriched_steps AS SELECT {listed} FROM narrow.enriched_steps n "
        f"JOIN ({wide}) w ON n.row_id = w.row_id"
    )


def _ordered(narrow: dict[str, str], wide: dict[str, str]) -> str:
    """The columns of the contract first and in its order, then those that were added."""
    everything = {**narrow, **wide}
    first = [name for name in contract.table("inferences").columns if name in everything]
    rest = [name for name in everything if name not in first]
    return ", ".join(f"{everything[name]} AS {identifier(name)}" for name in [*first, *rest])


def _comment(connection: duckdb.DuckDBPyConnection) -> None:
    """Carry the contract's comments over to the views, and to narrow tables that have none."""
    known = {name: table.columns for name, table in contract.tables().items()}
    base = {**known["inferences"], **known["enriched"], **known["fitted"]}
    events = {f"feedback_{n}": c for n, c in known["feedback"].items()} | known["feedback"]
    comments = {
        "enriched_inferences": base,
        "enriched_feedback": {**known["attribution"], **events, **base},
    }
    statements = []
    shown: set[str] = set()
    # Each comment copies its relation's entry in the catalog: half of a thousand take a while.
    for schema, kind in (("main", "VIEW"), ("narrow", "TABLE")):
        relations = connection.execute(
            "SELECT table_name, list(column_name) FROM duckdb_columns() "
            f"WHERE schema_name = {literal(schema)} AND NOT internal "
            "AND database_name = current_catalog() GROUP BY 1"
        ).fetchall()
        shown = {relation for relation, _ in relations} if schema == "main" else shown
        for relation, columns in relations:
            if schema == "narrow" and relation in shown:
                continue
            meaning = comments.get(relation, known.get(relation, {}))
            if relation in known:
                statements.append(
                    f"COMMENT ON {kind} {schema}.{relation} IS "
                    f"{literal(contract.table(relation).comment)}"
                )
            statements += [
                f"COMMENT ON COLUMN {schema}.{relation}.{identifier(column)} IS "
                f"{literal(meaning[column].comment)}"
                for column in columns
                if column in meaning
            ]
    connection.execute(";\n".join(["BEGIN", *statements, "COMMIT"]))
