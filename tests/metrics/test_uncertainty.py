"""How unsure a model is of one prediction, against numpy and scipy, on lists of many shapes."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import ibis
import numpy as np
import pyarrow as pa
import pytest
from scipy.stats import entropy

from tests.ingest.folder import Folder, inference, lines
from workbench import formulas

ENSEMBLE = ("mutual_information", "vote_entropy", "disagreement")
TOKENS = ("sum_logprob", "mean_logprob", "min_logprob", "perplexity")


def measured(name: str, lists: list[Any]) -> list[Any]:
    kind = pa.list_(pa.float64())
    kind = pa.list_(kind) if name in ENSEMBLE else kind
    rows = ibis.memtable(pa.table({"x": pa.array(lists, kind)}))
    return rows.select(x=getattr(formulas, name)(rows.x)).to_pyarrow()["x"].to_pylist()


def ensembles(seed: int, count: int) -> list[np.ndarray[Any, Any]]:
    """Ensembles of one to seven members, of one to twelve classes, some sure, some with zeros."""
    rng = np.random.default_rng(seed)
    found = []
    for _ in range(count):
        members, classes = rng.integers(1, 8), rng.integers(1, 13)
        weights = rng.choice([0.05, 1.0, 20.0]) * np.ones(classes)
        drawn = rng.dirichlet(weights, size=members)
        if rng.random() < 0.3:
            drawn = np.where(drawn == drawn.max(axis=1, keepdims=True), 1.0, 0.0)
        if rng.random() < 0.3:
            drawn = drawn.astype(np.float32).astype(float)
        found.append(drawn / 1.0)
    return found


def test_ensembles_equal_numpy_and_scipy() -> None:
    given = ensembles(0, 300)
    found = {name: measured(name, [e.tolist() for e in given]) for name in ENSEMBLE}
    for i, members in enumerate(given):
        # Kullback-Leibler divergence from the mean: the same number by another formula.
        with np.errstate(divide="ignore", invalid="ignore"):
            ratio = np.where(members > 0, members * np.log(members / members.mean(axis=0)), 0.0)
        votes = np.bincount(members.argmax(axis=1), minlength=members.shape[1])
        assert found["mutual_information"][i] == pytest.approx(
            ratio.sum(axis=1).mean(), rel=1e-9, abs=1e-14
        )
        assert found["mutual_information"][i] >= 0
        assert found["vote_entropy"][i] == pytest.approx(entropy(votes), rel=1e-12, abs=1e-15)
        assert found["disagreement"][i] == pytest.approx(1 - votes.max() / len(members), abs=1e-15)


@pytest.mark.parametrize("name", ENSEMBLE)
def test_a_single_member_and_equal_members_do_not_disagree(name: str) -> None:
    even = [0.1] * 10
    assert measured(name, [[even], [even] * 7, [[1.0]], [[0.2, 0.8]] * 3]) == [0.0] * 4


def test_what_members_are_unsure_of_together_is_no_disagreement() -> None:
    unsure, divided = [[0.5, 0.5]] * 2, [[1.0, 0.0], [0.0, 1.0]]
    assert measured("mutual_information", [unsure, divided]) == pytest.approx([0.0, math.log(2)])
    assert measured("vote_entropy", [unsure, divided]) == pytest.approx([0.0, math.log(2)])
    assert measured("disagreement", [unsure, divided]) == [0.0, 0.5]


@pytest.mark.parametrize("name", ENSEMBLE)
def test_an_ensemble_that_cannot_be_read_has_no_disagreement(name: str) -> None:
    nan, inf, fine = math.nan, math.inf, [0.5, 0.5]
    bad: list[Any] = [
        *(None, [], [None], [[]], [[], []], [fine, None], [fine, []], [[0.5, None], fine]),
        *([[nan, 0.5], fine], [fine, [inf, 0.5]], [fine, [1.5, -0.5]], [fine, [0.5, 0.4]]),
        *([fine, [0.2, 0.3, 0.5]], [[1.0], fine], [[0.6, 0.5]]),
    ]
    assert measured(name, bad) == [None] * len(bad)


def test_tokens_equal_numpy() -> None:
    rng = np.random.default_rng(1)
    given = [-rng.exponential(rng.choice([0.01, 1.0, 50.0]), size=rng.integers(1, 200))
             for _ in range(200)]  # fmt: skip
    given += [np.zeros(3), np.array([-0.0]), np.array([-1000.0]), np.full(5, -1 / 3)]
    found = {name: measured(name, [p.tolist() for p in given]) for name in TOKENS}
    for i, p in enumerate(given):
        assert found["sum_logprob"][i] == pytest.approx(p.sum(), rel=1e-12)
        assert found["mean_logprob"][i] == pytest.approx(p.mean(), rel=1e-12)
        assert found["min_logprob"][i] == p.min()
        if p.mean() >= -700:
            assert found["perplexity"][i] == pytest.approx(np.exp(-p.mean()), rel=1e-10)
    assert found["perplexity"][-2] is None, "it is no finite number"


@pytest.mark.parametrize("name", TOKENS)
def test_placeholders_and_gaps_among_tokens_give_nothing(name: str) -> None:
    bad: list[Any] = [
        *(None, [], [None], [-0.5, None], [math.nan], [-0.5, -9999.0], [-math.inf, -0.5]),
        *([math.inf], [0.5, -0.5], [1e-5]),
    ]
    assert measured(name, bad) == [None] * len(bad)


def test_the_columns_of_a_build(tmp_path: Path) -> None:
    config = '[inferences]\nsource = "logs"\n[feedback]\nsource = "events"\n'
    folder = Folder.make(tmp_path / "p", config, events=1)
    given = [
        {"ensemble": [[0.5, 0.5], [0.1, 0.9]], "token_logprobs": [-0.5, -1.5]},
        {"ensemble": [[0.5, 0.5], [0.2, 0.3, 0.5]], "token_logprobs": [-0.5, -9999.0]},
        {"ensemble": [[0.5, 0.5]], "token_logprobs": [-0.5, 0.25]},
        {},
    ]
    folder.write("logs/a.jsonl", lines(inference(n, **given[n]) for n in range(4)))
    folder.build()
    names = ", ".join((*ENSEMBLE, *TOKENS))
    rows = folder.ask(f"SELECT {names}, flags FROM enriched_inferences ORDER BY request_id")
    assert rows[0] == (
        pytest.approx(0.10174922507919681), pytest.approx(math.log(2)), 0.5,
        -2.0, -1.0, -1.5, pytest.approx(math.e), None,
    )  # fmt: skip
    placeholder = ["token_logprobs:sentinel"]
    assert rows[1] == (None, None, None, None, None, None, None, placeholder)
    assert rows[2] == (0.0, 0.0, 0.0, None, None, None, None, placeholder)
    assert rows[3] == (None,) * 8
