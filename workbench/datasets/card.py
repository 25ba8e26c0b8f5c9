"""The dataset card: what is in a version, in words, tables and SQL, for a person to read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import ibis
import pyarrow as pa

from workbench.datasets.leaks import NEAR_ROWS
from workbench.datasets.pieces import pieces
from workbench.datasets.relations import Relations
from workbench.engine import identifier
from workbench.metrics import evaluate, without_intervals
from workbench.query import Build
from workbench.training_formats import parse_training_format

#: Columns by which a slice is set beside the population.
COHORTS = ("model_version", "cohort", "channel", "device")
_VALUES = 12

#: Figures of the card by the metrics that they are.
_METRICS = {
    "positive_share": "base_rate",
    "mean_reward": "reward_mean",
    "accuracy": "accuracy",
    "brier_score": "brier_score",
    "ece": "ece",
}
_PAIR = "calibration_p IS NOT NULL AND calibration_y IS NOT NULL AND NOT isnan(calibration_p)"
_SIZES = f"""
SELECT count(*) AS n, count(label) AS n_labelled, avg(calibration_p) FILTER ({_PAIR}) AS mean_score,
  avg(calibration_y) FILTER ({_PAIR}) AS outcome FROM """


def describe(
    relations: Relations, build: Build, pairs: bool, payload: str, columns: Mapping[str, str]
) -> dict[str, Any]:
    """Figures of a version for its manifest.

    Parameters
    ----------
    relations
        Where ``chosen`` is.
    build
        The build that it was made of.
    pairs
        Whether its examples are pairs.
    payload, columns
        The query of its data, and what that returns.

    Returns
    -------
    dict
        ``counts`` (by split, label, source), ``weights``, ``beside`` (figures of the population
        and of the slice), ``cohorts``, and of pairs ``lengths``.
    """
    counts = {
        name: relations.run(
            f"SELECT CAST({column} AS VARCHAR) AS value, count(*) AS rows FROM chosen "
            f"GROUP BY 1 ORDER BY 2 DESC, 1 LIMIT {_VALUES}"
        ).to_pylist()
        for name, column in {"split": "split", "label": "label", "source": "source"}.items()
        if not (pairs and name == "label")
    }
    weights = relations.run(
        "SELECT sum(sample_weight) AS sum, min(sample_weight) AS least, "
        "max(sample_weight) AS greatest, "
        "pow(sum(sample_weight), 2) / sum(pow(sample_weight, 2)) AS effective_rows, "
        "count(*) - count(sample_weight) AS rows_without FROM chosen"
    ).to_pylist()[0]
    population = "narrow.enriched_inferences"
    relations.execute(
        f"CREATE OR REPLACE TEMP VIEW inside AS SELECT r.* FROM {population} r "
        "SEMI JOIN chosen c ON r.request_id = c.request_id"
    )
    beside = {
        name: _figures(relations, build, rows)
        for name, rows in {"population": population, "slice": "inside"}.items()
    }
    cohorts = {}
    for name in (name for name in COHORTS if name in relations.columns):
        found = relations.run(
            f"SELECT CAST({identifier(name)} AS VARCHAR) AS value, count(*) AS population, "
            "count(*) FILTER (request_id IN (SELECT request_id FROM chosen)) AS slice "
            f"FROM {population} GROUP BY 1 ORDER BY 2 DESC, 1 LIMIT {_VALUES}"
        ).to_pylist()
        if any(row["value"] is not None for row in found):
            cohorts[name] = found
    more = {}
    if pairs and {"chosen", "rejected"} <= set(columns):
        text = "length(CAST({0} AS VARCHAR))" if columns["chosen"] == "VARCHAR" else (
            "length({0}[1].content)"
        )  # fmt: skip
        one, two = text.format("chosen"), text.format("rejected")
        relations.execute("CREATE OR REPLACE TEMP TABLE lengths (one BIGINT, two BIGINT)")
        for _ in pieces(relations.connection):
            relations.execute(f"INSERT INTO lengths SELECT {one}, {two} FROM ({payload})")
        more["lengths"] = relations.run(
            "SELECT avg(one) AS chosen, avg(two) AS rejected, avg(CASE WHEN one > two THEN 1.0 "
            "WHEN one = two THEN 0.5 ELSE 0 END) AS chosen_longer FROM lengths"
        ).to_pylist()[0]
    return {"counts": counts, "weights": weights, "beside": beside, "cohorts": cohorts, **more}


def _figures(relations: Relations, build: Build, rows: str) -> dict[str, Any]:
    """Sizes and metrics of the rows of a relation, without intervals."""
    sizes = relations.run(_SIZES + rows).to_pylist()[0]
    narrow = build.table("enriched_inferences", narrow=True)
    asked = ibis.table(narrow.schema(), name="rows_beside")

    def run(sql: str) -> pa.Table:
        return relations.run(f"WITH rows_beside AS (FROM {rows}) FROM ({sql})")

    with without_intervals():
        found = evaluate(asked, list(_METRICS.values()), execute=run)
    return {**sizes, **{name: row["value"] for name, row in zip(_METRICS, found, strict=True)}}


def card(manifest: Mapping[str, Any]) -> str:
    """Write the card of a version, of which `manifest` is the manifest, in Markdown."""
    call = parse_training_format(manifest["training_format"])
    chosen = manifest["slice"]
    splits = ", ".join(f"{row['value']} {row['rows']:,}" for row in manifest["counts"]["split"])
    parts = [
        f"# {manifest['dataset']} {manifest['version']}",
        f"{manifest['rows']:,} examples for `{manifest['training_format']}`: {call.format.about} "
        f"Splits: {splits}.",
        "## What is in it",
        _in_words(manifest),
        _code("sql", chosen["where"]) if chosen["where"] else "",
        _table(
            ["column", "type", "what it is"],
            [(n, kind, call.format.schema.get(n)) for n, kind in manifest["columns"].items()],
        ),
        "## From received to kept",
        "What was taken off at each step, with its reason. Nothing was dropped without one.",
        _table(
            ["step", "reason", "rows", "of"],
            [(s["step"], s["reason"], f"{s['rows']:,}", s["unit"]) for s in manifest["funnel"]],
        ),
        "## Labels",
        _policy(manifest),
        *(
            _table([name, "rows"], [(r["value"], f"{r['rows']:,}") for r in rows])
            for name, rows in manifest["counts"].items()
            if name != "split"
        ),
        "## How the examples were drawn",
        _drawn(manifest),
        "## Beside the population",
        "The slice is not the population. The same figures for all inferences of the build:",
        _beside(manifest["beside"]),
        *(_cohort(name, rows) for name, rows in manifest["cohorts"].items()),
        "## Known gaps",
        _gaps(manifest),
        "## Its SQL",
        *(f"{name}:\n\n{_code('sql', sql.strip())}" for name, sql in manifest["sql"].items()),
        "## Where it comes from",
        _table(
            ["what", "value"],
            [
                ("build", manifest["build"]),
                ("slice", manifest["slice_id"]),
                ("configuration", manifest["config"]),
                ("workbench", manifest["code"]["workbench"]),
                ("duckdb", manifest["code"]["duckdb"]),
                ("content hash", manifest["content_hash"]),
                ("made", manifest["created_at"]),
                ("licence", manifest["license"] or "not stated"),
            ],
        ),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _in_words(manifest: Mapping[str, Any]) -> str:
    chosen = manifest["slice"]
    sentences = [f"Rows of `{chosen['relation']}`" + (", where" if chosen["where"] else ", all.")]
    if manifest["previous"]:
        sentences = [
            f"Since {manifest['previous']}: {manifest['added']:,} added, "
            f"{manifest['revised']:,} revised, {manifest['withdrawn']:,} withdrawn.",
            *sentences,
        ]
    return " ".join(sentences)


def _policy(manifest: Mapping[str, Any]) -> str:
    policy = manifest["label_policy"]
    signals = ", ".join(f"`{name}`" for name in policy["signals"])
    text = f"Target: `{manifest['target']}`. Several events on one inference: `{policy['policy']}`"
    text += f", decided by {signals}." if signals else "."
    if policy["maturity"]:
        text += f" A label counts {policy['maturity']:g} seconds after its inference."
    return text


def _drawn(manifest: Mapping[str, Any]) -> str:
    chosen, weights = manifest["slice"], manifest["weights"]
    size = "all that are left" if chosen["limit"] is None else f"at most {chosen['limit']:,}"
    text = f"Sampler `{chosen['sampler'] or 'uniform'}`, {size}, seed {chosen['seed']}."
    if chosen["tokens"] is not None:
        text += f" At most {chosen['tokens']:,} tokens."
    if weights["rows_without"]:
        return (
            text + " No weight undoes this choice: what is measured on these rows says nothing of "
            "the population."
        )
    return (
        text + f" `sample_weight` lies between {weights['least']:.4g} and "
        f"{weights['greatest']:.4g}; weighted, the rows count as "
        f"{weights['effective_rows']:,.0f}, and they stand for {weights['sum']:,.0f}."
    )


def _beside(beside: Mapping[str, Mapping[str, Any]]) -> str:
    names = list(beside["population"])
    return _table(
        ["figure", "population", "slice"],
        [(n, _number(beside["population"][n]), _number(beside["slice"][n])) for n in names],
    )


def _cohort(name: str, rows: Sequence[Mapping[str, Any]]) -> str:
    total = {side: sum(row[side] for row in rows) or 1 for side in ("population", "slice")}
    return _table(
        [name, "population", "slice"],
        [
            (
                row["value"],
                *(f"{row[side]:,} ({row[side] / total[side]:.1%})" for side in total),
            )
            for row in rows
        ],
    )


def _gaps(manifest: Mapping[str, Any]) -> str:
    population = manifest["beside"]["population"]
    unlabelled = population["n"] - population["n_labelled"]
    lines = [
        f"- {unlabelled:,} of {population['n']:,} inferences have no label: an inference without "
        "feedback is no negative, and is not in here as one.",
    ]
    lengths = manifest.get("lengths")
    if lengths:
        lines.append(
            f"- The preferred answer is the longer one in {lengths['chosen_longer']:.1%} of the "
            f"pairs ({lengths['chosen']:,.0f} against {lengths['rejected']:,.0f} characters on "
            "average): a model may learn to be long."
        )
    lines += [
        f"- Examples with {leak['kind']} ({leak['between']}): {leak['rows']:,}."
        for leak in manifest["leaks"]
    ]
    if not manifest["leaks"] and len(manifest["counts"]["split"]) > 1:
        lines.append("- No leak between the splits was found.")
    if len(manifest["counts"]["split"]) > 1 and manifest["rows"] > NEAR_ROWS:
        lines.append("- Prompts that are nearly alike were not looked for: there are too many.")
    return "\n".join(lines)


def _table(head: Sequence[str], rows: Any) -> str:
    body = [[_cell(value) for value in row] for row in rows]
    if not body:
        return ""
    lines = [head, ["---"] * len(head), *body]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _cell(value: Any) -> str:
    text = "" if value is None else str(value)
    return " ".join(text.replace("|", "\\|").split())


def _code(language: str, text: str) -> str:
    return f"```{language}\n{text}\n```"


def _number(value: Any) -> str:
    if value is None:
        return "undefined"
    return f"{value:,}" if isinstance(value, int) else f"{value:.4g}"
