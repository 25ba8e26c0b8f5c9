"""A build made of the last one: what changed, and what that can change, is made anew.

A refresh is a small build of these rows and of what their results depend on, by the same parts, in
a database beside a copy of the last build; its rows then take the place of theirs. So the result is
that of a build of everything. Where that cannot be known, it is `Unable`, and all is built anew.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

import duckdb

from workbench import engine, progress
from workbench.build import asked, changes, events, facts, reach, stages, sums, whole
from workbench.build import contexts as build_contexts
from workbench.build.changes import Refresh, Unable, merge, only, temporary, using
from workbench.build.names import joined, private_columns
from workbench.build.sources import LakeTable
from workbench.compiled import Parts
from workbench.contexts import contexts
from workbench.engine import identifier
from workbench.ingest.context import key_column
from workbench.ingest.records import Record, superseded
from workbench.project import Context, Project


def check_files(tables: Mapping[str, LakeTable], last: Mapping[str, Any]) -> None:
    """Whether the lake still has the files that the last build was made of.

    Raises
    ------
    Unable
        If it does not.
    """
    before = last["lake"]
    for name, table in tables.items():
        if not set(before.get(name, [])) <= set(table.files):
            raise Unable(f"rows of {name} were erased")


def refill(
    compiled: Parts,
    project: Project,
    tables: dict[str, LakeTable],
    register: list[tuple[str, Record]],
    as_of: str | None,
    *,
    last: dict[str, Any],
) -> whole.Filled:
    """Bring the tables of a copy of the last build up to date; as `whole.fill`."""
    connection = compiled.connection
    progress.begin("attribute", connection=connection)
    connection.execute("ATTACH ':memory:' AS part")
    connection.execute("USE part")
    connection.execute("CREATE SCHEMA narrow")
    changed = changes.readings(connection, register, superseded([r for _, r in register])[0])
    new = {name: changed.get(name, changes.NONE).new for name in ("inferences", "feedback")}
    fresh = {
        name: changes.of_new_files(connection, tables[name], last["lake"][name], numbers)
        for name, numbers in new.items()
    }
    whole.open_in_place(
        connection, project, fresh, register, tables["quarantine"], new["inferences"]
    )
    whole.open_in_place(connection, project, tables, register)
    whole.readings(connection, register)
    run = Refresh(
        compiled=compiled,
        project=project,
        tables=tables,
        fresh=fresh,
        changed=changed,
        last_as_of=last["as_of"],
        last_reports=last["status"]["contexts"],
    )
    logs(run)
    progress.begin("enrich", connection=connection)
    with using(connection, "build"):
        horizon = whole.known_until(connection, as_of)
    reach.rows(run, horizon)
    reports = enriched(run, horizon)
    connection.execute("USE build")
    clear(connection)
    return horizon, reports, "shown"


def logs(run: Refresh) -> None:
    """Bring inferences, feedback, aliases, and what is attributed to what up to date.

    Makes ``changed_rows`` and ``changed_events``, and ``relabelled``, the ``row_id`` of inferences
    that are others, or whose events are.
    """
    connection, project = run.connection, run.project
    changes.inferences(run)
    changes.feedback(run)
    events.aliases(connection, project, run.tables.get("aliases"))
    asked.aliases(connection)
    asked.events(connection, project)
    _drop(connection, "attribution", "credits")
    stages.attribute(run.compiled, project)
    changed = "WHERE feedback_id IN (FROM changed_events)"
    temporary(
        connection,
        "relabelled",
        "SELECT row_id FROM new_rows UNION SELECT row_id FROM asked_rows WHERE request_id IN "
        f"(FROM was_credited UNION SELECT request_id FROM narrow.credits {changed} UNION "
        "SELECT unnest([request_id, chosen_request_id, rejected_request_id]) "
        f"FROM narrow.attribution {changed})",
    )
    for name in ("attribution", "credits"):
        merge(connection, name, "feedback_id", "changed_events", "feedback_id IN "
              "(SELECT feedback_id FROM build.narrow.feedback SEMI JOIN changed_events "
              "USING (feedback_id))")  # fmt: skip


def enriched(run: Refresh, as_of: str | None) -> dict[str, Any]:
    """Label and enrich the inferences in ``anew``; the reports of the contexts."""
    connection, project = run.connection, run.project
    _rows(connection, project)
    connection.execute(
        "CREATE OR REPLACE TABLE narrow.inferences AS FROM rows_anew UNION ALL "
        "FROM build.narrow.inferences WHERE trace_id IN (FROM changed_traces) "
        "AND row_id NOT IN (FROM anew)"
    )
    temporary(
        connection,
        "judging",
        "SELECT feedback_id FROM build.narrow.credits WHERE request_id IN "
        "(SELECT request_id FROM narrow.inferences) UNION FROM changed_events UNION "
        "SELECT feedback_id FROM build.narrow.attribution WHERE request_id IN "
        "(SELECT request_id FROM narrow.inferences) OR chosen_request_id IN "
        "(FROM ids_anew) OR rejected_request_id IN (FROM ids_anew)",
    )
    for name in ("feedback", "attribution", "credits"):
        only(connection, name, "feedback_id IN (FROM judging)")
    _drop(connection, "labels", "enriched_steps")
    logged = (run.tables["inferences"], run.tables["feedback"])
    stages.label(run.compiled, project, *logged, clock=as_of is not None)
    stages.traces(run.compiled)
    reports = {context.name: _join(run, context, as_of) for context in project.contexts}
    connection.execute("CREATE OR REPLACE TABLE narrow.inferences AS FROM rows_anew")
    _drop(connection, "enriched_inferences", "contexts", "enriched_feedback")
    stages.enrich(run.compiled, project, run.tables["inferences"])
    stages.judgements(run.compiled)
    _keep(run)
    return {
        context.name: reports[context.name]
        | build_contexts.report(
            connection, context, "build.narrow.contexts", _reasons(run, context)
        )
        for context in project.contexts
    }


def _reasons(run: Refresh, context: Context) -> dict[str | None, int]:
    """Why a context finds nothing: as it was, less the rows that were replaced, and the new."""
    before = run.last_reports[context.name]
    counts = Counter({None: before["matched"], **before["reasons"]})
    counts.subtract(build_contexts.reasons(run.connection, context, "was_contexts"))
    counts.update(build_contexts.reasons(run.connection, context, "narrow.contexts"))
    return dict(counts)


def _rows(connection: duckdb.DuckDBPyConnection, project: Project) -> None:
    """Make ``rows_anew`` and ``changed_traces`` of the inferences in ``anew``.

    ``was_enriched`` and ``was_contexts`` are the rows that will be replaced. Each of the large
    tables is read once: an inference that did not change is in its enriched row.
    """
    temporary(
        connection,
        "was_enriched",
        "FROM build.narrow.enriched_inferences WHERE row_id IN "
        "(FROM anew UNION SELECT row_id FROM was_inferences)",
    )
    enriched = engine.columns_of(connection, "was_enriched")
    listed = changes.inference_columns(connection, enriched)
    temporary(
        connection,
        "rows_anew",
        f"FROM new_rows UNION ALL SELECT {listed} FROM was_enriched "
        "WHERE row_id NOT IN (SELECT row_id FROM was_inferences)",
    )
    temporary(connection, "ids_anew", "SELECT request_id FROM rows_anew")
    temporary(
        connection,
        "changed_traces",
        "SELECT DISTINCT trace_id FROM (SELECT trace_id FROM rows_anew UNION ALL "
        "SELECT trace_id FROM was_inferences) WHERE trace_id IS NOT NULL",
    )
    if project.contexts:
        temporary(
            connection,
            "was_contexts",
            "SELECT * EXCLUDE (request_id) FROM build.narrow.contexts "
            "WHERE row_id IN (SELECT row_id FROM was_enriched)",
        )


def _join(run: Refresh, context: Context, as_of: str | None) -> dict[str, Any]:
    """Join a context to the inferences in ``anew``; figures of all its facts.

    Only those are joined for which it may be another; of the others it is as it was.
    """
    connection = run.connection
    kind = contexts.get(context.join)
    own = reach.joined_anew(context)
    moved = context.log is None and run.moved(context.table).any
    keys = [(identifier(left), key_column(n)) for n, (left, _) in enumerate(context.on)]
    connection.execute(
        f"CREATE OR REPLACE TABLE narrow.inferences AS FROM rows_anew SEMI JOIN {own} "
        "USING (row_id)"
    )
    shares = kind.shares(build_contexts.described(context))
    if shares is not None:
        span = changes.span(shares)
        same = "".join(f"a.{left} = b.{left} AND " for left, _ in keys)
        connection.execute(
            "INSERT INTO narrow.inferences FROM build.narrow.inferences WHERE row_id IN "
            "(SELECT a.row_id FROM build.narrow.inferences a JOIN narrow.inferences b "
            f"ON {same} a.ts BETWEEN b.ts - {span} AND b.ts + {span}) "
            "AND row_id NOT IN (SELECT row_id FROM narrow.inferences)"
        )
    listed = ", ".join(f"CAST({left} AS VARCHAR) AS {key}" for left, key in keys)
    if keys:
        temporary(
            connection,
            "asked_keys",
            f"SELECT {listed}, min(ts) AS {facts.OLDEST} FROM narrow.inferences GROUP BY ALL",
        )
    only_asked = "asked_keys" if keys and not moved else None
    if context.log is None:
        spec = build_contexts.prepare(connection, run.project, run.tables, context, only_asked)
    else:
        with using(connection, "build"):
            spec = build_contexts.prepare(
                connection, run.project, run.tables, context, only_asked, _REWARDS
            )
    if moved:
        build_contexts.refuse(run.compiled, context, spec)
    figures = build_contexts.join(run.compiled, run.project, run.tables, context, spec, as_of)
    _complete(connection, context.name, own)
    before = run.last_reports[context.name]
    return {name: value if moved else before[name] for name, value in figures.items()}


def _complete(connection: duckdb.DuckDBPyConnection, context: str, own: str) -> None:
    """Lay beside what was joined to the rows in `own` what the other rows in ``anew`` had."""
    made = identifier(joined(context))
    columns = ", ".join(map(identifier, [context, *private_columns(context)]))
    was = (
        f"(SELECT row_id, {columns} FROM was_enriched JOIN was_contexts USING (row_id) "
        f"WHERE row_id IN (SELECT row_id FROM rows_anew) AND row_id NOT IN (FROM {own}))"
    )
    before, now = (engine.columns_of(connection, relation) for relation in (was, made))
    others = [name for name, dtype in now.items() if before[name] != dtype]
    if others:
        raise Unable(f"{others[0]} is another column now")
    connection.execute(f"DELETE FROM {made} WHERE row_id NOT IN (FROM {own})")
    connection.execute(f"INSERT INTO {made} BY NAME FROM {was}")


#: What every event is worth: those that are judged anew, and the others as they were.
_REWARDS = (
    "(SELECT feedback_id, reward FROM rewarded WHERE main UNION ALL "
    "SELECT feedback_id, reward FROM build.narrow.enriched_feedback ANTI JOIN judging "
    "USING (feedback_id))"
)


def _keep(run: Refresh) -> None:
    """Put what was made anew in the place of what was."""
    connection = run.connection
    temporary(connection, "old_ids", "FROM changed_inferences UNION FROM ids_anew")
    new = "request_id IN (FROM ids_anew)"
    sums.before(run.compiled)
    temporary(
        connection,
        "shown",
        "FROM changed_events UNION SELECT feedback_id FROM build.narrow.attribution "
        "WHERE status = 'attributed' AND request_id IN (FROM ids_anew)",
    )
    merge(connection, "labels", "request_id", "old_ids", new)
    merge(connection, "enriched_inferences", "row_id", "was_enriched", new)
    if run.project.contexts:
        merge(connection, "contexts", "row_id", "was_contexts", new)
    merge(connection, "enriched_feedback", "feedback_id", "shown", "feedback_id IN (FROM shown)")
    merge(
        connection, "enriched_steps", "trace_id", "changed_traces",
        "trace_id IN (FROM changed_traces)",
    )  # fmt: skip
    sums.after(run.compiled)
    with using(connection, "build"):
        _drop(connection, "clocks")
        stages.clocks_again(run.compiled)


def clear(connection: duckdb.DuckDBPyConnection) -> None:
    """Remove from the build what is made at the end: its views and macros, and what is counted."""
    kept = connection.execute(
        "SELECT 'VIEW ' || schema_name || '.' || view_name FROM duckdb_views() WHERE NOT internal "
        "AND database_name = 'build' AND schema_name IN ('main', 'narrow') UNION "
        "SELECT 'MACRO TABLE main.' || function_name FROM duckdb_functions() WHERE NOT internal "
        "AND database_name = 'build' AND schema_name = 'main'"
    ).fetchall()
    for (name,) in kept:
        connection.execute(f"DROP {name}")
    connection.execute("DELETE FROM build.narrow.readings")
    connection.execute("INSERT INTO build.narrow.readings FROM part.narrow.readings")
    _drop(connection, "ledger", "artefacts")


def _drop(connection: duckdb.DuckDBPyConnection, *names: str) -> None:
    for name in names:
        connection.execute(f"DROP TABLE IF EXISTS narrow.{name}")
