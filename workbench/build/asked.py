"""Which events may be attributed otherwise than in the last build, and what attribution reads.

As in `workbench.build.changes`, all are temporary tables of what changed.
"""

from __future__ import annotations

import duckdb

from workbench import places
from workbench.attribution import FALLBACK_KEYS, INFERENCE_COLUMNS, SCOPES
from workbench.build.changes import inference_columns, span, temporary
from workbench.engine import literal
from workbench.project import Project


def aliases(connection: duckdb.DuckDBPyConnection) -> None:
    """Put ``narrow.aliases`` into the build; ``changed_names`` are names that lead elsewhere."""
    pairs = "(FROM build.narrow.aliases UNION FROM narrow.aliases)"
    one, other = "build.narrow.aliases", "narrow.aliases"
    temporary(
        connection,
        "changed_names",
        "SELECT request_id AS name FROM changed_inferences "
        f"UNION SELECT alias FROM (FROM {one} EXCEPT FROM {other}) "
        f"UNION SELECT alias FROM (FROM {other} EXCEPT FROM {one}) "
        f"UNION SELECT alias FROM {pairs} SEMI JOIN changed_inferences USING (request_id) "
        f"UNION SELECT alias FROM {pairs} p SEMI JOIN changed_rows r ON p.request_id = r.trace_id",
    )
    connection.execute("DELETE FROM build.narrow.aliases")
    connection.execute("INSERT INTO build.narrow.aliases FROM narrow.aliases")


_ASKING = "f.request_id IS NULL AND f.kind IS DISTINCT FROM 'preference'"
_ALONE = f"(f.scope IS NULL OR f.scope NOT IN ({', '.join(map(literal, SCOPES))}))"


def _beside(project: Project, event: str, row: str) -> list[str]:
    """Conditions under which the search for an event without an id looks at an inference."""
    wholes = [
        f"{_ASKING} AND f.scope = {literal(scope)} AND {event}.{key} = {row}.{key}"
        for scope, key in SCOPES.items()
    ]
    window = span(project.window)
    keys = [FALLBACK_KEYS[way] for way in project.fallback]
    return wholes + [
        f"{_ASKING} AND {_ALONE} AND {event}.{key} = {row}.{key} "
        f"AND {row}.ts BETWEEN {event}.ts - {window} AND {event}.ts"
        for key in keys
    ]


def events(connection: duckdb.DuckDBPyConnection, project: Project) -> None:
    """Make ``changed_events``, whose attribution may change, and ``narrow`` of what it needs.

    ``was_credited`` are the inferences that these events were of. Of the inferences in ``narrow``,
    which are also in ``asked_rows``, only what attribution reads is there; there may be more of
    them than it needs.
    """
    named = [
        "SELECT feedback_id FROM build.narrow.feedback f "
        f"SEMI JOIN changed_names c ON f.{column} = c.name"
        for column in ("request_id", "chosen_id", "rejected_id")
    ]
    beside = [
        f"SELECT f.feedback_id FROM build.narrow.feedback f JOIN changed_rows r ON {condition}"
        for condition in _beside(project, "f", "r")
    ]
    core = " UNION ".join(["SELECT feedback_id FROM changed_feedback", *named, *beside])
    temporary(connection, "core_events", core)
    known = "(FROM build.narrow.feedback UNION ALL FROM was_feedback)"
    temporary(
        connection,
        "changed_events",
        "FROM core_events UNION "
        f"SELECT feedback_id FROM {known} WHERE retracts IN (FROM core_events) UNION "
        f"SELECT retracts FROM {known} WHERE retracts IS NOT NULL "
        "AND feedback_id IN (FROM core_events)",
    )
    connection.execute(
        "CREATE OR REPLACE TABLE narrow.feedback AS FROM build.narrow.feedback "
        "WHERE feedback_id IN (FROM changed_events) OR retracts IN (FROM changed_events) "
        "OR feedback_id IN (SELECT retracts FROM build.narrow.feedback WHERE retracts IS NOT NULL "
        "AND feedback_id IN (FROM changed_events))"
    )
    temporary(
        connection,
        "asked_names",
        "SELECT request_id AS name FROM narrow.feedback UNION "
        "SELECT chosen_id FROM narrow.feedback UNION SELECT rejected_id FROM narrow.feedback",
    )
    connection.execute(
        "CREATE OR REPLACE TABLE narrow.aliases AS FROM build.narrow.aliases "
        "WHERE alias IN (FROM asked_names)"
    )
    changed = "feedback_id IN (FROM changed_events)"
    temporary(connection, "was_attribution", f"FROM build.narrow.attribution WHERE {changed}")
    temporary(
        connection,
        "was_credited",
        f"SELECT request_id FROM build.narrow.credits WHERE {changed} UNION "
        "SELECT unnest([request_id, chosen_request_id, rejected_request_id]) FROM was_attribution",
    )
    targets = "(FROM asked_names UNION SELECT request_id FROM narrow.aliases "
    targets += "UNION FROM was_credited)"
    rows = [
        places.among(targets),
        "SELECT row_id FROM build.narrow.inferences "
        "WHERE trace_id IN (SELECT request_id FROM narrow.aliases)",
        *(
            f"SELECT i.row_id FROM narrow.feedback f JOIN build.narrow.inferences i ON {condition}"
            for condition in _beside(project, "f", "i")
        ),
    ]
    listed = inference_columns(connection, ("row_id", *INFERENCE_COLUMNS))
    connection.execute(
        f"CREATE OR REPLACE TABLE narrow.inferences AS SELECT {listed} "
        f"FROM build.narrow.inferences WHERE row_id IN ({' UNION '.join(rows)})"
    )
    temporary(connection, "asked_rows", "SELECT row_id, request_id FROM narrow.inferences")
