"""Applies the pinned artefacts: their columns, and how far each of them fits the build."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import duckdb
import ibis
import ibis.backends.duckdb
import ibis.expr.types as ir

from workbench import artefacts, contract, engine
from workbench.artefacts import Artefact
from workbench.build.contexts import with_wide
from workbench.build.sources import LakeTable
from workbench.compiled import Parts, Scope
from workbench.engine import identifier, literal
from workbench.errors import ConfigError, DataError
from workbench.project import Project


def pinned(project: Project) -> dict[str, str]:
    """Id by kind of what the next build applies."""
    return artefacts.pinned(artefacts.folder(project))


def add(compiled: Parts, project: Project, table: LakeTable, pieces: int = 1) -> None:
    """Make ``narrow.enriched_inferences`` of ``enriching``, with the columns of all artefacts.

    They are NULL where none is pinned.

    Parameters
    ----------
    compiled, project
        Of the build.
    table
        The inferences in the lake, for artefacts that read wide columns.
    pieces
        Into how many the inferences are cut.

    Raises
    ------
    DataError
        If an artefact does not fit the build.
    """
    made = _pinned(project)
    if not made:
        stored = engine.stored_columns(compiled.connection, "inferences")
        empty = [name for name, held in stored.items() if not held]
        compiled.run(_without, ["enriching"], empty=empty, pieces=pieces)
        return
    connection, backend = compiled.connection, compiled.backend
    fitted = _applied(connection, backend, project, table, made, backend.table("enriching"))
    connection.execute(f"CREATE TABLE {_MADE} AS {engine.sql_of(fitted.drop(*_PRIVATE))}")


def _without(scope: Scope, *, empty: Sequence[str], pieces: int) -> None:
    enriched = scope.tables["enriching"]
    fitted = _completed(enriched, enriched.columns).drop(*_PRIVATE)
    scope.make(_MADE, fitted, empty=[*empty, *_declared()], n_pieces=pieces)


_MADE = "narrow.enriched_inferences"
_PRIVATE = ("ingest_id", "source_file", "source_row")


def _completed(enriched: ir.Table, given: Sequence[str]) -> ir.Table:
    """The columns `given`, and those of the contract that artefacts have; NULL where absent."""
    declared = _declared()
    absent = {
        name: ibis.null(dtype) for name, dtype in declared.items() if name not in enriched.columns
    }
    return enriched.mutate(**absent).select(*given, *declared)


def _declared() -> dict[str, Any]:
    columns = contract.table("fitted").columns.values()
    return {column.name: engine.dtype(column.type) for column in columns}


def _applied(
    connection: duckdb.DuckDBPyConnection,
    backend: ibis.backends.duckdb.Backend,
    project: Project,
    table: LakeTable,
    pins: Sequence[Artefact],
    enriched: ir.Table,
) -> ir.Table:
    """`enriched` with the columns of all artefacts."""
    declared = _declared()
    given = enriched.columns
    plain = enriched
    for made in pins:
        kind = artefacts.artefacts.get(made.kind)
        reads = kind.reads(made.state)
        _check(project, made, reads, (*given, *contract.WIDE_COLUMNS))
        if not kind.columns:
            continue
        had = enriched.columns
        wide = [name for name in reads if name not in had]
        rows = with_wide(backend, enriched, wide, project, table)
        if made.table is not None:
            path = artefacts.table_path(artefacts.folder(project), made.id)
            values = (
                f"SELECT COLUMNS('(.*)') AS 'fitted_\\1' FROM read_parquet({literal(str(path))})"
            )
            rows = _joined(connection, backend, rows, f"artefact_{made.kind}", values)
        if made.where is None:
            columns = kind.values(rows, made.state)
        else:
            meant = _population(connection, backend, project, table, made, plain)
            rows = _joined(connection, backend, rows, f"population_{made.kind}", meant)
            inside = rows["population_request_id"].notnull()
            columns = {
                name: inside.ifelse(value, ibis.null(value.type()))
                for name, value in kind.values(rows, made.state).items()
            }
        filled = {name: value.cast(declared[name]) for name, value in columns.items()}
        enriched = rows.mutate(**filled).select(*had, *filled)
    return _completed(enriched, given)


def rater_weights(project: Project) -> tuple[str, float]:
    """Query of the weights of raters of the artefact that is pinned, and the weight of others.

    Raises
    ------
    ConfigError
        If none is.
    """
    identity = pinned(project).get("raters")
    if identity is None:
        raise ConfigError(
            "[labels] policy = 'rater_weighted' needs the weights of the raters, and none are "
            "pinned.",
            "Fit them on a build with another policy: workbench fit raters; then set the policy "
            "and type: workbench build",
        )
    state = artefacts.load(artefacts.folder(project), identity).state
    return weights_query(state), float(state["other"])


def weights_query(state: Mapping[str, Any]) -> str:
    """Query of the weights of raters, as ``weighted_rater`` and ``rater_weight``."""
    raters = engine.list_literal(state["weights"])
    # A text is read as the very same DOUBLE.
    weights = engine.list_literal(repr(weight) for weight in state["weights"].values())
    return (
        f"SELECT unnest(CAST({raters} AS VARCHAR[])) AS weighted_rater, "
        f"unnest(CAST({weights} AS DOUBLE[])) AS rater_weight"
    )


def _pinned(project: Project) -> list[Artefact]:
    place = artefacts.folder(project)
    return [artefacts.load(place, identity) for identity in pinned(project).values()]


def _check(project: Project, made: Artefact, reads: Sequence[str], columns: Sequence[str]) -> None:
    """Refuse an artefact whose columns are not there, or are not what they were."""
    hint = (
        f"Build without it, then fit it anew: workbench fit {made.kind} --drop; workbench build; "
        f"workbench fit {made.kind}"
    )
    missing = [name for name in reads if name not in columns]
    if missing:
        raise DataError(
            f"The artefact {made.id} reads the column {missing[0]!r}, which the build does not "
            "have.",
            hint,
        )
    now = artefacts.meaning(project, tuple(reads))
    for name in sorted({*now, *made.meaning}):
        before, after = made.meaning.get(name, "nothing"), now.get(name, "nothing")
        if before != after:
            raise DataError(
                f"The artefact {made.id} was fitted where {name} was {before}; now it is {after}.",
                hint,
            )


def _joined(
    connection: duckdb.DuckDBPyConnection,
    backend: ibis.backends.duckdb.Backend,
    rows: ir.Table,
    name: str,
    query: str,
) -> ir.Table:
    """`rows` with the columns of a query, at most one row of it each, by ``request_id``."""
    connection.execute(f"CREATE OR REPLACE TEMP TABLE {identifier(name)} AS {query}")
    values = backend.table(name)
    (key,) = (column for column in values.columns if column.endswith("request_id"))
    return rows.left_join(values, rows["request_id"] == values[key])


def _population(
    connection: duckdb.DuckDBPyConnection,
    backend: ibis.backends.duckdb.Backend,
    project: Project,
    table: LakeTable,
    made: Artefact,
    plain: ir.Table,
) -> str:
    """Query of the inferences that an artefact is about, as it was fitted on a part of them.

    What is true of that part need not be true of the others.
    """
    rows = with_wide(backend, plain, contract.WIDE_COLUMNS, project, table)
    query = f"SELECT request_id AS population_request_id FROM ({engine.sql_of(rows)}) WHERE ("
    query += f"\n{made.where}\n)"
    try:
        connection.execute(f"EXPLAIN {query}").fetchall()
    except duckdb.Error as error:
        raise DataError(
            f"The artefact {made.id} is for inferences where {made.where}, which does not fit the "
            f"build: {engine.message(error)}",
            f"Build without it: workbench fit {made.kind} --drop; workbench build",
        ) from error
    return query


def report(connection: duckdb.DuckDBPyConnection, project: Project) -> dict[str, dict[str, Any]]:
    """Note the artefacts in the build; of each, how far the build has gone beyond it.

    Returns
    -------
    dict
        By kind ``id``, ``held_out``, ``fitted_to``, ``newer`` (inferences after that) and
        ``other_versions`` (model versions that it was not fitted on).
    """
    connection.execute(
        "CREATE TABLE narrow.artefacts (kind VARCHAR, id VARCHAR, held_out VARCHAR, "
        "fitted_to TIMESTAMPTZ)"
    )
    made = _pinned(project)
    engine.insert(
        connection,
        "narrow.artefacts",
        [(one.kind, one.id, one.held_out, one.fitted_to) for one in made],
    )
    found = {}
    for one in made:
        newer, others = connection.execute(
            "SELECT count(*) FILTER (ts > CAST($1 AS TIMESTAMPTZ)), "
            "coalesce(list_sort(list(DISTINCT model_version) "
            "FILTER (NOT list_contains($2::VARCHAR[], model_version))), []) "
            "FROM narrow.enriched_inferences",
            [one.fitted_to, list(one.versions)],
        ).fetchone() or (0, [])
        found[one.kind] = {
            "id": one.id,
            "held_out": one.held_out,
            "fitted_to": one.fitted_to,
            "newer": newer,
            "other_versions": others,
        }
    return found


def notes(reports: dict[str, dict[str, Any]]) -> list[str]:
    """What a person should know of artefacts that may have become stale."""
    return [
        f"{kind} ({one['id']}) was not fitted on model version "
        f"{', '.join(map(repr, one['other_versions']))}: fit it anew with workbench fit {kind}"
        for kind, one in reports.items()
        if one["other_versions"]
    ]
