"""Chooses the examples of a slice: candidates, cleaning, draw, split, and what is read of them.

Everything is decided over narrow rows; prompts and other wide columns are read once at the end, for
the rows that were chosen.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from workbench import engine, progress
from workbench.cleaners import CleanerCall, parse_cleaner
from workbench.datasets import store
from workbench.datasets.pieces import CHARACTERS, read
from workbench.datasets.relations import Relations, create
from workbench.datasets.slice import Slice
from workbench.datasets.splitting import split_sql
from workbench.engine import identifier, literal
from workbench.errors import ConfigError, DataError, suggest
from workbench.project import Project
from workbench.query import Build
from workbench.samplers import SAMPLING_COLUMNS, Plan, draw, parse_sampler
from workbench.training_formats import FormatCall

_CANDIDATES = (*store.CARRIED, "label", "reason")
#: Stands for the relation in a payload's SQL until it is known.
_ROWS = "__rows__"
Narrate = Callable[[str], None]


def silent(_: str) -> None:
    """Say nothing."""


@dataclass(frozen=True)
class Chosen:
    """Which examples were chosen, before their payload is read.

    Attributes
    ----------
    relations
        Where the table ``chosen`` (candidates that are in, with sampling columns and ``split``) is.
    payload
        Query of ``example_id`` and the data columns of the table ``piece``.
    columns
        Data columns and their types.
    funnel
        From received to kept: ``step``, ``reason``, ``rows`` and ``unit``.
    sql
        The queries that chose, by what they did.
    """

    relations: Relations
    payload: str
    columns: Mapping[str, str]
    funnel: list[dict[str, Any]]
    sql: Mapping[str, str]

    def first(self, n: int) -> pa.Table:
        """Read the first examples by their ids."""
        rows = f"SELECT * FROM chosen ORDER BY example_id LIMIT {int(n)}"
        read(self.relations.connection, rows)
        found: pa.Table = self.relations.run(f"SELECT * FROM ({self.payload}) ORDER BY example_id")
        return found


def choose(
    build: Build, project: Project, chosen: Slice, call: FormatCall, narrate: Narrate = silent
) -> Chosen:
    """Choose the examples of a slice.

    Parameters
    ----------
    build
        The build to read.
    project
        Its project.
    chosen
        The slice.
    call
        The training format.
    narrate
        Is told what is being done.

    Returns
    -------
    Chosen
        Its connection is to be closed.

    Raises
    ------
    ConfigError, QueryError
        If the slice does not fit the build or the format.
    """
    target = call.target(chosen.target)
    cleaning = [parse_cleaner(text) for text in chosen.clean]
    progress.begin("candidates")
    relations = create(
        build,
        project,
        relation=chosen.relation,
        where=chosen.where,
        named=chosen.columns,
        masks=cleaning,
        texts=call.format.texts,
    )
    try:
        params = {
            **call.checked(build.expression),
            "target": target,
            "columns": tuple(relations.columns),
            "features": relations.features,
        }
        sql: dict[str, str] = {}
        narrate("looking for candidates")
        progress.attach(relations.connection)
        sql["candidates"] = call.format.candidates(**params)
        relations.execute(
            f"CREATE TEMP TABLE candidates AS SELECT {', '.join(_CANDIDATES)} "
            f"FROM ({sql['candidates']})"
        )
        relations.execute(
            "CREATE TEMP TABLE eligible AS SELECT example_id FROM candidates WHERE reason IS NULL"
        )
        payload = call.format.payload(_ROWS, **params)
        funnel = _received(build, relations)
        progress.advance(rows=relations.count("candidates"))
        narrate("cleaning")
        progress.begin("clean", connection=relations.connection)
        funnel += _clean(relations, project, cleaning, call, payload, params, sql)
        progress.advance(rows=relations.count("eligible"))
        narrate("drawing")
        progress.begin("draw", connection=relations.connection)
        funnel += _draw(relations, chosen, sql)
        progress.advance(rows=relations.count("drawn"))
        narrate("splitting")
        progress.begin("split", connection=relations.connection)
        prompt, _ = call.format.asked(**params)
        prompts = (
            f"(SELECT example_id, CAST({prompt} AS VARCHAR) AS prompt "
            f"FROM ({payload.replace(_ROWS, 'eligible_rows')}) "
            "WHERE example_id IN (SELECT example_id FROM drawn))"
        )
        sql["split"] = split_sql(relations, chosen.split, chosen.seed, prompts)
        _place(relations, sql["split"])
        progress.advance(rows=relations.count("chosen"))
        sql["payload"], columns = _payload(relations, chosen, payload)
        return Chosen(relations, sql["payload"], columns, funnel, sql)
    except BaseException:
        relations.connection.close()
        raise


def _received(build: Build, relations: Relations) -> list[dict[str, Any]]:
    """The funnel from received events down to candidates."""
    ledger = build.manifest.get("status", {}).get("ledger", {})
    steps = [
        {"step": "events", "reason": name, "rows": int(n), "unit": "events"}
        for name, n in ledger.items()
    ]
    whole = relations.count("build.narrow.enriched_inferences")
    inside = relations.count("slice_ids")
    steps.append({"step": "inferences", "reason": "in_build", "rows": whole, "unit": "inferences"})
    steps.append({"step": "slice", "reason": "in_slice", "rows": inside, "unit": "inferences"})
    found = relations.run(
        "SELECT reason, count(*) AS n FROM candidates GROUP BY reason ORDER BY reason NULLS LAST"
    ).to_pylist()
    total = sum(row["n"] for row in found)
    ids = relations.count("(SELECT DISTINCT example_id FROM candidates)")
    if ids != total:
        raise DataError(f"{total - ids:,} candidates have the id of another one.", "")
    steps.append({"step": "candidates", "reason": "examined", "rows": total, "unit": "examples"})
    return steps + [
        {"step": "candidates", "reason": row["reason"], "rows": -row["n"], "unit": "examples"}
        for row in found
        if row["reason"]
    ]


def _clean(
    relations: Relations,
    project: Project,
    cleaning: Sequence[CleanerCall],
    call: FormatCall,
    payload: str,
    params: Mapping[str, Any],
    sql: dict[str, str],
) -> list[dict[str, Any]]:
    prompt, answer = call.format.asked(**params)
    relations.execute(
        "CREATE TEMP VIEW eligible_rows AS SELECT c.* FROM candidates c "
        "SEMI JOIN eligible e ON c.example_id = e.example_id"
    )
    dated = ("ts", "user_id")
    listed = ", ".join(
        f"r.{name}" if name in relations.columns else f"NULL AS {name}" for name in dated
    )
    relations.execute(
        f"CREATE TEMP VIEW examples AS SELECT c.example_id, c.request_id, {listed}, r.rater_id, "
        f"c.label_ts, p.prompt, p.answer, c.label FROM eligible_rows c "
        "JOIN records r ON c.request_id = r.request_id "
        f"JOIN (SELECT example_id, CAST({prompt} AS VARCHAR) AS prompt, "
        f"CAST({answer} AS VARCHAR) AS answer FROM ({payload.replace(_ROWS, 'eligible_rows')})) p "
        "ON c.example_id = p.example_id"
    )
    relations.execute(
        "CREATE TEMP TABLE cleaned (step INTEGER, cleaner VARCHAR, example_id VARCHAR, "
        "reason VARCHAR, kept_id VARCHAR)"
    )
    steps = []
    for place, cleaner in enumerate(cleaning):
        # What is not configured costs no reading.
        if not cleaner.cleaner.configured(project.cleaning):
            continue
        query = cleaner.drop_sql(
            project.cleaning, records="enriched_inferences", checked=relations.build.expression
        )
        sql[f"clean {place + 1}: {cleaner}"] = query
        relations.execute(
            f"INSERT INTO cleaned SELECT {place}, {literal(str(cleaner))}, example_id, reason, "
            f"kept_id FROM ({query})"
        )
        relations.execute(
            f"DELETE FROM eligible WHERE example_id IN "
            f"(SELECT example_id FROM cleaned WHERE step = {place})"
        )
        found = relations.run(
            "SELECT reason, count(*) AS n FROM cleaned "
            f"WHERE step = {place} GROUP BY reason ORDER BY reason"
        ).to_pylist()
        steps += [
            {"step": f"clean: {cleaner}", "reason": row["reason"], "rows": -row["n"],
             "unit": "examples"}
            for row in found
        ]  # fmt: skip
    return steps


def _draw(relations: Relations, chosen: Slice, sql: dict[str, str]) -> list[dict[str, Any]]:
    build = relations.build
    plan = parse_sampler(chosen.sampler or "uniform").plan(build.expression)
    _no_protected_score(relations, plan)
    known = build.narrowest("enriched_inferences", *plan.expressions)
    # A pair is drawn by what is known of the inference whose prompt it is.
    source = (
        "(SELECT r.*, c.example_id FROM eligible e "
        "JOIN candidates c ON e.example_id = c.example_id "
        f"JOIN {known} r ON c.request_id = r.request_id)"
    )
    before = relations.count("eligible")
    sql["draw"] = draw(plan, source, "example_id", chosen.limit, chosen.seed, relations.run)
    relations.execute(f"CREATE TEMP TABLE drawn AS {sql['draw']}")
    steps = []
    if chosen.tokens is not None:
        steps.append(_within_budget(relations, chosen))
    after = relations.count("drawn")
    lost = before - after + sum(step["rows"] for step in steps)
    if lost:
        steps.insert(0, {"step": "draw", "reason": "not_drawn", "rows": -lost, "unit": "examples"})
    return [*steps, {"step": "kept", "reason": "kept", "rows": after, "unit": "examples"}]


def _no_protected_score(relations: Relations, plan: Plan) -> None:
    """Refuse a score over protected columns: it would stand in every example.

    Strata may be made of them, for their values do not.
    """
    scores = [p.score for p in (plan, *(part for _, part in plan.parts)) if p.score]
    if not all(relations.sees(score) for score in scores):
        raise ConfigError(
            f"The score of the sampler cannot be worked out without columns that are "
            f"protected: {', '.join(relations.hidden)}.",
            "Name them among the columns of the slice if they may be trained on.",
        )


def _within_budget(relations: Relations, chosen: Slice) -> dict[str, Any]:
    """Keep the examples that were drawn first, as long as their tokens are within the budget."""
    relations.execute(
        "CREATE TEMP TABLE over_budget AS SELECT example_id FROM ("
        "SELECT d.example_id, sum(coalesce(r.input_tokens, 0) + coalesce(r.output_tokens, 0) + "
        "CASE WHEN r.input_tokens IS NULL AND r.output_tokens IS NULL "
        "THEN (coalesce(r.prompt_length, 0) + coalesce(r.answer_length, 0) + 3) // 4 ELSE 0 END) "
        "OVER (ORDER BY coalesce(d.inclusion_probability / d.random_number, d.sampling_score) "
        "DESC NULLS LAST, d.random_number, d.example_id ROWS UNBOUNDED PRECEDING) AS tokens "
        "FROM drawn d "
        "JOIN candidates c ON d.example_id = c.example_id "
        f"JOIN records r ON c.request_id = r.request_id) WHERE tokens > {int(chosen.tokens or 0)}"
    )
    n = relations.count("over_budget")
    # The rows that are left stand for those that did not fit, too.
    whole = relations.count("drawn")
    relations.execute("DELETE FROM drawn WHERE example_id IN (SELECT example_id FROM over_budget)")
    if n and n < whole:
        share = (whole - n) / whole
        relations.execute(
            f"UPDATE drawn SET inclusion_probability = inclusion_probability * {share!r}, "
            f"sample_weight = sample_weight / {share!r}"
        )
    return {"step": "draw", "reason": "over_token_budget", "rows": -n, "unit": "examples"}


def _place(relations: Relations, split: str) -> None:
    """Make ``chosen``: what was drawn, in its split, and in pieces that are read at once."""
    relations.execute(f"CREATE TEMP TABLE splits AS {split}")
    sampled = ", ".join(f"d.{name}" for name in SAMPLING_COLUMNS)
    # What is near in time is mostly near in the lake: few row groups are read for a piece.
    relations.execute(
        "CREATE TEMP TABLE places AS SELECT c.example_id, "
        "CAST(sum(100 + coalesce(k.prompt_length + k.answer_length, 0) + "
        "coalesce(o.answer_length, 0)) OVER (ORDER BY n.ts, c.example_id "
        f"ROWS UNBOUNDED PRECEDING) // {CHARACTERS} AS INTEGER) AS piece "
        "FROM candidates c JOIN drawn d USING (example_id) "
        "JOIN build.narrow.enriched_inferences n ON c.request_id = n.request_id "
        "LEFT JOIN text_keys k ON c.request_id = k.request_id "
        "LEFT JOIN text_keys o ON c.other_id = o.request_id"
    )
    relations.execute(
        f"CREATE TEMP TABLE chosen AS SELECT c.*, {sampled}, s.split, s.split_group, p.piece "
        "FROM candidates c JOIN drawn d USING (example_id) JOIN splits s USING (example_id) "
        "JOIN places p USING (example_id) ORDER BY p.piece"
    )
    # What led to it takes memory that the texts need.
    relations.execute("CREATE OR REPLACE TEMP VIEW eligible_rows AS SELECT * FROM chosen")
    for table in ("candidates", "eligible", "drawn", "splits", "places"):
        relations.execute(f"DROP TABLE {table}")
    read(relations.connection, "SELECT * FROM chosen LIMIT 0")


def _payload(relations: Relations, chosen: Slice, payload: str) -> tuple[str, dict[str, str]]:
    """The query of the payload with the slice's own columns, and the types of its data columns."""
    found = engine.columns_of(relations.connection, f"({payload.replace(_ROWS, 'piece')})")
    extra = {}
    for name in chosen.columns:
        top, _, inner = name.partition(".")
        if top not in relations.columns:
            raise ConfigError(
                f"The slice names a column {name!r} that enriched_inferences has not.",
                suggest(name, relations.columns),
            )
        column = f"x.{identifier(top)}" + (f".{identifier(inner)}" if inner else "")
        alias = name.replace(".", "_")
        if alias not in found:
            extra[alias] = column
    query = payload.replace(_ROWS, "piece")
    if extra:
        listed = ", ".join(f"{sql} AS {identifier(name)}" for name, sql in extra.items())
        query = (
            f"SELECT p.*, {listed} FROM ({query}) p JOIN piece c ON p.example_id = c.example_id "
            "JOIN texts x ON c.request_id = x.request_id"
        )
        found = engine.columns_of(relations.connection, f"({query})")
    taken = {*store.CARRIED, *store.OWN_COLUMNS} - {"example_id", "request_id"}
    clash = sorted(taken & set(found))
    if clash:
        raise ConfigError(
            f"A column of the training set cannot be called {clash[0]!r}: every example has one.",
            "Give it another name in workbench.toml, or leave it out.",
        )
    return query, {name: kind for name, kind in found.items() if name not in store.CARRIED}
