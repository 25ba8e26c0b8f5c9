"""The configured contexts, joined to the inferences one by one, and how well each one matched."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

import duckdb
import ibis.backends.duckdb
import ibis.expr.types as ir
import pyarrow as pa

from workbench import engine, progress
from workbench.build import facts, log_facts, parts
from workbench.build.names import joined
from workbench.build.sources import LakeTable, contract_relation
from workbench.compiled import Parts
from workbench.contexts import (
    ContextJoin,
    Inputs,
    JoinSpec,
    age_column,
    contexts,
    reason_column,
    time_column,
)
from workbench.engine import identifier
from workbench.errors import DataError
from workbench.ingest.context import key_column
from workbench.pieces import cut
from workbench.project import Context, Project


def join_all(
    compiled: Parts, project: Project, tables: Mapping[str, LakeTable], as_of: str | None
) -> dict[str, Any]:
    """Join each context to the narrow inferences, as a table of its own; a report of each.

    The tables are called as `joined` says and have one row per inference: ``row_id``, the context's
    struct and its private columns. The SQL variable ``as_of`` holds that time.

    Raises
    ------
    DataError
        If the facts of a context are what its settings forbid, or a join changed the number of
        inferences.
    """
    connection = compiled.connection
    rows = int(engine.scalar(connection, "SELECT count(*) FROM narrow.inferences"))
    reports = {}
    for context in project.contexts:
        progress.step()
        spec = prepare(connection, project, tables, context)
        refuse(compiled, context, spec)
        figures = join(compiled, project, tables, context, spec, as_of)
        relation = identifier(joined(context.name))
        after = engine.scalar(connection, f"SELECT count(*) FROM {relation}")
        if after != rows:
            raise DataError(
                f"Joining [context.{context.name}] turned {rows:,} inferences into {after:,}.",
                "This is a defect of the join; please report it with the context's settings.",
            )
        why = reasons(connection, context, relation)
        reports[context.name] = figures | report(connection, context, relation, why)
        engine.drop_temporary(connection, [facts.relation(context)])
    return reports


def prepare(
    connection: duckdb.DuckDBPyConnection,
    project: Project,
    tables: Mapping[str, LakeTable],
    context: Context,
    asked: str | None = None,
    rewards: str = log_facts.REWARDS,
) -> JoinSpec:
    """Make the facts of a context, as `facts.prepare` or `log_facts.prepare` does."""
    if context.log is None:
        taken = facts.prepare(connection, context, tables.get(context.table), asked)
    else:
        before = contexts.get(context.join).before(described(context))
        taken = log_facts.prepare(connection, context, project, tables, asked, rewards, before)
    return described(context, taken)


def described(context: Context, taken: tuple[str, ...] = ()) -> JoinSpec:
    """What a join needs to know of a context, whose struct gets the columns `taken`."""
    times = context.times if context.log is None else log_facts.TIMES[context.log]
    return JoinSpec(
        name=context.name,
        keys=tuple((left, key_column(n)) for n, (left, _) in enumerate(context.on)),
        facts=taken,
        order=facts.ORDER,
        times={option: time_column(option) for option in times},
        options=context.options,
    )


def join(
    compiled: Parts,
    project: Project,
    tables: Mapping[str, LakeTable],
    context: Context,
    spec: JoinSpec,
    as_of: str | None,
) -> dict[str, Any]:
    """Join the facts that `prepare` made to ``narrow.inferences``; figures about them."""
    connection = compiled.connection
    kind = contexts.get(context.join)
    others = foreign(kind)
    columns = engine.columns_of(connection, "narrow.inferences")
    wide = [name for name in kind.reads(spec) if name not in columns]
    if wide:
        listed = ", ".join(identifier(name) for name in wide)
        connection.execute(
            f"CREATE OR REPLACE TEMP VIEW wide_columns AS SELECT row_id AS lake_row, {listed} "
            f"FROM {contract_relation(project, tables['inferences'])}"
        )
    read = ["narrow.inferences", facts.relation(context), *(["wide_columns"] if wide else [])]
    if kind.compute is not None:
        moment = None if as_of is None else datetime.fromisoformat(as_of)
        read.append(_compute(compiled, project, kind, replace(spec, as_of=moment), read))
    compiled.run(
        parts.join,
        read,
        others,
        join=context.join,
        spec=spec,
        read=read,
        wide=wide,
        clock=as_of is not None,
        # In the text only where somebody else's code may look at it.
        as_of=as_of if others else None,
        in_order=pieces(compiled, len(project.contexts)) > 1,
    )
    figures = connection.execute("FROM figures_of_context").to_arrow_table().to_pylist()
    return dict(figures[0]) if figures else {}


#: Memory that an inference takes while its contexts and labels are laid beside it and written, and
#: what each context adds.
_ROW_BYTES, _CONTEXT_BYTES = 600, 200


def pieces(compiled: Parts, n: int, relation: str = "narrow.inferences", by: str = "row_id") -> int:
    """Into how many pieces a relation is cut to be joined to inferences and `n` contexts."""
    if compiled.elsewhere is not None:
        return 1
    row_bytes = _ROW_BYTES + _CONTEXT_BYTES * n
    return cut(compiled.connection, relation, row_bytes, by)


def foreign(kind: ContextJoin) -> list[ContextJoin]:
    """A join of another package, which may change without this one; nothing if it is of this."""
    return [kind] if kind in contexts.foreign() else []


def with_wide(
    backend: ibis.backends.duckdb.Backend,
    inferences: ir.Table,
    wide: Sequence[str],
    project: Project,
    table: LakeTable,
) -> ir.Table:
    """`inferences` with wide columns from the lake, for a join that reads them."""
    if not wide:
        return inferences
    lake = backend.sql(
        f"SELECT row_id AS lake_row, {', '.join(identifier(name) for name in wide)} "
        f"FROM {contract_relation(project, table)}"
    )
    return parts.beside(inferences, lake)


def _compute(
    compiled: Parts, project: Project, join: ContextJoin, spec: JoinSpec, read: Sequence[str]
) -> str:
    """What the join computes outside of the engine, as a table of the build."""
    assert join.compute is not None
    connection = compiled.connection
    reading = False

    def stream(query: ir.Table, rows: int) -> Iterator[pa.RecordBatch]:
        # The tables are temporary, so another connection would not see them; and a second query
        # on this one would end the first stream without an error.
        nonlocal reading
        if reading:
            raise RuntimeError("Read one stream to its end before the next.")
        reading = True
        yield from connection.execute(engine.sql_of(query)).to_arrow_reader(rows)
        reading = False

    inferences, known, *wide = (compiled.open(name) for name in read)
    made = join.compute(
        Inputs(
            inferences=parts.beside(inferences, *wide),
            facts=known,
            stream=stream,
            folder=project.state / "artefacts" / spec.name,
            root=project.root,
            spec=spec,
        )
    )
    name = f"computed_{spec.name}"
    with engine.registered(connection, "just_computed", made):
        connection.execute(
            f"CREATE OR REPLACE TEMP TABLE {identifier(name)} AS SELECT * FROM just_computed"
        )
    return name


def refuse(compiled: Parts, context: Context, spec: JoinSpec) -> None:
    """Refuse facts that the settings of their context forbid.

    Raises
    ------
    DataError
        If there are any.
    """
    connection, known = compiled.connection, facts.relation(context)
    others = foreign(contexts.get(context.join))
    compiled.run(parts.refused, [known], others, join=context.join, spec=spec, known=known)
    rows = connection.execute("SELECT key, n FROM refused_facts").fetchall()
    if not rows:
        return
    columns = ", ".join(right for _, right in context.on) or "time"
    many = f"{len(rows):,} keys have" if len(rows) < 1_000 else "at least 1,000 keys have"
    key, n = rows[0]
    raise DataError(
        f"[context.{context.name}] joins by {columns}, but {many} several different rows where "
        f"one is wanted, such as {key!r} with {n:,}.",
        "Make the key unique, or say what several rows mean: "
        + (
            'join = "as_of" with ts takes the row that held at the time, several = "null" none.'
            if context.join == "lookup"
            else "see the options of the join in docs/configuration.md."
        ),
    )


def reasons(
    connection: duckdb.DuckDBPyConnection, context: Context, relation: str
) -> dict[str | None, int]:
    """How many inferences have each reason for finding nothing; None for those that did.

    Parameters
    ----------
    relation
        SQL of a relation of inferences with the private columns of the context.
    """
    rows = connection.execute(
        f"SELECT {identifier(reason_column(context.name))}, count(*) FROM {relation} GROUP BY 1"
    ).fetchall()
    return dict(rows)


def report(
    connection: duckdb.DuckDBPyConnection,
    context: Context,
    relation: str,
    why: Mapping[str | None, int],
) -> dict[str, Any]:
    """How often a context matched, how old its facts were, and why it found nothing.

    Parameters
    ----------
    relation
        SQL of a relation of all inferences with ``row_id`` and the private columns of the context.
    why
        Its `reasons`.
    """
    rows, matched = sum(why.values()), why.get(None, 0)
    origin = context.source.patterns if context.source else [context.log or "computed"]
    return {
        "join": context.join,
        "source": list(origin),
        "matched": matched,
        "rows": rows,
        "match_rate": matched / rows if rows else None,
        "median_age": _median(connection, relation, identifier(age_column(context.name))),
        "reasons": {reason: n for reason, n in sorted(why.items(), key=str) if reason and n},
    }


#: One row in so many tells about where the median is.
_SAMPLED = 97


def _median(connection: duckdb.DuckDBPyConnection, relation: str, column: str) -> float | None:
    """The median of a column; most of its values are counted and not sorted."""
    low, high = engine.scalar(
        connection,
        f"SELECT quantile_cont({column}, [0.49, 0.51]) FROM {relation} "
        f"WHERE row_id % {_SAMPLED} = 0",
    ) or (math.nan, math.nan)
    if math.isfinite(low) and math.isfinite(high):
        known, below = connection.execute(
            f"SELECT count({column}), count(*) FILTER ({column} < {low!r}) FROM {relation}"
        ).fetchone() or (0, 0)
        first, last = (known - 1) // 2 - below, known // 2 - below
        n, median = connection.execute(
            f"SELECT count(*), median({column}) FROM (SELECT {column} FROM {relation} "
            f"WHERE {column} BETWEEN {low!r} AND {high!r} ORDER BY 1 "
            f"LIMIT {last - first + 1} OFFSET {max(first, 0)})"
        ).fetchone() or (0, None)
        if first >= 0 and n == last - first + 1:
            return float(median)
    found = engine.scalar(connection, f"SELECT median({column}) FROM {relation}")
    return None if found is None else float(found)
