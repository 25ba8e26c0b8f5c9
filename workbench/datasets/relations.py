"""What training formats and cleaners read: the slice's records, their events, and their texts.

Protected columns are left out here, before a format can see them, and what is to be masked is
masked; see `workbench.training_formats.TrainingFormat` for the relations.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import duckdb

from workbench import engine
from workbench.cleaners import CleanerCall
from workbench.engine import identifier, list_literal, sql_of
from workbench.errors import ConfigError, suggest
from workbench.formulas import canonical
from workbench.project import Project
from workbench.query import Build
from workbench.statement import plain_error
from workbench.training_formats import MACROS

_MASKED = {"input": "prompt", "reasoning": "answer", "output": "answer", "tool_calls": "answer"}

#: Credits whose events are gathered at once.
_CREDITS = 200_000


@dataclass(frozen=True)
class Relations:
    """The relations of one compile, on a connection of its own.

    Attributes
    ----------
    connection
        Where they are.
    build
        The build that they are made of.
    columns
        Names and types of the columns of ``texts``.
    features
        Names of the features that are not protected.
    hidden
        The protected columns that are left out.
    """

    connection: duckdb.DuckDBPyConnection
    build: Build
    columns: Mapping[str, str]
    features: tuple[str, ...]
    hidden: tuple[str, ...] = ()

    def run(self, sql: str) -> Any:
        """Run our own `sql` and return an Arrow table; errors are in plain words."""
        return self.execute(sql).to_arrow_table()

    def execute(self, sql: str) -> duckdb.DuckDBPyConnection:
        """Run our own `sql`; errors are in plain words."""
        try:
            return self.connection.execute(sql)
        except duckdb.Error as error:
            raise plain_error(error, sql, self.build.relation_names) from error

    def sees(self, expression: str) -> bool:
        """Whether an expression can be worked out without columns that are protected."""
        try:
            self.connection.execute(f"DESCRIBE SELECT {expression} FROM texts")
        except duckdb.BinderException:
            return not self.hidden
        return True

    def count(self, relation: str) -> int:
        """Count the rows of a relation, or of a query in brackets."""
        return int(engine.scalar(self.connection, f"SELECT count(*) FROM {relation}"))


def create(
    build: Build,
    project: Project,
    *,
    relation: str,
    where: str | None,
    named: Sequence[str],
    masks: Sequence[CleanerCall],
    texts: bool,
) -> Relations:
    """Make the relations.

    Parameters
    ----------
    build
        The build to read.
    project
        What is protected, which signals decide, and how texts are cleaned.
    relation, where
        The inferences of the slice: those that the condition over the relation finds.
    named
        Columns that are wanted although they are protected.
    masks
        Cleaners whose masks are applied.
    texts
        Whether prompts and answers are compared.
    """
    connection = build.cursor()
    wide = _columns(connection, "enriched_inferences")
    hidden = [name for name in project.protected if name not in named]
    listed = _unprotected(wide, hidden)
    narrow = _unprotected(_columns(connection, "narrow.enriched_inferences"), hidden)
    features = wide["features"] if "features" in listed else None
    shown = _fields(features) if features is not None else {}
    made = Relations(
        connection,
        build,
        {name: str(wide[name]) for name in listed},
        tuple(name for name in shown if f"features.{name}" not in hidden),
        tuple(hidden),
    )
    _slice_ids(made, relation, where)
    for macro in MACROS:
        connection.execute(macro)
    _events(made, project)
    own = {
        name: _mask(masks, project, _MASKED[name], sql) if name in _MASKED else sql
        for name, sql in listed.items()
    }
    made.execute("CREATE TEMP TABLE wanted AS SELECT request_id FROM slice_ids")
    made.execute(
        f"CREATE TEMP VIEW texts AS SELECT {_listed(own)} FROM enriched_inferences t "
        "SEMI JOIN wanted s ON t.request_id = s.request_id"
    )
    corrected = _mask(masks, project, "answer", "t.corrected_output")
    made.execute(
        f"CREATE TEMP VIEW corrections AS SELECT feedback_id, {corrected} AS corrected_output "
        "FROM build.main.feedback t WHERE corrected_output IS NOT NULL"
    )
    _keys(made, texts=texts)
    _records(made, narrow)
    steps = _unprotected(_columns(connection, "enriched_steps"), hidden)
    made.execute(
        f"CREATE TEMP VIEW steps AS SELECT {_listed(steps)} FROM enriched_steps t "
        "WHERE t.trace_id IN (SELECT trace_id FROM records)"
    )
    return made


def _columns(connection: duckdb.DuckDBPyConnection, relation: str) -> dict[str, Any]:
    """Names and types of the columns of a relation, as the engine's own type objects."""
    found = connection.execute(f"SELECT * FROM {relation} LIMIT 0").description or []
    return {name: kind for name, kind, *_ in found if name != "row_id"}


def _fields(kind: Any) -> dict[str, Any]:
    return dict(kind.children) if kind.id == "struct" else {}


def _unprotected(columns: Mapping[str, Any], hidden: Sequence[str]) -> dict[str, str]:
    """SQL over ``t`` of each column without what is hidden of it."""
    found = {}
    for name, kind in columns.items():
        inner = {entry.split(".", 1)[1] for entry in hidden if entry.startswith(f"{name}.")}
        column = f"t.{identifier(name)}"
        if name in hidden:
            continue
        if not inner:
            found[name] = column
            continue
        kept = [field for field in _fields(kind) if field not in inner]
        if kept:
            parts = ", ".join(f"{identifier(f)} := {column}.{identifier(f)}" for f in kept)
            found[name] = f"CASE WHEN {column} IS NOT NULL THEN struct_pack({parts}) END"
    return found


def _listed(columns: Mapping[str, str]) -> str:
    return ", ".join(f"{sql} AS {identifier(name)}" for name, sql in columns.items())


def _mask(masks: Sequence[CleanerCall], project: Project, column: str, sql: str) -> str:
    for call in masks:
        sql = call.mask_sql(project.cleaning, column, sql)
    return sql


def _slice_ids(made: Relations, relation: str, where: str | None) -> None:
    build = made.build
    if "request_id" not in build.columns(relation):
        usable = [n for n in build.relation_names() if "request_id" in build.columns(n)]
        raise ConfigError(
            f"A training set cannot be compiled of {relation}: it has no request_id.",
            suggest("enriched_inferences", usable),
        )
    condition = build.expression(where) if where else "true"
    source = build.narrowest(relation, '"request_id"', condition)
    made.execute(
        "CREATE TEMP TABLE slice_ids AS SELECT DISTINCT request_id "
        f"FROM {source} WHERE {condition} AND request_id IS NOT NULL"
    )


def _events(made: Relations, project: Project) -> None:
    feedback = made.build.table("enriched_feedback", narrow=True)
    classes = sql_of(feedback.mutate(**{"class": canonical(feedback["value"])}))
    voted = (
        "SELECT count(*) FROM build.narrow.enriched_feedback "
        "WHERE kind = 'label' AND NOT coalesce(retracted, false)"
    )
    by_class = any(signal.kind == "label" for signal in project.signals.values())
    if project.label_signals:
        deciding = f"f.name IN (SELECT unnest({list_literal(project.label_signals)}))"
    elif by_class or engine.scalar(made.connection, voted):
        deciding = "f.kind = 'label'"
    else:
        deciding = "true"
    made.execute(
        "CREATE TEMP VIEW events AS SELECT f.* REPLACE (c.request_id AS request_id), "
        f"coalesce({deciding}, false) AND (f.reward IS NOT NULL OR f.kind = 'label') AS deciding "
        f"FROM build.narrow.credits c JOIN ({classes}) f ON c.feedback_id = f.feedback_id "
        "SEMI JOIN slice_ids s ON c.request_id = s.request_id "
        "WHERE NOT coalesce(f.retracted, false)"
    )
    made.execute(
        "CREATE TEMP VIEW preferences AS SELECT * FROM build.narrow.enriched_feedback "
        "WHERE kind = 'preference' AND chosen_request_id IS NOT NULL "
        "AND rejected_request_id IS NOT NULL AND NOT coalesce(retracted, false)"
    )
    # Lists that are being made cannot be spilled.
    parts = made.count("build.narrow.credits") // _CREDITS + 1
    for part in range(parts):
        made.execute(
            f"{'INSERT INTO judged' if part else 'CREATE TEMP TABLE judged AS'} SELECT request_id, "
            "list(feedback_id ORDER BY feedback_ts NULLS FIRST, feedback_id) AS feedback_ids, "
            "max(feedback_ts) AS label_ts, min(rater_id) AS rater_id "
            f"FROM events WHERE deciding AND hash(request_id) % {parts} = {part} "
            "GROUP BY request_id"
        )


def _keys(made: Relations, *, texts: bool) -> None:
    """What identifies each prompt, answer and correction: its md5 and its length."""
    kept = "" if texts and {"input", "output"} <= set(made.columns) else " LIMIT 0"
    if texts and kept:
        raise ConfigError(
            "The training format needs input and output, and one of them is protected.",
            "Name it among the columns of the slice if it may be trained on.",
        )
    # Line breaks at an end are no difference either, and trim alone leaves them.
    bare = r"trim({0}, E' \t\r\n')"
    key = f"md5_number({bare}) AS {{1}}_key, length({bare}) AS {{1}}_length"
    prompt, output = ("input", "as_answer(output)") if texts else ("''", "''")
    made.execute(
        f"CREATE TEMP TABLE text_keys AS SELECT request_id, {key.format(prompt, 'prompt')}, "
        f"{key.format(output, 'answer')} FROM texts{kept}"
    )
    corrected = key.format("as_answer(c.corrected_output)", "answer")
    made.execute(
        "CREATE TEMP TABLE last_corrections AS "
        f"SELECT e.request_id, e.feedback_id, e.feedback_ts, {corrected} "
        "FROM (SELECT * FROM events WHERE kind = 'correction' QUALIFY row_number() OVER ("
        "PARTITION BY request_id ORDER BY feedback_ts DESC NULLS LAST, feedback_id DESC) = 1) e "
        f"JOIN corrections c ON e.feedback_id = c.feedback_id{kept}"
    )


def _records(made: Relations, narrow: Mapping[str, str]) -> None:
    made.execute(
        f"CREATE TEMP VIEW records AS SELECT {_listed(narrow)}, "
        "coalesce(j.feedback_ids, []) AS feedback_ids, j.label_ts, j.rater_id, "
        "k.prompt_key, k.prompt_length, k.answer_key, k.answer_length "
        "FROM build.narrow.enriched_inferences t "
        "SEMI JOIN slice_ids s ON t.request_id = s.request_id "
        "LEFT JOIN judged j ON t.request_id = j.request_id "
        "LEFT JOIN text_keys k ON t.request_id = k.request_id"
    )
