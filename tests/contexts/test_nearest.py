"""The nearest documents against a plain search: ties, times, lengths, vectors that are none."""

from __future__ import annotations

import json
import math
import random
import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import ibis.expr.types as ir
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import workbench as wb
from tests.contexts.test_build import write
from tests.soundness.tables import ENGINES, Row, Tables, at, by, difference
from workbench import engine
from workbench.contexts import Inputs, JoinSpec, _bounds, _matrices, _search, contexts
from workbench.errors import ConfigError

SCHEMA = {
    "inferences": {
        "row_id": "BIGINT",
        "ts": "TIMESTAMPTZ",
        "tenant": "BIGINT",
        "embedding": "DOUBLE[]",
        "output": "VARCHAR",
    },
    "facts": {
        "key_0": "VARCHAR",
        "since": "TIMESTAMPTZ",
        "recorded": "TIMESTAMPTZ",
        "nth": "BIGINT",
        "vector": "DOUBLE[]",
        "title": "VARCHAR",
        "body": "VARCHAR",
    },
    "computed": {
        "__row": "BIGINT",
        "__rank": "BIGINT",
        "__order": "BIGINT",
        "__score": "DOUBLE",
        "__reason": "VARCHAR",
    },
}
OPTIONS = {"embedding": "vector", "k": 2, "similarity": "cosine", "minimum": None, "text": "body"}
PLAIN = JoinSpec(name="near", keys=(), facts=("title",), order="nth", options=OPTIONS)
TIMES = {"ts": "since", "known_at": "recorded"}
SPECS = {
    "plain": PLAIN,
    "of a tenant": replace(PLAIN, keys=(("tenant", "key_0"),)),
    "since": replace(PLAIN, times={"ts": "since"}),
    "recorded": replace(PLAIN, times={"known_at": "recorded"}),
    "of a tenant, both times, dot": replace(
        PLAIN,
        keys=(("tenant", "key_0"),),
        times=TIMES,
        options={**OPTIONS, "similarity": "dot", "k": 1},
    ),
    "euclidean from -2": replace(
        PLAIN, times=TIMES, options={**OPTIONS, "similarity": "euclidean", "minimum": -2.0, "k": 4}
    ),
    "cosine from 0.8, no text": replace(
        PLAIN, options={**OPTIONS, "minimum": 0.8, "text": None}, facts=("title", "body")
    ),
}
#: Whole numbers, so that the oracle's sums are exact whatever their order.
VECTORS = (
    None, [], [1.0, 0.0], [2.0, 0.0], [0.0, 3.0], [1.0, 1.0], [-1.0, 2.0], [1.0, 1.0], [0.0, 0.0],
    [1.0, math.nan], [math.inf, 1.0], [1.0, None], [1.0, 0.0, 0.0], [1.0, 2.0, 2.0],
)  # fmt: skip
TEXTS = (None, "", "Refund in 30 days.", "refund: 14 DAYS", "Größe ändern", "- ... !", "30 30 days")
Choose = Callable[[Sequence[Any]], Any]


def some_inferences(choose: Choose) -> list[Row]:
    return [
        {
            "row_id": number,
            "ts": at(choose((None, 0, 1, 2, 3))),
            "tenant": choose((None, 1, 1, 2, 3)),
            "embedding": choose(VECTORS),
            "output": choose(TEXTS),
        }
        for number in range(choose(range(8)))
    ]


def some_facts(choose: Choose) -> list[Row]:
    facts = [
        {
            "key_0": choose(("1", "1", "2")),
            "since": at(choose((None, 0, 1, 2, 4))),
            "recorded": at(choose((None, 0, 1, 2, 5))),
            "vector": choose(VECTORS),
            "title": choose(("a", "b", None)),
            "body": choose(TEXTS),
        }
        for _ in range(choose(range(8)))
    ]
    numbers = list(range(len(facts)))
    for number, fact in zip(numbers, facts, strict=True):
        fact["nth"] = number
    return facts


def good(vector: Any, similarity: str) -> bool:
    if not vector or any(x is None or not math.isfinite(x) for x in vector):
        return False
    return similarity != "cosine" or any(x != 0 for x in vector)


def similarity_of(x: Sequence[float], y: Sequence[float], how: str) -> float:
    dot = sum(a * b for a, b in zip(x, y, strict=True))
    if how == "dot":
        return dot
    if how == "euclidean":
        return -math.sqrt(sum((a - b) ** 2 for a, b in zip(x, y, strict=True)))
    norm = math.sqrt(sum(a * a for a in x)) * math.sqrt(sum(b * b for b in y))
    return max(-1.0, min(1.0, dot / norm))


def words(text: str | None) -> set[str]:
    return set(re.findall(r"[^\W_]+", (text or "").lower()))


def known(fact: Row, spec: JoinSpec) -> Any:
    times = [fact[spec.times[name]] for name in ("ts", "known_at") if name in spec.times]
    return max((time for time in times if time is not None), default=None)


def nearest(inference: Row, facts: Sequence[Row], spec: JoinSpec) -> Row:
    """All documents that could be known, compared one by one."""
    how, minimum = spec.options["similarity"], spec.options["minimum"]

    def nothing(reason: str) -> Row:
        return {"near": None, "near__age": None, "near__known": None, "near__reason": reason}

    vector, time = inference["embedding"], inference["ts"]
    if any(inference[left] is None for left, _ in spec.keys):
        return nothing("no_key")
    if not vector:
        return nothing("no_embedding")
    if not good(vector, how):
        return nothing("bad_embedding")
    if spec.times and time is None:
        return nothing("no_clock")
    own = [f for f in facts if all(f[right] == str(inference[left]) for left, right in spec.keys)]
    own = [fact for fact in own if good(fact["vector"], how)]
    if not own:
        return nothing("no_match")
    there = [f for f in own if known(f, spec) is None or known(f, spec) <= time]
    if not there:
        return nothing("not_yet_known")
    alike = [fact for fact in there if len(fact["vector"]) == len(vector)]
    if not alike:
        return nothing("wrong_length")
    scored = [(similarity_of(vector, fact["vector"], how), fact) for fact in alike]
    scored = [(s, fact) for s, fact in scored if minimum is None or s >= minimum]
    if not scored:
        return nothing("below_minimum")
    scored.sort(key=lambda pair: (-pair[0], pair[1]["nth"]))
    best = scored[: spec.options["k"]]
    struct: Row = {
        "documents": [
            {"rank": n, "score": s, **{name: fact[name] for name in spec.facts}}
            for n, (s, fact) in enumerate(best, start=1)
        ],
        "score": best[0][0],
    }
    if spec.options["text"] is not None:
        said = words(inference["output"])
        shared = said & set().union(*(words(fact["body"]) for _, fact in best))
        agreement = len(shared) / len(said) if said else None
        struct["agreement"] = agreement
        struct["distance"] = None if agreement is None else 1 - agreement
    happened = spec.times.get("ts", spec.times.get("known_at"))
    times = [fact[happened] for _, fact in best if happened and fact[happened] is not None]
    moments = [known(fact, spec) for _, fact in best if known(fact, spec) is not None]
    return {
        "near": struct,
        "near__age": (time - max(times)).total_seconds() if times else None,
        "near__known": max(moments, default=None),
        "near__reason": None,
    }


@st.composite
def worlds(draw: st.DrawFn) -> tuple[list[Row], list[Row]]:
    def choose(options: Sequence[Any]) -> Any:
        return draw(st.sampled_from(options))

    return some_inferences(choose), some_facts(choose)


def inputs(tables: Tables, spec: JoinSpec) -> Inputs:
    def stream(query: ir.Table, rows: int) -> Iterator[pa.RecordBatch]:
        yield from tables.engine.read(engine.sql_of(query)).to_batches(3)

    return Inputs(
        inferences=tables.table("inferences"),
        facts=tables.table("facts"),
        stream=stream,
        folder=Path("unused"),
        root=Path("unused"),
        spec=spec,
    )


@pytest.fixture(scope="module")
def duckdb_tables() -> Tables:
    return Tables(SCHEMA)


@pytest.fixture(scope="module", params=ENGINES)
def tables(request: pytest.FixtureRequest) -> Tables:
    return Tables(SCHEMA, engine=request.param)


def run(
    tables: Tables, computing: Tables, spec: JoinSpec, inferences: list[Row], facts: list[Row]
) -> dict[int, Row]:
    join = contexts.get("nearest")
    assert join.compute is not None
    for target in (tables, computing):
        target.fill(inferences=inferences, facts=facts)
    made = join.compute(inputs(computing, spec))
    tables.fill(computed=made.to_pylist())

    def expression() -> Any:
        computed = replace(spec, computed=tables.table("computed"))
        return join.join(tables.table("inferences"), tables.table("facts"), computed)

    return by(tables.run(str(spec), expression), "row_id")


def comparable(row: Row) -> Row:
    """The row without its embedding: no NaN is equal to another in a list."""
    return {key: value for key, value in row.items() if key != "embedding"}


@settings(max_examples=30, deadline=None)
@given(world=worlds(), spec=st.sampled_from(list(SPECS.values())), seed=st.integers(0, 99))
def test_the_nearest_are_their_definition_whatever_the_order_of_the_rows(
    tables: Tables,
    duckdb_tables: Tables,
    world: tuple[list[Row], list[Row]],
    spec: JoinSpec,
    seed: int,
) -> None:
    inferences, facts = world
    random.Random(seed).shuffle(inferences)
    random.Random(seed).shuffle(facts)
    expected = {r["row_id"]: comparable({**r, **nearest(r, facts, spec)}) for r in inferences}
    assert difference(run(tables, duckdb_tables, spec, inferences, facts), expected) == []


@pytest.mark.parametrize("spec", SPECS.values(), ids=SPECS)
def test_the_nearest_are_their_definition_among_many(
    tables: Tables, duckdb_tables: Tables, spec: JoinSpec
) -> None:
    choose = random.Random(4).choice
    inferences = [row for _ in range(300) for row in some_inferences(choose)]
    facts = [row for _ in range(8) for row in some_facts(choose)]
    for place, row in enumerate(inferences):
        row["row_id"] = place
    for place, row in enumerate(facts):
        row["nth"] = place
    expected = {r["row_id"]: comparable({**r, **nearest(r, facts, spec)}) for r in inferences}
    found = run(tables, duckdb_tables, spec, inferences, facts)
    assert difference(found, expected) == []
    reasons = Counter(row["near__reason"] for row in expected.values())
    assert {None, "no_embedding", "bad_embedding"} <= reasons.keys()
    # Nothing is used before it was known.
    assert all(r["near__known"] is None or r["near__known"] <= r["ts"] for r in found.values())


@pytest.mark.parametrize("how", ["cosine", "dot", "euclidean"])
@pytest.mark.parametrize("scale", [1e-40, 1e-3, 1.0, 1e18, 1e30])
def test_blocks_of_any_size_find_the_same_as_a_search_in_64_bits(
    monkeypatch: pytest.MonkeyPatch, how: str, scale: float
) -> None:
    random_ = np.random.default_rng(5)
    base = random_.normal(size=(40, 24))
    # Documents that differ by less than 32 bits can tell when they are added up, and twins.
    documents = np.concatenate([base, base * (1 + 1e-7), base + 1e-6, base]) * scale
    documents *= random_.choice([1.0, 1.0, 1e-3], size=(len(documents), 1))
    vectors = documents.astype(np.float32)
    queries = (base[:20] + random_.normal(scale=1e-3, size=(20, 24))).astype(np.float32)
    queries = np.concatenate([queries, vectors[:9]])
    known = random_.integers(0, 5, len(vectors))
    times = random_.integers(0, 5, len(queries))
    order = random_.permutation(len(vectors)).astype(np.int64)
    expected = []
    for query, time in zip(queries.astype(np.float64), times, strict=True):
        best = []
        for vector, number, since in zip(vectors.astype(np.float64), order, known, strict=True):
            if since <= time:
                best.append((-one_score(query, vector, how), int(number)))
        expected.append(sorted(best)[:5])
    found = []
    # One query at a time; several blocks, tiles and strides, none of them whole; all at once; and
    # by what the similarity is at most.
    whole = ((1, 2**14, 4), (700, 100, 24), (10**6, 2**14, 256))
    for cells, tile, stride in (*whole, *whole):
        if len(found) == len(whole):
            by_bounds(monkeypatch)
        monkeypatch.setattr(_search, "CELLS", cells)
        monkeypatch.setattr(_search, "TILE", tile)
        monkeypatch.setattr(_matrices, "STRIDE", stride)
        among = _search.documents(vectors, order, known, how)
        pairs = _search.search(queries, times, among, k=5, similarity=how)
        assert [bound is not None for bound in among.found] == [True] * (len(found) >= len(whole))
        listed: list[list[tuple[float, int]]] = [[] for _ in queries]
        for query, document, score in zip(pairs.query, pairs.document, pairs.score, strict=True):
            listed[query].append((-float(score), int(among.order[document])))
        found.append(listed)
    assert found == [expected] * 6


def by_bounds(monkeypatch: pytest.MonkeyPatch) -> None:
    """Use bounds in every search, as if comparing pairs one by one took no time."""
    monkeypatch.setattr(_search, "worth_finding", lambda *_: True)
    monkeypatch.setattr(_search, "PAIR", 0)
    monkeypatch.setattr(_bounds, "PAIR", 0)


@given(
    seed=st.integers(0, 2**32 - 1),
    length=st.integers(12, 200),
    falls=st.floats(0.5, 1.0),
    scale=st.sampled_from([0.0, 1e-6, 1.0, 1e3]),
)
@settings(deadline=None, max_examples=100)
def test_no_product_is_above_its_bound(seed: int, length: int, falls: float, scale: float) -> None:
    random_ = np.random.default_rng(seed)
    spread = falls ** np.arange(length)
    documents = random_.normal(size=(50, length)) * spread
    queries = documents[:30] * random_.normal(size=(30, 1))
    queries += random_.normal(scale=scale, size=(30, length))
    documents, queries = (
        (vectors / np.linalg.norm(vectors, axis=1)[:, None]).astype(np.float32)
        for vectors in (documents, queries)
    )
    with pytest.MonkeyPatch.context() as monkeypatch:
        by_bounds(monkeypatch)
        bounds = _bounds.find(documents, queries, 1)
    assert bounds is not None
    products = queries.astype(np.float64) @ documents.astype(np.float64).T
    most = bounds.of(queries, slice(None)) + bounds.slack
    assert (most >= products).all()
    # It is a bound, not merely large.
    assert most.max() <= 1 + 8 * bounds.slack


def test_bounds_are_used_where_they_spare_work_alone() -> None:
    random_ = np.random.default_rng(3)
    noise = random_.normal(size=(9_000, 96))
    topics = random_.normal(size=(20, 96))[random_.integers(20, size=9_000)]
    near = topics + noise
    asked = random_.normal(size=(8_000, 96))
    for vectors, queries, expected in (
        (near, near[:8_000] + asked / 2, True),
        (noise, asked, False),
    ):
        among = _search.documents(
            vectors.astype(np.float32), np.arange(9_000), np.zeros(9_000, np.int64), "cosine"
        )
        bounds = among.bounds(queries.astype(np.float32), 1)
        assert (bounds is not None) == expected
        assert among.bounds(queries[:1].astype(np.float32), 1) is bounds
        if bounds is not None:
            assert bounds.documents.shape[1] < 72


def one_score(query: Any, vector: Any, how: str) -> float:
    if how == "euclidean":
        return float(-np.sqrt(np.square(query - vector).sum()))
    if how == "dot":
        return float((query * vector).sum())
    norms = np.sqrt(np.square(query).sum()) * np.sqrt(np.square(vector).sum())
    return float(np.clip((query * vector).sum() / norms, -1, 1))


@pytest.mark.parametrize("n", [1, 7, 10_000, 3_000_000])
@pytest.mark.parametrize("length", [1, 256, 4096])
def test_a_block_is_no_larger_than_it_may_be(n: int, length: int) -> None:
    rows = _search.block_rows(n, length)
    assert rows == 1 or max(n, length) * rows <= _search.CELLS
    assert rows >= 1
    assert (rows + 1) * max(n, length) > _search.CELLS


CONFIG = """
[project]
name = "knowledge"
[inferences]
source = "inferences.jsonl"
[feedback]
source = "feedback.jsonl"
[context.handbook]
source = "handbook.jsonl"
join = "nearest"
embedding = "Vector"
text = "body"
k = 2
known_at = "verified_at"
columns = ["title"]
"""
DOCUMENTS = [
    {"title": "old", "Vector": [1, 0], "body": "14 days", "verified_at": "2026-01-01T00:00:00Z"},
    {"title": "new", "Vector": [1, 0.1], "body": "30 days", "verified_at": "2026-01-03T00:00:00Z"},
    {"title": "none", "Vector": None, "body": "x", "verified_at": "2026-01-01T00:00:00Z"},
    {"title": "zero", "Vector": [0, 0], "body": "x", "verified_at": "2026-01-01T00:00:00Z"},
]


def project(folder: Path, config: str = CONFIG, documents: list[Row] = DOCUMENTS) -> wb.Workbench:
    (folder / "workbench.toml").write_text(config)
    write(
        folder / "inferences.jsonl",
        [
            {
                "request_id": f"r{day}",
                "ts": f"2026-01-{day:02}T12:00:00Z",
                "model_version": "v1",
                "output": "Within 30 days",
                "embedding": None if day == 5 else [1, 0.1, 0] if day == 4 else [1, 0.1],
            }
            for day in range(1, 6)
        ],
    )
    write(folder / "feedback.jsonl", [])
    write(folder / "handbook.jsonl", documents)
    return wb.open(folder)


def test_a_build_finds_the_documents_that_were_known(tmp_path: Path) -> None:
    built = project(tmp_path)
    built.build()
    rows = built.sql(
        "SELECT request_id, [d.title for d in handbook.documents] AS titles, handbook.agreement "
        "AS agreement FROM enriched_inferences ORDER BY request_id"
    ).table.to_pylist()
    assert [row["titles"] for row in rows] == [["old"], ["old"], ["new", "old"], None, None]
    assert [row["agreement"] for row in rows] == [1 / 3, 1 / 3, 2 / 3, None, None]
    report = built.status()["contexts"]["handbook"]
    assert report["reasons"] == {"no_embedding": 1, "wrong_length": 1}
    assert (report["documents"], report["unusable_documents"], report["vector_lengths"]) == (
        4,
        2,
        1,
    )
    assert [audit.verdict for audit in built.leaks()] == ["proven"]


def test_vectors_may_be_texts_and_a_column_without_any_is_no_error(tmp_path: Path) -> None:
    texts = [{**d, "Vector": json.dumps(d["Vector"])} for d in DOCUMENTS]
    built = project(tmp_path, documents=[*texts, {**texts[0], "Vector": "none of them"}])
    built.build()
    report = built.status()["contexts"]["handbook"]
    assert (report["matched"], report["unusable_documents"]) == (3, 3)
    empty = tmp_path / "empty"
    empty.mkdir()
    built = project(empty, documents=[{**d, "Vector": None} for d in DOCUMENTS])
    built.build()
    assert built.status()["contexts"]["handbook"]["reasons"] == {"no_embedding": 1, "no_match": 4}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("k = 2", "k = 500"), "more than 100"),
        (('["title"]', '["title", "score"]'), "Rename them"),
        (('"Vector"', '["Vector", "body"]'), "one column"),
        (("k = 2", 'similarity = "cosin"'), "cosine"),
    ],
)
def test_settings_that_cannot_be_are_refused(
    tmp_path: Path, change: tuple[str, str], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        project(tmp_path, CONFIG.replace(*change)).build()
