"""The leak audit: whether any context of a build was newer than its inference, or known later.

Each context is checked twice. What the join says about the facts that it took is compared with the
inference's time; and, where the struct is a fact as it stands in the source, the fact is looked for
again in the lake, by key and content, without the join.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import duckdb

from workbench import engine
from workbench.build.events import live
from workbench.build.facts import values_of
from workbench.build.manifest import read as read_manifest
from workbench.build.sources import LakeTable, open_table
from workbench.contexts import contexts, known_column, reason_column, time_column
from workbench.engine import identifier, literal
from workbench.errors import NotFoundError
from workbench.ingest.context import key_column
from workbench.lake import Lake
from workbench.project import Context, Project

#: What an audit can say of a context.
VERDICTS = ("proven", "leak", "unproven", "forward", "computed")
#: Inferences that are named.
_NAMED = 5


@dataclass(frozen=True, kw_only=True)
class Audit:
    """What the audit found of one context.

    Attributes
    ----------
    context, join
        Which context, and how it is joined.
    verdict
        ``proven``: every fact that was taken was known at its inference's time. ``leak``: some was
        not. ``unproven``: the source does not say from when its facts hold. ``forward``: the join
        looks forward, as it says by name. ``computed``: there are no facts.
    rows
        Inferences that got something from it.
    newest
        Seconds from the newest fact of an inference to the inference, the least over all; negative
        for a leak, NULL where facts have no time.
    leaking
        Inferences with a fact that they could not know.
    examples
        Some of them, by request_id.
    notes
        What was compared with what, and what the source cannot prove.
    """

    context: str
    join: str
    verdict: str
    rows: int
    newest: float | None = None
    leaking: int = 0
    examples: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def audit(project: Project) -> list[Audit]:
    """Audit every context of the build in force.

    Raises
    ------
    NotFoundError
        If there is no build, or it was made before a context was configured.
    """
    manifest = read_manifest(project)
    if manifest is None:
        raise NotFoundError(f"{project.root} has no build.", "Make one with: workbench build")
    connection = engine.connect(temp=engine.spill_folder(project.state))
    try:
        path = literal(str(project.state / manifest["file"]))
        connection.execute(f"ATTACH {path} AS build (READ_ONLY)")
        connection.execute("USE build")
        connection.execute(f"SET VARIABLE root = {literal(str(project.state) + '/')}")
        lake = Lake(project.state)
        built = set(manifest["status"]["contexts"])
        missing = [context.name for context in project.contexts if context.name not in built]
        if missing:
            raise NotFoundError(
                f"The build has no context {', '.join(missing)}.", "Build again: workbench build"
            )
        return [
            _audit(connection, context, open_table(lake, context.table, manifest["tables"]))
            for context in project.contexts
        ]
    finally:
        connection.close()


def _audit(
    connection: duckdb.DuckDBPyConnection,
    context: Context,
    table: LakeTable,
) -> Audit:
    join = contexts.get(context.join)
    reason = identifier(reason_column(context.name))
    rows = int(
        engine.scalar(connection, f"SELECT count(*) FROM narrow.contexts WHERE {reason} IS NULL")
    )
    found_of = partial(Audit, context=context.name, join=context.join, rows=rows)
    if join.source == "none":
        return found_of(verdict="computed")
    if join.forward:
        note = "looks forward by its nature: compare its columns with time in mind"
        return found_of(verdict="forward", notes=(note,))
    newest, timed, leaking = _as_joined(connection, context)
    notes = [f"{timed:,} of {rows:,} rows have a time at which their facts were known"]
    if context.source is not None:
        # What is computed from facts is none that could be found again, even by the same name.
        found = _again(connection, context, table) if join.columns == "all" else None
        if found is not None:
            leaking = sorted({*leaking, *found[0]})
            notes.append(f"{found[1]:,} facts were found again in the source, each by its time")
        notes += _what_the_source_says(connection, context, table)
    holds = "proven" if timed == rows else "unproven"
    return found_of(
        verdict="leak" if leaking else holds,
        newest=newest,
        leaking=len(leaking),
        examples=tuple(leaking[:_NAMED]),
        notes=tuple(notes),
    )


def _as_joined(
    connection: duckdb.DuckDBPyConnection, context: Context
) -> tuple[float | None, int, list[str]]:
    """What the join said: the least lead of an inference, rows with a time, and those that leak."""
    known, reason = identifier(known_column(context.name)), identifier(reason_column(context.name))
    relation = (
        f"(SELECT request_id, epoch_us(e.ts) - epoch_us(c.{known}) AS lead FROM narrow.contexts c "
        f"JOIN narrow.enriched_inferences e USING (request_id) "
        f"WHERE c.{reason} IS NULL AND c.{known} IS NOT NULL)"
    )
    newest, timed = connection.execute(
        f"SELECT min(lead) / 1e6, count(*) FROM {relation}"
    ).fetchone() or (None, 0)
    leaking = connection.execute(
        f"SELECT request_id FROM {relation} WHERE lead < 0 ORDER BY 1"
    ).fetchall()
    return newest, int(timed), [row[0] for row in leaking]


def _again(
    connection: duckdb.DuckDBPyConnection, context: Context, table: LakeTable
) -> tuple[list[str], int] | None:
    """Inferences whose fact the source did not have in time, and how many facts were compared.

    None where the struct is not a fact as it stands in the source, or facts have no time.
    """
    fields = _fields(connection, context.name)
    times = [option for option in ("ts", "valid_from", "known_at") if option in context.times]
    if not table.files or not times or not fields or not set(fields) <= set(table.columns):
        return None
    values = values_of(connection, table)
    from_when = ", ".join(time_column(option) for option in times)
    keys = [key_column(number) for number in range(len(context.on))]
    content = ", ".join(f"{identifier(name)} := {values[name]}" for name in fields)
    first = (
        f"SELECT {', '.join([*keys, ''])}struct_pack({content}) AS content, "
        f"min(greatest({from_when})) AS first FROM {live(table.relation)} GROUP BY ALL"
    )
    name = identifier(context.name)
    asked = "".join(
        f", CAST(e.{identifier(left)} AS VARCHAR) AS {key}"
        for (left, _), key in zip(context.on, keys, strict=True)
    )
    equal = " AND ".join([*(f"f.{key} = a.{key}" for key in keys), "f.content = a.content"])
    connection.execute(
        f"CREATE OR REPLACE TEMP TABLE found_again AS WITH f AS ({first}), a AS ("
        f"SELECT e.request_id, e.ts, e.{name} AS content{asked} FROM narrow.enriched_inferences e "
        f"WHERE e.{name} IS NOT NULL) SELECT a.request_id, f.first IS NOT NULL AND f.first <= a.ts "
        f"AS known FROM a LEFT JOIN f ON {equal}"
    )
    leaking = connection.execute(
        "SELECT request_id FROM found_again WHERE NOT known ORDER BY 1"
    ).fetchall()
    total = engine.scalar(connection, "SELECT count(*) FROM found_again")
    return [row[0] for row in leaking], int(total or 0)


def _what_the_source_says(
    connection: duckdb.DuckDBPyConnection, context: Context, table: LakeTable
) -> list[str]:
    """What the source of a context cannot prove."""
    if "known_at" not in context.times:
        clock = next((option for option in ("ts", "valid_from") if option in context.times), None)
        if clock is None:
            return ["the source has no time and no known_at: nothing shows when a fact was known"]
        return [f"the source has no known_at: its facts are taken as known from their {clock} on"]
    if not table.files:
        return []
    silent = engine.scalar(
        connection,
        f"SELECT count(*) FROM {live(table.relation)} WHERE {time_column('known_at')} IS NULL",
    )
    return [f"{silent:,} facts do not say when they were recorded"] if silent else []


def _fields(connection: duckdb.DuckDBPyConnection, name: str) -> list[str]:
    """Fields of a context's struct."""
    relation = f"(SELECT {identifier(name)}.* FROM narrow.enriched_inferences LIMIT 0)"
    try:
        return list(engine.columns_of(connection, relation))
    except duckdb.Error:
        return []
