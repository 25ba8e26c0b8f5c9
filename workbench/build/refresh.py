"""A build made of the last one: what changed, and what that can change, is made anew.

A refresh is a small build of these rows and of what their results depend on, by the same parts, in
a database beside a copy of the last build; its rows then take the place of theirs. So the result is
that of a build of everything. Where that cannot be known, it is `Unable`, and all is built anew.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import duckdb

from workbench import engine, state
from workbench.build import changes, events, facts, parts, stages
from workbench.build import contexts as build_contexts
from workbench.build.changes import NONE, Readings, Unable, merge, only, temporary
from workbench.build.sources import LakeTable
from workbench.compiled import Parts
from workbench.contexts import JoinSpec, contexts, time_column
from workbench.engine import identifier
from workbench.ingest.context import key_column
from workbench.project import Context, Project

#: Part of the inferences from which on it takes no longer to build all of them.
_MOST = 0.5


@dataclass(frozen=True, kw_only=True)
class Refresh:
    """What a refresh is made of.

    Attributes
    ----------
    compiled, project, tables
        As of a build of everything. The database in use is an empty one with ``narrow.readings``
        and ``narrow.refused``; a copy of the last build is attached as ``build``.
    fresh
        Of the inferences and the feedback the part that the new readings are in.
    changed
        Which readings of each table are new, and which count no more.
    last_as_of, last_reports
        The last build's ``as_of``, and its reports of contexts.
    """

    compiled: Parts
    project: Project
    tables: Mapping[str, LakeTable]
    fresh: Mapping[str, LakeTable]
    changed: Mapping[str, Readings]
    last_as_of: str | None
    last_reports: Mapping[str, Mapping[str, Any]]

    @property
    def connection(self) -> duckdb.DuckDBPyConnection:
        """The connection."""
        return self.compiled.connection

    def moved(self, table: str) -> Readings:
        """The difference between the readings of a table."""
        return self.changed.get(table, NONE)


@contextmanager
def using(connection: duckdb.DuckDBPyConnection, database: str) -> Iterator[None]:
    """Use another database for the length of a block."""
    before = engine.scalar(connection, "SELECT current_database()")
    connection.execute(f"USE {database}")
    try:
        yield
    finally:
        connection.execute(f"USE {before}")


def logs(run: Refresh) -> None:
    """Bring inferences, feedback, aliases, and what is attributed to what up to date.

    Makes ``changed_rows`` and ``changed_events``, and ``relabelled``: the inferences whose events
    are others now.
    """
    connection, project = run.connection, run.project
    changes.inferences(
        run.compiled, run.tables["inferences"], run.fresh["inferences"], run.moved("inferences"),
        project,
    )  # fmt: skip
    changes.feedback(
        run.compiled, run.tables["feedback"], run.fresh["feedback"], run.moved("feedback"), project
    )
    events.aliases(connection, project, run.tables.get("aliases"))
    changes.aliases(connection)
    changes.asked(connection, project)
    temporary(
        connection,
        "was_attribution",
        "FROM build.narrow.attribution WHERE feedback_id IN (FROM changed_events)",
    )
    _drop(connection, "attribution", "credits")
    stages.attribute(run.compiled, project)
    sides = "UNION ".join(
        f"SELECT {column} FROM {relation} WHERE feedback_id IN (FROM changed_events) "
        for relation in ("build.narrow.attribution", "narrow.attribution")
        for column in ("chosen_request_id", "rejected_request_id", "request_id")
    )
    credited = " UNION ".join(
        f"SELECT request_id FROM {schema}.credits WHERE feedback_id IN (FROM changed_events)"
        for schema in ("build.narrow", "narrow")
    )
    temporary(
        connection,
        "relabelled",
        "SELECT DISTINCT request_id FROM (SELECT request_id FROM changed_inferences "
        f"UNION ALL ({credited}) UNION ALL ({sides})) WHERE request_id IS NOT NULL",
    )
    for name in ("attribution", "credits"):
        merge(connection, name, "feedback_id", "changed_events", "feedback_id IN "
              "(SELECT feedback_id FROM build.narrow.feedback SEMI JOIN changed_events "
              "USING (feedback_id))")  # fmt: skip
    with using(connection, "build"):
        _drop(connection, "clocks")
        stages.clocks(run.compiled, project)


def rows(run: Refresh, as_of: str | None) -> None:
    """Make ``anew``, the ``row_id`` and ``request_id`` of all inferences that may be others now.

    Raises
    ------
    Unable
        If that could be all of them.
    """
    connection, project = run.connection, run.project
    _same_rules(run, as_of)
    temporary(
        connection,
        "reached",
        "SELECT row_id FROM build.narrow.inferences SEMI JOIN relabelled USING (request_id)",
    )
    maturity = project.maturity.total_seconds()
    if maturity > 0 and as_of is not None:
        connection.execute(
            "INSERT INTO reached SELECT row_id FROM build.narrow.enriched_inferences "
            "WHERE label_reason = 'not_mature' AND "
            f"ts + {_span(maturity)} <= getvariable('as_of')"
        )
    for context in project.contexts:
        _reach(run, context, as_of)
    temporary(
        connection,
        "anew",
        "SELECT row_id, request_id FROM build.narrow.inferences SEMI JOIN reached USING (row_id)",
    )
    few, many = connection.execute(
        "SELECT (SELECT count(*) FROM anew), (SELECT count(*) FROM build.narrow.inferences)"
    ).fetchone() or (0, 0)
    if few > _MOST * many:
        raise Unable(f"{few:,} of {many:,} inferences may be others now")


def _same_rules(run: Refresh, as_of: str | None) -> None:
    """Whether what is not about single rows is as it was."""
    before, connection = run.last_as_of, run.connection
    if (as_of is None) != (before is None) or (as_of and before and _later(run, before, as_of)):
        raise Unable("the time that is known ends before that of the last build")
    if run.project.clock_skew == "correct":
        raise Unable("corrected clocks may date any event anew")
    signals = run.project.signals.values()
    if not run.project.label_signals and not any(signal.kind == "label" for signal in signals):
        named = "(SELECT 1 FROM build.narrow.feedback WHERE kind = 'label')"
        was = "(SELECT 1 FROM was_feedback WHERE kind = 'label')"
        if engine.scalar(connection, f"SELECT EXISTS {named} OR EXISTS {was}"):
            raise Unable("events name classes, and no signal is configured to")


def _later(run: Refresh, one: str, other: str) -> bool:
    row = run.connection.execute(
        "SELECT CAST($1 AS TIMESTAMPTZ) > CAST($2 AS TIMESTAMPTZ)", [one, other]
    ).fetchone()
    return bool(row and row[0])


def _reach(run: Refresh, context: Context, as_of: str | None) -> None:
    """Put into ``reached`` the inferences for which a context may be another now."""
    connection = run.connection
    kind = contexts.get(context.join)
    if kind.reach is None:
        raise Unable(f"[context.{context.name}] may be another for every inference")
    known = "changed_facts" if _changed_facts(run, context, forward=kind.forward) else None
    keys = tuple((left, key_column(n)) for n, (left, _) in enumerate(context.on))
    times = {option: time_column(option) for option in context.times}
    if context.log is not None:
        times = {option: time_column(option) for option in ("ts", "known_at", "until")}
    spec = JoinSpec(
        name=context.name,
        keys=keys,
        facts=(),
        order=facts.ORDER,
        times=times,
        options=context.options,
    )
    if known is not None:
        run.compiled.run(parts.reach, [known], join=context.join, spec=spec, known=known)
    pairs = [f"i.{identifier(left)} = r.{identifier(left)}" for left, _ in context.on]
    shares, ahead = kind.shares(spec), kind.horizon(spec)
    if shares is not None:
        near = " AND ".join([*pairs, f"i.ts BETWEEN r.ts - {_span(shares.total_seconds())} "
                             f"AND r.ts + {_span(shares.total_seconds())}"])  # fmt: skip
        connection.execute(
            "INSERT INTO reached SELECT i.row_id FROM build.narrow.inferences i "
            f"JOIN changed_rows r ON {near}"
        )
    if ahead is not None and as_of is not None and run.last_as_of is not None:
        span = _span(ahead.total_seconds())
        connection.execute(
            "INSERT INTO reached SELECT row_id FROM build.narrow.inferences "
            f"WHERE ts + {span} > CAST($1 AS TIMESTAMPTZ) AND ts + {span} <= getvariable('as_of')",
            [run.last_as_of],
        )


def _changed_facts(run: Refresh, context: Context, *, forward: bool) -> bool:
    """Make ``changed_facts``, keys and times of facts that are new or gone; whether any can be."""
    connection = run.connection
    keys = [key_column(number) for number in range(len(context.on))]
    if context.log is None:
        table = run.tables.get(context.table)
        times = [time_column(option) for option in context.times]
        listed = ", ".join([*keys, *times])
        moved = run.moved(context.table)
        if table is None or not table.files or not (moved.any or forward):
            return False
        private = ("row_id", "ingest_id", "source_file", "source_row")
        own = [identifier(n) for n in private if n in table.columns]
        one, other = (
            f"(SELECT * EXCLUDE ({', '.join(own)}) FROM {table.relation} "
            f"WHERE ingest_id IN ({changes.listed(numbers)}))"
            for numbers in (moved.new, moved.gone)
        )
        # A file that was written anew has most of its rows again.
        query = f"SELECT {listed} FROM ((FROM {one} EXCEPT FROM {other}) UNION ALL "
        query += f"(FROM {other} EXCEPT FROM {one}))"
        if forward and run.last_as_of is not None:
            # What was recorded after the end of what was known, and is known now.
            query += (
                f" UNION ALL SELECT {listed} FROM {table.relation} WHERE "
                f"greatest({', '.join(times)}) > CAST({engine.literal(run.last_as_of)} "
                "AS TIMESTAMPTZ)"
            )
        temporary(connection, "changed_facts", query)
        return True
    listed = ", ".join([*keys, *(time_column(option) for option in ("ts", "known_at", "until"))])
    narrow = Context(name=context.name, source=None, join=context.join, log=context.log,
                     on=context.on)  # fmt: skip
    made: list[str] = []
    # Facts as they were, and as they are.
    for events_, rows_, found in (
        ("was_feedback", "was_inferences", "was_attribution"),
        ("build.narrow.feedback", "build.narrow.inferences", "build.narrow.attribution"),
    ):
        _relations(run, events_, rows_, found, log=context.log)
        build_contexts.prepare(connection, run.project, run.tables, narrow, rewards=_NO_REWARDS)
        name = f"changed_facts_{len(made)}"
        temporary(connection, name, f"SELECT {listed} FROM {identifier(facts.relation(context))}")
        made.append(f"SELECT {listed} FROM {name}")
    temporary(connection, "changed_facts", " UNION ALL ".join(made))
    return True


_NO_REWARDS = "(SELECT NULL::VARCHAR AS feedback_id, NULL::DOUBLE AS reward WHERE false)"


def _relations(run: Refresh, events_: str, rows_: str, found: str, *, log: str) -> None:
    """Make ``narrow`` of the changed rows of a log, and of what they are joined to."""
    connection = run.connection
    if log == "inferences":
        query = f"FROM {rows_} SEMI JOIN changed_inferences USING (request_id)"
        connection.execute(f"CREATE OR REPLACE TABLE narrow.inferences AS {query}")
        return
    changed = "WHERE feedback_id IN (FROM changed_events) OR retracts IN (FROM changed_events)"
    connection.execute(
        f"CREATE OR REPLACE TABLE narrow.feedback AS FROM {events_} {changed} UNION "
        f"FROM build.narrow.feedback {changed}"
    )
    connection.execute(
        f"CREATE OR REPLACE TABLE narrow.attribution AS FROM {found} "
        "WHERE feedback_id IN (FROM changed_events)"
    )
    connection.execute(
        "CREATE OR REPLACE TABLE narrow.inferences AS "
        "FROM (FROM build.narrow.inferences UNION ALL FROM was_inferences) SEMI JOIN "
        "(SELECT unnest([request_id, chosen_request_id, rejected_request_id]) AS request_id "
        "FROM narrow.attribution) USING (request_id)"
    )


def enriched(run: Refresh, as_of: str | None) -> dict[str, Any]:
    """Label and enrich the inferences in ``anew``; the reports of the contexts."""
    connection, project = run.connection, run.project
    temporary(
        connection,
        "changed_traces",
        "SELECT DISTINCT trace_id FROM (SELECT trace_id FROM build.narrow.inferences "
        "SEMI JOIN anew USING (row_id) UNION ALL SELECT trace_id FROM was_inferences) "
        "WHERE trace_id IS NOT NULL",
    )
    only(
        connection,
        "inferences",
        "row_id IN (SELECT row_id FROM anew) OR trace_id IN (FROM changed_traces)",
    )
    temporary(
        connection,
        "judging",
        "SELECT feedback_id FROM build.narrow.credits WHERE request_id IN "
        "(SELECT request_id FROM narrow.inferences) UNION FROM changed_events UNION "
        "SELECT feedback_id FROM build.narrow.attribution WHERE request_id IN "
        "(SELECT request_id FROM narrow.inferences) OR chosen_request_id IN "
        "(SELECT request_id FROM anew) OR rejected_request_id IN (SELECT request_id FROM anew)",
    )
    for name in ("feedback", "attribution", "credits"):
        only(connection, name, "feedback_id IN (FROM judging)")
    _drop(connection, "labels", "enriched_steps")
    logged = (run.tables["inferences"], run.tables["feedback"])
    stages.label(run.compiled, project, *logged, clock=as_of is not None)
    stages.traces(run.compiled)
    reports = {context.name: _join(run, context, as_of) for context in project.contexts}
    only(connection, "inferences", "row_id IN (SELECT row_id FROM anew)")
    _drop(connection, "enriched_inferences", "contexts", "enriched_feedback")
    stages.enrich(run.compiled, project, run.tables["inferences"])
    stages.judgements(run.compiled)
    _keep(run)
    total = int(engine.scalar(connection, "SELECT count(*) FROM build.narrow.inferences"))
    return {
        context.name: reports[context.name]
        | build_contexts.report(connection, context, "build.narrow.contexts", total)
        for context in project.contexts
    }


def _join(run: Refresh, context: Context, as_of: str | None) -> dict[str, Any]:
    """Join a context to the inferences in ``anew``; figures of all its facts."""
    connection = run.connection
    kind = contexts.get(context.join)
    moved = context.log is None and run.moved(context.table).any
    near = "row_id IN (SELECT row_id FROM anew)"
    keys = [(identifier(left), key_column(n)) for n, (left, _) in enumerate(context.on)]
    probe = JoinSpec(
        name=context.name, keys=(), facts=(), order=facts.ORDER, options=context.options
    )
    shares = kind.shares(probe)
    if shares is not None:
        span = _span(shares.total_seconds())
        same = "".join(f"a.{left} = b.{left} AND " for left, _ in keys)
        near += (
            " OR row_id IN (SELECT a.row_id FROM build.narrow.inferences a "
            "JOIN (FROM build.narrow.inferences SEMI JOIN anew USING (row_id)) b "
            f"ON {same} a.ts BETWEEN b.ts - {span} AND b.ts + {span})"
        )
    only(connection, "inferences", near)
    asked = ", ".join(f"CAST({left} AS VARCHAR) AS {key}" for left, key in keys)
    if keys:
        temporary(connection, "asked_keys", f"SELECT DISTINCT {asked} FROM narrow.inferences")
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
    before = run.last_reports[context.name]
    return {name: value if moved else before[name] for name, value in figures.items()}


#: What every event is worth: those that are judged anew, and the others as they were.
_REWARDS = (
    "(SELECT feedback_id, reward FROM rewarded WHERE main UNION ALL "
    "SELECT feedback_id, reward FROM build.narrow.enriched_feedback ANTI JOIN judging "
    "USING (feedback_id))"
)


def _keep(run: Refresh) -> None:
    """Put what was made anew in the place of what was."""
    connection = run.connection
    temporary(connection, "old_ids", "FROM changed_inferences UNION SELECT request_id FROM anew")
    new = "request_id IN (SELECT request_id FROM anew)"
    groups = "CAST(ts AS DATE) AS day, model_version, cohort"
    temporary(
        connection,
        "changed_groups",
        f"SELECT {groups} FROM build.narrow.enriched_inferences SEMI JOIN old_ids "
        f"USING (request_id) UNION SELECT {groups} FROM narrow.enriched_inferences",
    )
    temporary(
        connection,
        "shown",
        "FROM changed_events UNION SELECT feedback_id FROM build.narrow.attribution "
        "WHERE status = 'attributed' AND request_id IN (SELECT request_id FROM anew)",
    )
    tables = ["labels", "enriched_inferences", *(["contexts"] if run.project.contexts else [])]
    for name in tables:
        merge(connection, name, "request_id", "old_ids", new)
    merge(connection, "enriched_feedback", "feedback_id", "shown", "feedback_id IN (FROM shown)")
    merge(
        connection, "enriched_steps", "trace_id", "changed_traces",
        "trace_id IN (FROM changed_traces)",
    )  # fmt: skip
    same = " AND ".join(
        f"g.{key} IS NOT DISTINCT FROM t.{key}" for key in ("day", "model_version", "cohort")
    )
    # The sums of a group are added up anew: taken away and added, they would drift.
    connection.execute("DROP TABLE narrow.enriched_inferences")
    connection.execute(
        "CREATE VIEW narrow.enriched_inferences AS SELECT t.* EXCLUDE (day) FROM "
        "(SELECT *, CAST(ts AS DATE) AS day FROM build.narrow.enriched_inferences) t "
        f"SEMI JOIN changed_groups g ON {same}"
    )
    state.create(run.compiled)
    for name in ("metric_state", "metric_sums"):
        connection.execute(
            f"DELETE FROM build.narrow.{name} t WHERE EXISTS (FROM changed_groups g WHERE {same})"
        )
        connection.execute(f"INSERT INTO build.narrow.{name} FROM narrow.{name}")


def clear(connection: duckdb.DuckDBPyConnection) -> None:
    """Remove from the build what is made at the end: its views and macros, and what is counted."""
    kept = connection.execute(
        "SELECT 'VIEW main.' || view_name FROM duckdb_views() WHERE NOT internal "
        "AND database_name = 'build' AND schema_name = 'main' UNION "
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


def _span(seconds: float) -> str:
    return f"to_microseconds({round(seconds * 1_000_000)})"
