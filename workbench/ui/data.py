"""What pages show, read from a build. The only module that caches; every key has the build's id.

Functions return small tables and lists. Each takes the build first and lets DuckDB do the work.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import streamlit as st

from workbench import engine, summary
from workbench.configuration import load
from workbench.contract import bundle_path
from workbench.datasets import Slice
from workbench.enrich import PROB_BINS
from workbench.errors import NotFoundError, QueryError, WorkbenchError
from workbench.guide import Guide
from workbench.macros import macros as views
from workbench.measure import RELATION as RELATION
from workbench.measure import rows_query
from workbench.metrics import metrics, parse_calls, queries_of
from workbench.query import Build, open_build, read_manifest
from workbench.record import among
from workbench.record import record as found_record
from workbench.reliability import reliability
from workbench.state import measure_quick

HEADLINE = ("accuracy", "brier_score", "ece", "reward_mean", "label_coverage", "selection_rate")
#: Groups that a chart shows at most.
MOST_GROUPS = 40

_SHOWN = (
    *("request_id", "ts", "model_version", "user_id", "input", "output", "prediction"),
    *("confidence", "score", "label", "correct", "reward", "n_feedback", "prob_bin", "flags"),
)
_HASH: dict[Any, Any] = {Build: lambda build: (str(build.root), build.id)}
cached = st.cache_data(max_entries=400, show_spinner=False, hash_funcs=_HASH)


def project_dir() -> Path:
    """Return the project to show: named by the launcher, else this folder, else the demo in it."""
    named = os.environ.get("WORKBENCH_PROJECT")
    if named:
        return Path(named)
    here, demo = Path.cwd(), Path.cwd() / "data" / "demo"
    return demo if not _has_build(here) and _has_build(demo) else here


def _has_build(folder: Path) -> bool:
    return (folder / ".workbench" / "current").is_file()


def project_name() -> str:
    """Return the name that the configuration gives the project, else its folder's."""
    try:
        return load(project_dir()).name
    except WorkbenchError:
        return project_dir().resolve().name


def current_build() -> str:
    """Id of the project's current build; NotFoundError if there is none."""
    return str(read_manifest(project_dir())["build"])


def build(build_id: str) -> Build:
    """Open a build, or use the one that other sessions have open; the current one if it is gone."""
    try:
        return _opened(str(project_dir()), build_id)
    except NotFoundError:
        return _opened(str(project_dir()), current_build())


@st.cache_resource(max_entries=4, show_spinner=False)
def _opened(project: str, build_id: str) -> Build:
    return open_build(project, build_id)


# -- the whole build -------------------------------------------------------------------------------


@cached
def ask(source: Build, sql: str) -> list[dict[str, Any]]:
    """Rows of our own `sql`; for small results."""
    rows: list[dict[str, Any]] = source.arrow(sql).to_pylist()
    return rows


def ledger(source: Build, table: str) -> dict[str, int]:
    """Count of `table`'s rows by what became of them."""
    rows = ask(source, f'SELECT status, n FROM ledger WHERE "table" = {engine.literal(table)}')
    return {row["status"]: row["n"] for row in rows}


def quarantine(source: Build) -> list[dict[str, Any]]:
    """Refused rows by table and reason, most first."""
    return ask(
        source,
        'SELECT "table", reason, count(*) AS n FROM quarantine '
        'GROUP BY ALL ORDER BY n DESC, "table", reason',
    )


def span(source: Build) -> dict[str, Any]:
    """First and last time, rows and labelled rows of the inferences."""
    return ask(
        source,
        "SELECT min(ts) AS first, max(ts) AS last, count(*) AS n, "
        "count(*) FILTER (WHERE label IS NOT NULL OR reward IS NOT NULL) AS labelled "
        f"FROM narrow.{RELATION}",
    )[0]


def values(source: Build, column: str) -> list[tuple[str | None, int]]:
    """Return the values of a narrow column as text with their counts, most first; at most 100."""
    rows = ask(
        source,
        f"SELECT {column}::VARCHAR AS value, count(*) AS n FROM narrow.{RELATION} "
        "GROUP BY 1 ORDER BY n DESC, value LIMIT 100",
    )
    return [(row["value"], row["n"]) for row in rows]


# -- metrics ---------------------------------------------------------------------------------------


def metric_names() -> list[str]:
    """All metrics."""
    return metrics.names()


@cached
def findings(source: Build) -> list[str]:
    """Say where a number is worst, and what has drifted, where that is sure: a sentence each."""
    return summary.findings(source)


def about(metric: str) -> str:
    """Say what a metric is, in one sentence."""
    return metrics.get(metric).about


def guide(name: str) -> Guide:
    """What a metric, or else a view with parameters, says of itself."""
    return metrics.get(name).guide if name in metrics.names() else views.get(name).guide


@cached
def measured(
    source: Build, names: Sequence[str], condition: str | None, by: str | None = None
) -> list[dict[str, Any]]:
    """Metrics of the chosen rows, for all of them or by the text of an expression.

    Each dict has ``metric``, ``group``, ``value``, ``low``, ``high``, ``n``, ``n_labelled``,
    ``reason``.
    """
    key = f"{source.expression(by)}::VARCHAR" if by else None
    found = measure_quick(source, names, [key] if key else [], condition)
    return [{**row, "group": row["by"].get(key)} for row in found]


@cached
def groups(source: Build, condition: str | None, by: str) -> list[tuple[str | None, int]]:
    """Return the groups of an expression with their sizes, in the order of its values.

    Raises
    ------
    QueryError
        If there are more than `MOST_GROUPS`.
    """
    checked = source.expression(by)
    rule = [source.expression(condition)] if condition else []
    relation = source.narrowest(RELATION, checked, *rule)
    where = f" WHERE {rule[0]}" if rule else ""
    rows = source.arrow(
        f"SELECT key::VARCHAR AS value, n FROM (SELECT {checked} AS key, count(*) AS n "
        f"FROM {relation}{where} GROUP BY 1) ORDER BY key NULLS LAST LIMIT {MOST_GROUPS + 1}"
    ).to_pylist()
    if len(rows) > MOST_GROUPS:
        raise QueryError(
            f"{by} has more than {MOST_GROUPS} different values.",
            "Choose a column with fewer, or an expression such as: round(confidence, 1)",
        )
    return [(row["value"], row["n"]) for row in rows]


def as_query(condition: str | None) -> str:
    """Write the query of the chosen rows, for the SQL page."""
    return f"SELECT *\nFROM {RELATION}" + (f"\nWHERE {condition}" if condition else "")


def in_group(by: str, value: str | None) -> str:
    """Write the SQL condition for the rows of one group."""
    return f"({by}\n)::VARCHAR IS NOT DISTINCT FROM {engine.literal(value)}"


@cached
def calibration(source: Build, condition: str | None) -> list[dict[str, Any]]:
    """Mean prediction and observed frequency by `prob_bin`, with n and a 95 % interval."""
    shown = ("predicted", "observed", "n", "low", "high")
    return [
        {
            "prob_bin": row["bin"],
            **{name: row[name] for name in shown},
            "group": str(row["bin"]),
        }
        for row in reliability(source, PROB_BINS, where=condition).rows
    ]


@cached
def group_columns(source: Build) -> list[str]:
    """Columns and struct fields that have few enough values to group by, as SQL."""
    candidates = ["model_version"]
    without = () if load(source.project_dir).inferences.features else ("features",)
    for name, kind in source.columns(RELATION).items():
        if name in without:
            continue
        if kind in ("VARCHAR", "BOOLEAN", "INTEGER", "BIGINT"):
            candidates.append(_sql_name(name))
        elif kind.startswith("STRUCT(") and not kind.endswith("[]"):
            candidates += [
                f"{_sql_name(name)}.{_sql_name(field)}"
                for field, of in engine.dtype(kind).items()
                if not of.is_nested() and not of.is_floating()
            ]
    texts = {"input", "output", "reasoning", "params", "metadata", "tool_calls", "request_id"}
    candidates = [name for name in dict.fromkeys(candidates) if name not in texts]
    narrow = source.columns(RELATION, narrow=True)
    found: dict[str, int] = {}
    # Together they would all be read from the lake.
    for relation, which in ((f"narrow.{RELATION}", True), (RELATION, False)):
        part = [c for c in candidates if (c.partition(".")[0].strip('"') in narrow) is which]
        listed = ", ".join(f"approx_count_distinct({c}) AS {engine.identifier(c)}" for c in part)
        if part:
            rows = f"SELECT {listed} FROM (FROM {relation} LIMIT 50000)"
            found |= source.arrow(rows).to_pylist()[0]
    few = [name for name in candidates if 0 < found[name] <= MOST_GROUPS * 3 // 4]
    times = ["date_trunc('week', ts)::DATE", "date_trunc('month', ts)::DATE"]
    return [*few, *(times if span(source)["first"] is not None else [])] or ["'all'"]


def _sql_name(name: str) -> str:
    return name if re.fullmatch(r"[a-z_][a-z0-9_]*", name) else engine.identifier(name)


# -- rows ------------------------------------------------------------------------------------------


@cached
def row_count(source: Build, chosen: Slice) -> int:
    """Count the rows of a slice."""
    return chosen.count(source)


@cached
def rows(source: Build, condition: str | None, limit: int) -> pa.Table:
    """Return the newest of the chosen rows, whole; columns without any value are left out."""
    newest = "ORDER BY ts DESC NULLS LAST, request_id"
    found = among(source, _ids(source, condition, f"{newest} LIMIT {int(limit)}"))
    table = source.arrow(f"SELECT {', '.join(shown_columns(source))} FROM {found} {newest}")
    kept = [name for name in table.column_names if table[name].null_count < max(table.num_rows, 1)]
    return table.select(kept or table.column_names)


def _ids(source: Build, condition: str | None, which: str) -> list[str]:
    """Ids of some of the chosen rows, told without the wide columns of all."""
    rule = [source.expression(condition)] if condition else []
    relation = source.narrowest(RELATION, *rule)
    where = f" WHERE {rule[0]}" if rule else ""
    found = source.arrow(f"SELECT request_id FROM {relation}{where} {which}")["request_id"]
    return [str(request_id) for request_id in found.to_pylist()]


def shown_columns(source: Build) -> list[str]:
    """Columns of the inferences that a table of rows shows."""
    known = source.columns(RELATION)
    return [name for name in _SHOWN if name in known]


@cached
def preview(source: Build, chosen: Slice, limit: int = 20) -> pa.Table:
    """Return the first rows of a slice."""
    whole = chosen.relation == RELATION and chosen.limit is None
    if whole and not (chosen.sampler or chosen.columns):
        ids = _ids(source, chosen.where, f"LIMIT {int(limit)}")
        return source.arrow(f"FROM {among(source, ids)}")
    return source.arrow(f"FROM (\n{chosen.sql(source)}\n) LIMIT {int(limit)}")


@cached
def funnel(source: Build, steps: Sequence[tuple[str, str]]) -> list[tuple[str, int]]:
    """How many inferences remain after each filter."""
    checked = [source.expression(condition) for _, condition in steps]
    relation = source.narrowest(RELATION, *checked)
    counts = ["count(*)"] + [
        f"count(*) FILTER (WHERE {' AND '.join(checked[: i + 1])})" for i in range(len(checked))
    ]
    row = source.arrow(f"SELECT [{', '.join(counts)}] AS n FROM {relation}").to_pylist()[0]
    return list(zip(["all inferences", *(name for name, _ in steps)], row["n"], strict=True))


@cached
def record(source: Build, request_id: str) -> dict[str, Any] | None:
    """One inference with everything that was joined to it, or None."""
    return found_record(source, request_id)


@cached
def context_ages(source: Build, request_id: str) -> dict[str, Any]:
    """Age, reason and time of each context of one inference, by `NAME__age` and the like."""
    rows = source.arrow(
        "FROM narrow.contexts WHERE request_id = $id", {"id": request_id}
    ).to_pylist()
    return rows[0] if rows else {}


@cached
def events_of(source: Build, request_id: str) -> list[dict[str, Any]]:
    """All feedback events that judge an inference, as they were read, with their attribution."""
    found = source.arrow(
        "SELECT feedback_id FROM narrow.credits WHERE request_id = $id", {"id": request_id}
    )
    # Named one by one, they are looked for in the lake; joined, all of it is read.
    named = ", ".join(map(engine.literal, found["feedback_id"].to_pylist())) or "NULL"
    rows: list[dict[str, Any]] = source.arrow(
        "SELECT f.* EXCLUDE (request_id), a.* EXCLUDE (feedback_id), c.weight "
        f"FROM narrow.credits c JOIN (FROM feedback WHERE feedback_id IN ({named})) f "
        f"USING (feedback_id) JOIN (FROM narrow.attribution WHERE feedback_id IN ({named})) a "
        "USING (feedback_id) WHERE c.request_id = $id ORDER BY f.ts, f.feedback_id",
        {"id": request_id},
    ).to_pylist()
    return rows


# -- saved queries ---------------------------------------------------------------------------------


def saved_queries() -> dict[str, dict[str, str]]:
    """List the saved queries of program and project: title to ``about`` and ``sql``."""
    found = {}
    for folder in (bundle_path("sql/queries"), project_dir() / "queries"):
        for path in sorted(folder.glob("*.sql")):
            text = path.read_text(encoding="utf-8")
            header = dict(re.findall(r"^-- (title|about): (.*)$", text, re.MULTILINE))
            title = header.get("title", path.stem).strip()
            found[title] = {"about": header.get("about", ""), "sql": text.strip() + "\n"}
    return found


def relations(source: Build) -> dict[str, list[dict[str, Any]]]:
    """Columns of each relation that can be asked."""
    found: dict[str, list[dict[str, Any]]] = {}
    for row in _relations(source):
        found.setdefault(row["relation"], []).append(row)
    return found


@cached
def _relations(source: Build) -> list[dict[str, str]]:
    return source.relations()


@cached
def macros(source: Build) -> dict[str, str]:
    """How each view that takes parameters is called with all of them, by its name."""
    return source.macros()


@cached
def compiled(
    source: Build, names: Sequence[str], condition: str | None = None, by: Sequence[str] = ()
) -> str:
    """Return the SQL of metrics, for "View SQL"; nothing is run."""
    calls = parse_calls(names)
    table = source.query_table(rows_query(source, calls, by, condition))
    return ";\n\n".join(map(source.sql_of, queries_of(table, calls, by)))
