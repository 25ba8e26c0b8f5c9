"""Which inferences may be others than in the last build: by their events, their facts, and time."""

from __future__ import annotations

from workbench import engine
from workbench.build import changes, facts, log_facts, parts
from workbench.build import contexts as build_contexts
from workbench.build.changes import Refresh, Unable, span, temporary
from workbench.contexts import contexts, time_column
from workbench.engine import identifier
from workbench.ingest.context import key_column
from workbench.project import Context

#: Part of the inferences from which on it takes no longer to build all of them.
_MOST = 0.5


def rows(run: Refresh, as_of: str | None) -> None:
    """Make ``anew``, the ``row_id`` of all inferences that may be others now.

    For each context there is a table `joined_anew` beside it; of the other inferences it is as it
    was.

    Raises
    ------
    Unable
        If that could be all of them.
    """
    connection, project = run.connection, run.project
    _same_rules(run, as_of)
    temporary(connection, "reached", "FROM relabelled")
    maturity = project.maturity
    if maturity and as_of is not None:
        connection.execute(
            "INSERT INTO reached SELECT row_id FROM build.narrow.enriched_inferences "
            f"WHERE ts <= getvariable('as_of') - {span(maturity)} AND label_reason = 'not_mature'"
        )
    anew = ["SELECT row_id FROM labelled_anew"]
    temporary(connection, "labelled_anew", "FROM reached")
    for context in project.contexts:
        temporary(connection, "reached", "SELECT row_id FROM narrow.inferences WHERE false")
        _reach(run, context, as_of)
        temporary(
            connection,
            joined_anew(context),
            "SELECT DISTINCT row_id FROM (FROM reached UNION ALL SELECT row_id FROM new_rows)",
        )
        anew.append(f"SELECT row_id FROM {joined_anew(context)}")
    temporary(
        connection,
        "anew",
        " UNION ".join(anew),
    )
    few, many = connection.execute(
        "SELECT (SELECT count(*) FROM anew), (SELECT count(*) FROM build.narrow.inferences)"
    ).fetchone() or (0, 0)
    if few > _MOST * many:
        raise Unable(f"{few:,} of {many:,} inferences may be others now")


def joined_anew(context: Context) -> str:
    """Table of the ``row_id`` of the inferences for which a context may be another now."""
    return identifier(f"anew_{context.name}")


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
    spec = build_contexts.described(context)
    if known is not None:
        others = build_contexts.foreign(kind)
        run.compiled.run(parts.reach, [known], others, join=context.join, spec=spec, known=known)
    pairs = [f"i.{identifier(left)} = r.{identifier(left)}" for left, _ in context.on]
    shares, ahead = kind.shares(spec), kind.horizon(spec)
    if shares is not None:
        reach = span(shares)
        near = " AND ".join([*pairs, f"i.ts BETWEEN r.ts - {reach} AND r.ts + {reach}"])
        connection.execute(
            "INSERT INTO reached SELECT i.row_id FROM build.narrow.inferences i "
            f"JOIN changed_rows r ON {near}"
        )
    if ahead is not None and as_of is not None and run.last_as_of is not None:
        ends = span(ahead)
        connection.execute(
            "INSERT INTO reached SELECT row_id FROM build.narrow.inferences WHERE ts <= "
            f"getvariable('as_of') - {ends} AND ts > "
            f"CAST({engine.literal(run.last_as_of)} AS TIMESTAMPTZ) - {ends}"
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
    listed = ", ".join([*keys, *(time_column(option) for option in log_facts.TIMES[context.log])])
    narrow = Context(name=context.name, source=None, join=context.join, log=context.log,
                     on=context.on)  # fmt: skip
    made: list[str] = []
    # Facts as they were, and as they are.
    for events_, rows_, found in (
        ("was_feedback", "was_inferences", "was_attribution"),
        ("build.narrow.feedback", "new_rows", "build.narrow.attribution"),
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
        connection.execute(f"CREATE OR REPLACE TABLE narrow.inferences AS FROM {rows_}")
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
