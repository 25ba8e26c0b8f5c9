"""Fits artefacts on a build, judges them by the rows that were held out, and keeps them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from datetime import UTC
from typing import Any

import ibis.expr.types as ir

from workbench import artefacts
from workbench.artefacts import Artefact, ArtefactKind, Rows
from workbench.build.lock import writing
from workbench.engine import identifier, literal
from workbench.errors import ConfigError, DataError
from workbench.guide import check_params
from workbench.measure import RELATION
from workbench.metrics import evaluate, metrics, parse_calls
from workbench.project import Project
from workbench.query import Build
from workbench.raters import votes

#: Half of the rows, by their ids: what is held out where there is no time to go by.
_BY_ID = "substr(md5(request_id || ':held out'), 1, 1) >= '8'"

_ALWAYS = ("request_id", "ts", "model_version")


def fit(
    project: Project,
    build: Build,
    kind: str,
    *,
    params: Mapping[str, Any] | None = None,
    where: str | None = None,
    since: str | None = None,
    until: str | None = None,
    pin: bool = True,
) -> Artefact:
    """Fit an artefact on a build and keep it.

    Parameters
    ----------
    project, build
        The project, and the build of it to read.
    kind
        Name of the kind.
    params
        Its parameters; the others have their defaults.
    where
        SQL condition over ``enriched_inferences``: the population. The columns are NULL for others,
        for what is true of a part need not be true of the rest.
    since, until
        Only rows from `since` on and before `until`. Of a kind that is judged by later rows,
        `until` is the border; by default the median time of the rows.
    pin
        Let the next build use it.

    Returns
    -------
    Artefact
        With its id. Equal input gives an equal id.

    Raises
    ------
    ConfigError
        If the kind or a parameter does not exist.
    QueryError
        If `where` does not fit the columns.
    DataError
        If there is nothing to fit on.
    """
    declared = artefacts.artefacts.get(kind)
    values = check_params(kind, declared.params, params or {})
    population = _Population(project, build, declared, values, where)
    begin, end = (None if t is None else population.moment(t) for t in (since, until))
    held_out = population.held_out(begin, end) if declared.holds_out else None
    fitted_on = [f"ts >= {_time(begin)}"] if begin else []
    if held_out is not None:
        fitted_on.append(f"({held_out}) IS NOT true")
    if end is not None:
        fitted_on.append(f"ts < {_time(end)}")
    rows = population.rows(fitted_on)
    facts = build.arrow(
        f"SELECT min(ts) AS first, max(ts) AS last, count(*) AS n, "
        f"list_sort(list(DISTINCT model_version)) AS versions FROM ({rows})"
    ).to_pylist()[0]
    if not facts["n"]:
        raise DataError(
            f"There are no rows to fit {kind} on.",
            f"It needs {' with '.join(filter(None, ('rows', ', '.join(declared.needs(values)))))}; "
            "widen --where, --since and --until.",
        )
    found = declared.fit(
        Rows(
            table=build.query_table(rows),
            execute=build.execute,
            project=project,
            votes=votes(build, project) if declared.weighs_votes else None,
        ),
        values,
    )
    made = Artefact(
        kind=kind,
        build=build.id,
        params=values,
        where=where.strip() if where and where.strip() else None,
        since=begin,
        until=end,
        n=found.n,
        fitted_from=_iso(facts["first"]),
        fitted_to=_iso(facts["last"]),
        versions=tuple(facts["versions"] or ()),
        held_out=held_out,
        meaning=artefacts.meaning(project, declared.reads(found.state)),
        state=found.state,
        figures=dict(found.figures),
    )
    if held_out is not None:
        later = build.query_table(population.rows([held_out]))
        made = replace(
            made, figures={**made.figures, "held_out": _judge(build, declared, later, made)}
        )
    with writing(project):
        kept = artefacts.save(artefacts.folder(project), made, found.table)
        if pin:
            artefacts.pin(artefacts.folder(project), kind, kept.id)
    return kept


def use(project: Project, kind: str, identity: str | None) -> None:
    """Let the next build use an older artefact of a kind, or none.

    Raises
    ------
    NotFoundError
        If there is no such artefact.
    ConfigError
        If it is of another kind.
    """
    artefacts.artefacts.get(kind)
    if identity is not None and artefacts.load(artefacts.folder(project), identity).kind != kind:
        raise ConfigError(f"{identity!r} is not of the kind {kind}.", "See: workbench fit --list")
    with writing(project):
        artefacts.pin(artefacts.folder(project), kind, identity)


def before_and_after(
    build: Build, only: Sequence[str] = (), by: Sequence[str] = (), where: str | None = None
) -> list[dict[str, Any]]:
    """Metrics as they are and with the recalibration that the build applied.

    Parameters
    ----------
    build
        The build to read.
    only
        Metrics; all those of the calibration score when empty.
    by, where
        As in `workbench.measure.measure`.

    Returns
    -------
    list of dict
        The rows of `measure`, each twice, with ``probability``: first ``calibration_p``, then
        ``calibrated_p``. They are about inferences that have both and were not fitted on.

    Raises
    ------
    DataError
        If the build applied none.
    ConfigError
        If a metric does not read the calibration score.
    """
    column = "calibration_p"
    reading = [name for name in metrics.names() if column in metrics.get(name).needs]
    calls = [str(call) for call in parse_calls(only)] if only else reading
    for call in parse_calls(calls):
        if call.name not in reading:
            raise ConfigError(
                f"{call.name} does not read the probability, so a recalibration does not change "
                "it.",
                f"Use some of: {', '.join(reading)}.",
            )
    applied = build.arrow("SELECT kind, held_out FROM narrow.artefacts").to_pylist()
    found = [
        (artefacts.artefacts.get(row["kind"]).replaces[column], row["held_out"])
        for row in applied
        if column in artefacts.artefacts.get(row["kind"]).replaces
    ]
    if not found:
        raise DataError(
            f"The build {build.id} has no recalibration.",
            "Make one with: workbench fit recalibration; workbench build",
        )
    ((better, held_out),) = found
    if where and where.strip():
        held_out = f"{build.expression(where)} AND ({held_out})"
    groups = {expression: build.expression(expression) for expression in by}
    relation = build.narrowest(RELATION, held_out, better, *groups.values())
    present = build.columns(RELATION)
    listed = "".join(
        f", {sql} AS {identifier(expression)}"
        for expression, sql in groups.items()
        if expression not in present
    )
    as_it_is = f"SELECT *{listed} FROM {relation} WHERE {better} IS NOT NULL AND {held_out}"
    corrected = f"SELECT * REPLACE ({better} AS {column}) FROM ({as_it_is})"
    before, after = (
        evaluate(build.query_table(query), calls, by, build.arrow)
        for query in (as_it_is, corrected)
    )
    return [
        {**row, "probability": name}
        for pair in zip(before, after, strict=True)
        for name, row in zip((column, better), pair, strict=True)
    ]


def kept(project: Project) -> list[Artefact]:
    """All artefacts of a project, by id."""
    return artefacts.kept(artefacts.folder(project))


def described(project: Project, made: Artefact) -> dict[str, Any]:
    """An artefact as a dict, with ``pinned``: whether the next build uses it."""
    pinned = artefacts.pinned(artefacts.folder(project))
    return {**asdict(made), "pinned": pinned.get(made.kind) == made.id}


class _Population:
    """The rows of a build that a kind is about, as queries."""

    def __init__(
        self,
        project: Project,
        build: Build,
        kind: ArtefactKind,
        params: Mapping[str, Any],
        where: str | None,
    ) -> None:
        self._build, self._kind = build, kind
        condition = build.expression(where) if where and where.strip() else "true"
        wanted = dict.fromkeys((*_ALWAYS, "label", "reward", *kind.needs(params)))
        present = build.columns(RELATION)
        missing = [name for name in wanted if name not in present]
        if missing:
            raise DataError(
                f"{kind.name} needs the column {missing[0]!r}, which the build does not have.",
                "Map it in workbench.toml, then: workbench build",
            )
        wanted |= dict.fromkeys(name for name in kind.wants(params, project) if name in present)
        listed = ", ".join(identifier(name) for name in wanted)
        relation = build.narrowest(RELATION, listed, condition)
        self._sql = (
            f"SELECT {listed}, label IS NOT NULL OR reward IS NOT NULL AS labelled "
            f"FROM {relation} WHERE {condition}"
        )
        if kind.about is not None:
            table = build.query_table(self._sql)
            self._sql = build.sql_of(table.filter(kind.about(table)))

    def rows(self, conditions: list[str]) -> str:
        """Query of the rows for which all conditions hold."""
        return f"SELECT * FROM ({self._sql}) WHERE {' AND '.join(conditions) or 'true'}"

    def moment(self, text: str) -> str:
        """A time that a person typed, as ISO text."""
        try:
            table = self._build.arrow(f"SELECT CAST({literal(text)} AS TIMESTAMPTZ) AS t")
        except Exception as error:
            raise ConfigError(
                f"{text!r} is not a time.", "Write it as 2026-01-31T12:00:00Z."
            ) from error
        return str(_iso(table["t"][0].as_py()))

    def held_out(self, since: str | None, until: str | None) -> str:
        """Condition of the rows that are not fitted on: the later half, or those from `until` on.

        Where no row is earlier than another one, it is half of the ids.
        """
        if until is not None:
            return f"ts >= {_time(until)}"
        rows = self.rows([f"ts >= {_time(since)}"] if since else [])
        # An aggregate and not a window: the border is a time that some row has.
        facts = self._build.arrow(
            f"SELECT min(ts) AS first, quantile_disc(ts, 0.5) AS border FROM ({rows})"
        ).to_pylist()[0]
        if facts["border"] is None or facts["border"] == facts["first"]:
            return _BY_ID
        return f"ts >= {_time(_iso(facts['border']))}"


def _time(iso: str | None) -> str:
    return f"TIMESTAMPTZ {literal(iso)}"


def _iso(moment: Any) -> str | None:
    return None if moment is None else moment.astimezone(UTC).isoformat()


def _judge(
    build: Build, kind: ArtefactKind, later: ir.Table, made: Artefact
) -> list[dict[str, Any]]:
    """Metrics of the rows that were held out, as they are and with the artefact."""
    calls = [name for name in kind.judged_by if name in metrics]
    better = later.mutate(
        **{old: kind.values(later, made.state)[new] for old, new in kind.replaces.items()}
    )
    before = evaluate(later, calls, execute=build.arrow)
    after = evaluate(better, calls, execute=build.arrow)
    kept = ("value", "low", "high", "n", "reason")
    return [
        {
            "metric": old["metric"],
            "before": {name: old[name] for name in kept},
            "after": {name: new[name] for name in kept},
        }
        for old, new in zip(before, after, strict=True)
    ]
