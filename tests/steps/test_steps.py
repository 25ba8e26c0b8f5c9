"""The steps of agents against their definition, and what a build shows of them."""

from __future__ import annotations

import json
import random
from collections import Counter
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from tests.ingest.folder import PLAIN, Folder, inference, lines
from tests.soundness.tables import ENGINES, Row, Tables, at, by, difference
from workbench import contract
from workbench.steps import KEPT, steps

NUMBERS = {"row_id": "BIGINT", "latency_ms": "DOUBLE", "cost": "DOUBLE", "ts": "TIMESTAMPTZ"}
TOKENS = dict.fromkeys(("input_tokens", "output_tokens"), "BIGINT")
SCHEMA = {
    "inferences": {
        **{name: {**NUMBERS, **TOKENS}.get(name, "VARCHAR") for name in KEPT}, "step": "INTEGER"
    },
    "credited": {"request_id": "VARCHAR", "weight": "DOUBLE", "reward": "DOUBLE"},
    "whole": {"request_id": "VARCHAR", "reward": "DOUBLE"},
    "labels": {"request_id": "VARCHAR", "label": "VARCHAR"},
}  # fmt: skip


@pytest.fixture(scope="module", params=ENGINES)
def tables(request: pytest.FixtureRequest) -> Tables:
    return Tables(SCHEMA, engine=request.param)


def run(tables: Tables) -> list[Row]:
    return tables.run("steps", lambda: steps(*map(tables.table, SCHEMA)))


def by_hand(inferences: list[Row], credited: list[Row], whole: list[Row], labels: list[Row]) -> Any:
    traces: dict[str, list[Row]] = {}
    for row in inferences:
        if row["trace_id"] is not None:
            traces.setdefault(row["trace_id"], []).append(row)
    label_of = {row["request_id"]: row["label"] for row in labels}
    result = {}
    for mine in traces.values():
        mine.sort(
            key=lambda r: (
                (r["ts"] is not None, r["ts"] or 0),
                (r["step"] is not None, r["step"] or 0),
                r["request_id"],
            )
        )
        names = {row["request_id"] for row in mine}
        verdicts = [Fraction(e["reward"]) for e in whole if e["request_id"] in names]
        for place, row in enumerate(mine):
            got = [
                (Fraction(e["weight"]), Fraction(e["reward"]))
                for e in credited
                if e["request_id"] == row["request_id"]
            ]
            result[row["request_id"]] = {
                **{name: row.get(name) for name in KEPT},
                "step": place if row["step"] is None else row["step"],
                "n_steps": len(mine),
                "outcome": float(sum(verdicts) / len(verdicts)) if verdicts else None,
                "credit": float(sum(weight for weight, _ in got)),
                "credited_reward": float(sum(w * r for w, r in got)) if got else None,
                "label": label_of.get(row["request_id"]),
            }
    return result


def some_tables(choose: Any) -> tuple[list[Row], list[Row], list[Row], list[Row]]:
    inferences = [
        {
            "row_id": n,
            "request_id": f"r{n}",
            "trace_id": choose([None, "t1", "t1", "t2"]) and f"{choose('ab')}{n // 10}",
            "parent_id": choose([None, "r0"]),
            "ts": at(choose([None, 1, 1, 2, 3])),
            "step": choose([None, 0, 1, 1, 7]),
            "model_version": "v",
            "latency_ms": choose([None, 3.5]),
            "input_tokens": choose([None, 7]),
        }
        for n in range(200)
    ]
    ids = [row["request_id"] for row in inferences]
    credited = [
        {
            "request_id": choose(ids),
            "weight": choose([1.0, 0.5]),
            "reward": choose([0.0, 1.0, 0.25]),
        }
        for _ in range(150)
    ]
    whole = [{"request_id": choose(ids), "reward": choose([0.0, 1.0])} for _ in range(20)]
    labels = [{"request_id": id_, "label": choose([None, "1"])} for id_ in ids[::3]]
    return inferences, credited, whole, labels


@pytest.mark.parametrize("seed", range(5))
def test_is_its_definition(tables: Tables, seed: int) -> None:
    rows = some_tables(random.Random(seed).choice)
    tables.fill(**dict(zip(SCHEMA, rows, strict=True)))
    expected = by_hand(*rows)
    assert 100 < len(expected) < 200
    assert difference(by(run(tables), "request_id"), expected) == []


def test_columns_have_the_types_of_the_contract(tables: Tables) -> None:
    run(tables)
    found = tables.described("steps")
    declared = {c.name: c.type for c in contract.table("enriched_steps").columns.values()}
    wide = {"tool_calls", "n_tool_calls", "reasoning", "output", "error"}
    assert found.keys() == (declared.keys() - wide) | {"row_id"}
    renamed = {"TIMESTAMP WITH TIME ZONE": "TIMESTAMPTZ"}
    for name in found.keys() - {"row_id"}:
        assert found[name] == renamed.get(declared[name], declared[name]), name


#: Metadata and tags of a call, and the error that they say.
ERRORS: list[tuple[Any, list[str] | None, str | None]] = [
    (None, None, None),
    ({}, [], None),
    ({"error": None, "status": "ok"}, ["terror"], None),
    ({"error": False}, None, None),
    ({"error": ""}, ["errors fixed"], None),
    ({"error": "boom"}, None, "boom"),
    ({"error": {"message": "deep", "code": 5}}, None, "deep"),
    ({"error": {"code": 5}}, None, '{"code":5}'),
    ({"error.message": "dotted"}, None, "dotted"),
    ({"exception": {"message": "raised"}}, None, "raised"),
    ({"status": "error"}, None, "error"),
    ({"status": "ERROR", "status_message": "why"}, None, "why"),
    ({"status": {"code": "STATUS_CODE_ERROR", "message": "span"}}, None, "span"),
    ({"level": "ERROR", "statusMessage": "seen"}, None, "seen"),
    ({"status_message": "all is well"}, None, None),
    (None, ["a", "error:timeout"], "timeout"),
    (None, ["Error"], "Error"),
]


def test_a_build_shows_errors_tools_and_outcomes(tmp_path: Path) -> None:
    folder = Folder.make(tmp_path / "p", PLAIN + '[attribution]\ncredit = "uniform"\n')
    tools = {1: '[{"name": "a"}, {"name": "b"}]', 2: '{"name": "a"}', 3: "[]", 4: "no json"}
    folder.write(
        "logs/a.jsonl",
        lines(
            inference(
                n, trace_id="t", metadata=json.dumps(said) if said is not None else None,
                tags=tags, tool_calls=tools.get(n), output=f"o{n}",
            )
            for n, (said, tags, _) in enumerate(ERRORS)
        ) + lines([inference(99)]),
    )  # fmt: skip
    verdict = {"scope": "trace", "trace_id": "t", "name": "thumb", "ts": 1_772_400_000}
    events = [{**verdict, "feedback_id": f"v{n}", "value": n} for n in (0, 1)]
    one = {"feedback_id": "one", "request_id": "r0", "name": "thumb", "value": 0}
    folder.write("events/first.jsonl", lines([*events, {**one, "ts": 1_772_400_000}]))
    folder.build()
    rows = folder.ask(
        "SELECT step, error, n_tool_calls, output, outcome, credit, credited_reward, n_steps "
        "FROM enriched_steps ORDER BY step"
    )
    n = len(ERRORS)
    assert [row[1] for row in rows] == [error for *_, error in ERRORS]
    assert [row[2] for row in rows[:6]] == [None, 2, 1, 0, None, None]
    assert [row[3] for row in rows] == [f"o{n}" for n in range(n)]
    # The event on one step is no verdict on the trace.
    assert {row[4] for row in rows} == {0.5}
    assert [row[5] for row in rows] == pytest.approx([1 + 2 / n, *[2 / n] * (n - 1)])
    assert [row[6] for row in rows] == pytest.approx([1 / n] * n)
    assert Counter(row[7] for row in rows) == {n: n}
