"""Claims against what a walk over the triples finds: times, several objects, no claim at all."""

from __future__ import annotations

import random
import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import workbench as wb
from tests.contexts.test_build import write
from tests.soundness.tables import ENGINES, Row, Tables, at, by, difference
from workbench.contexts import JoinSpec, contexts
from workbench.errors import ConfigError

SCHEMA = {
    "inferences": {"row_id": "BIGINT", "ts": "TIMESTAMPTZ", "output": "VARCHAR"},
    "facts": {
        "who": "VARCHAR",
        "predicate": "VARCHAR",
        "object": "VARCHAR",
        "since": "TIMESTAMPTZ",
        "until": "TIMESTAMPTZ",
        "recorded": "TIMESTAMPTZ",
        "nth": "BIGINT",
    },
}
OPTIONS = {
    "pattern": r"(\w*) allows (\w+(?:\.0)?)?",
    "path": "plan/days",
    "subject": "Who",
    "predicate": "predicate",
    "object": "object",
}
PLAIN = JoinSpec(name="checked", keys=(), facts=(), order="nth", options=OPTIONS)
SPECS = {
    "plain": PLAIN,
    "one step": replace(PLAIN, options={**OPTIONS, "path": "days"}, times={"ts": "since"}),
    "three steps": replace(PLAIN, options={**OPTIONS, "path": "plan/plan/days"}),
    "known": replace(PLAIN, times={"known_at": "recorded"}),
    "all times": replace(PLAIN, times={"ts": "since", "valid_to": "until", "known_at": "recorded"}),
}
SENTENCES = (
    "Plus allows 30.", "plus allows 30.0", "PRO allows 14", " allows 14", "Pro allows",
    "x allows yes", "Nobody knows.", "Plus allows TRUE", "Zed allows 30", "Plus allows 99",
)  # fmt: skip
SUBJECTS = ("plus", "Plus ", "pro", "x", "A", "a", "b", None, "")
OBJECTS = ("a", "A", "b", "30", "30.0", "14", "true", "1", "YES", None, " ")
Choose = Callable[[Sequence[Any]], Any]


def some_inferences(choose: Choose) -> list[Row]:
    rows = []
    for number in range(choose(range(8))):
        said = ". ".join(choose(SENTENCES) for _ in range(choose(range(4))))
        rows.append(
            {
                "row_id": number,
                "ts": at(choose((None, 1, 2, 3, 3))),
                "output": choose((None, "", said, said, said, said)),
            }
        )
    return rows


def some_facts(choose: Choose) -> list[Row]:
    facts = []
    for number in range(choose(range(12))):
        since = choose((None, 0, 1, 2, 4))
        facts.append(
            {
                "who": choose(SUBJECTS),
                "predicate": choose(("plan", "Plan", "days", "days", "other", None)),
                "object": choose(OBJECTS),
                "since": at(since),
                "until": at(choose((None, None, (since or 0) + 1, (since or 0) + 3))),
                "recorded": at(choose((None, 0, 1, 2, 5))),
                "nth": number,
            }
        )
    return facts


def folded(text: str) -> str:
    text = re.sub(r"^([+-]?\d+)\.0+$", r"\1", text.strip()).lower()
    return {"true": "1", "false": "0"}.get(text, text)


def checked(inference: Row, facts: Sequence[Row], spec: JoinSpec) -> Row:
    """Walk the graph from the subject of each claim, as far as it is known and holds."""
    output, time = inference["output"], inference["ts"]
    none = {"checked": None, "checked__age": None, "checked__known": None}
    if output is None:
        return {**none, "checked__reason": "no_output"}
    found = [
        (position, said.strip(), claimed.strip())
        for position, (said, claimed) in enumerate(re.findall(spec.options["pattern"], output), 1)
        if said.strip() and claimed.strip()
    ]
    counts = {"n_claims": len(found), "n_supported": 0, "n_contradicted": 0, "n_unknown": 0}
    if not found:
        return {**none, "checked": {"claims": [], **counts}, "checked__reason": "no_claim"}
    if spec.times and time is None:
        return {**none, "checked__reason": "no_clock"}
    claims, moments, any_path, any_ended = [], [], False, False
    for position, said, claimed in found:
        known: dict[str, str] = {}
        for node, name, start, end in walks(folded(said), facts, spec):
            any_path = True
            if start is not None and time < start:
                continue
            if end is not None and time >= end:
                any_ended = True
                continue
            known[node] = min(name, known.get(node, name))
            if start is not None:
                moments.append(start)
        verdict = "unknown"
        if known:
            verdict = "supported" if folded(claimed) in known else "contradicted"
        counts[f"n_{verdict}"] += 1
        claims.append(
            {
                "position": position,
                "subject": said,
                "claimed": claimed,
                "known": sorted(known.values()),
                "verdict": verdict,
            }
        )
    reason = None
    if counts["n_unknown"] == len(claims):
        reason = "not_valid" if any_ended else "not_yet_known" if any_path else "no_match"
    newest = max(moments, default=None)
    return {
        "checked": {"claims": claims, **counts},
        "checked__age": None if newest is None else (time - newest).total_seconds(),
        "checked__known": newest,
        "checked__reason": reason,
    }


def walks(subject: str, facts: Sequence[Row], spec: JoinSpec) -> list[tuple[str, str, Any, Any]]:
    """Every walk along the path: where it ends, and from when until when it holds."""
    ends: list[tuple[str, str, Any, Any]] = [(subject, subject, None, None)]
    for step in spec.options["path"].split("/"):
        longer = []
        for node, _, start, end in ends:
            for fact in facts:
                who, predicate, to = fact["who"], fact["predicate"], fact["object"]
                if who is None or predicate is None or to is None or not to.strip():
                    continue
                if folded(who) != node or folded(predicate) != step:
                    continue
                times = [fact[spec.times[n]] for n in ("ts", "known_at") if n in spec.times]
                begins = max((t for t in (start, *times) if t is not None), default=None)
                until = fact["until"] if "valid_to" in spec.times else None
                over = min((t for t in (end, until) if t is not None), default=None)
                if begins is None or over is None or begins < over:
                    longer.append((folded(to), to.strip(), begins, over))
        ends = longer
    return ends


@st.composite
def worlds(draw: st.DrawFn) -> tuple[list[Row], list[Row]]:
    def choose(options: Sequence[Any]) -> Any:
        return draw(st.sampled_from(options))

    return some_inferences(choose), some_facts(choose)


@pytest.fixture(scope="module", params=ENGINES)
def tables(request: pytest.FixtureRequest) -> Tables:
    return Tables(SCHEMA, engine=request.param)


@pytest.fixture(scope="module")
def duckdb() -> Tables:
    return Tables(SCHEMA)


def run(tables: Tables, spec: JoinSpec, inferences: list[Row], facts: list[Row]) -> dict[int, Row]:
    tables.fill(inferences=inferences, facts=facts)
    join = contexts.get("claims").join

    def expression() -> Any:
        return join(tables.table("inferences"), tables.table("facts"), spec)

    return by(tables.run(str(spec), expression), "row_id")


@settings(max_examples=30, deadline=None)
@given(world=worlds(), spec=st.sampled_from(list(SPECS.values())), seed=st.integers(0, 99))
def test_a_verdict_is_its_definition_whatever_the_order_of_the_rows(
    duckdb: Tables, world: tuple[list[Row], list[Row]], spec: JoinSpec, seed: int
) -> None:
    inferences, facts = world
    random.Random(seed).shuffle(inferences)
    random.Random(seed).shuffle(facts)
    expected = {row["row_id"]: {**row, **checked(row, facts, spec)} for row in inferences}
    assert difference(run(duckdb, spec, inferences, facts), expected) == []


@pytest.mark.parametrize("spec", SPECS.values(), ids=SPECS)
def test_a_verdict_is_its_definition_for_many_answers(tables: Tables, spec: JoinSpec) -> None:
    choose = random.Random(10).choice
    inferences = [row for _ in range(150) for row in some_inferences(choose)]
    facts = [row for _ in range(20) for row in some_facts(choose)]
    for place, row in enumerate(inferences):
        row["row_id"] = place
    for place, row in enumerate(facts):
        row["nth"] = place
    expected = {row["row_id"]: {**row, **checked(row, facts, spec)} for row in inferences}
    found = run(tables, spec, inferences, facts)
    assert difference(found, expected) == []
    verdicts = Counter(
        claim["verdict"]
        for row in expected.values()
        for claim in (row["checked"] or {}).get("claims", [])
    )
    assert verdicts.keys() == {"supported", "contradicted", "unknown"}
    assert {None, "no_claim", "no_output"} <= {row["checked__reason"] for row in expected.values()}
    # Nothing is held against an answer that was not known when it was given.
    assert all(
        r["checked__known"] is None or r["checked__known"] <= r["ts"] for r in found.values()
    )


@pytest.mark.parametrize(
    ("first", "second", "verdict", "reason"),
    [
        ((0, 4), (2, 6), "supported", None),
        ((0, 3), (2, 3), "unknown", "not_valid"),
        ((0, 6), (4, 6), "unknown", "not_yet_known"),
        # One ends where the other begins: there is no such path, then or ever.
        ((0, 2), (2, 6), "unknown", "no_match"),
    ],
)
def test_the_steps_of_a_path_hold_at_one_time(
    duckdb: Tables,
    first: tuple[int, int],
    second: tuple[int, int],
    verdict: str,
    reason: str | None,
) -> None:
    steps = (("plus", "plan", "a", first), ("a", "days", "30", second))
    facts = [
        {"who": who, "predicate": by, "object": to, "since": at(since), "until": at(until)}
        for who, by, to, (since, until) in steps
    ]
    asked = [{"row_id": 0, "ts": at(3), "output": "Plus allows 30."}]
    spec = replace(PLAIN, times={"ts": "since", "valid_to": "until"})
    found = run(duckdb, spec, asked, facts)[0]
    assert found["checked"]["claims"][0]["verdict"] == verdict
    assert found["checked__reason"] == reason


CONFIG = """
[project]
name = "claims"
[inferences]
source = "inferences.jsonl"
[feedback]
source = "feedback.jsonl"
[context.facts]
source = "triples.jsonl"
join = "claims"
pattern = '(?i)the (\\w+) plan allows (\\d+) days'
path = "terms/refund_days"
known_at = "recorded_at"
"""
TRIPLES = [
    ("Plus", "terms", "plus-2026", "2026-01-01T00:00:00Z"),
    ("plus-2026", "refund_days", 30, "2026-01-03T00:00:00Z"),
    ("Pro", "terms", "pro-2026", "2026-01-01T00:00:00Z"),
]


def project(folder: Path, config: str = CONFIG) -> wb.Workbench:
    (folder / "workbench.toml").write_text(config)
    write(
        folder / "inferences.jsonl",
        [
            {
                "request_id": f"r{day}",
                "ts": f"2026-01-{day:02}T12:00:00Z",
                "model_version": "v1",
                "output": said,
            }
            for day, said in enumerate(
                [
                    "The Plus plan allows 30 days.",
                    "Nothing to say.",
                    "The plus plan allows 30 days, the Pro plan allows 7 days.",
                    "The PLUS plan allows 14 days.",
                ],
                start=1,
            )
        ],
    )
    write(folder / "feedback.jsonl", [])
    names = ("subject", "predicate", "object", "recorded_at")
    write(folder / "triples.jsonl", [dict(zip(names, t, strict=True)) for t in TRIPLES])
    return wb.open(folder)


def test_a_build_checks_claims_by_what_was_known(tmp_path: Path) -> None:
    built = project(tmp_path)
    built.build()
    rows = built.sql(
        "SELECT [c.verdict for c in facts.claims] AS verdicts, facts.claims[1].known AS known "
        "FROM enriched_inferences ORDER BY request_id"
    ).table.to_pylist()
    assert [row["verdicts"] for row in rows] == [
        ["unknown"], [], ["supported", "unknown"], ["contradicted"]
    ]  # fmt: skip
    assert [row["known"] for row in rows] == [[], None, ["30"], ["30"]]
    report = built.status()["contexts"]["facts"]
    assert report["reasons"] == {"no_claim": 1, "not_yet_known": 1}
    assert (report["triples"], report["triples_on_path"]) == (3, 3)
    assert [audit.verdict for audit in built.leaks()] == ["proven"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ((r"(\\d+) days", r"\\d+ days"), "needs two"),
        ((r"(?i)the", r"(?=the)"), "regular expression"),
        (("terms/refund_days", "terms//days"), "empty step"),
    ],
)
def test_settings_that_cannot_be_are_refused(
    tmp_path: Path, change: tuple[str, str], message: str
) -> None:
    config = CONFIG.replace(change[0].replace("\\\\", "\\"), change[1].replace("\\\\", "\\"))
    assert config != CONFIG
    with pytest.raises(ConfigError, match=message):
        project(tmp_path, config).build()
