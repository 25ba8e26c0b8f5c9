"""Samplers that are fitted to rows, over the relations of a build."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.query.conftest import make_project
from workbench.datasets import Slice
from workbench.errors import QueryError
from workbench.query import Build, open_build


@pytest.fixture(scope="module")
def build(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Build]:
    with open_build(make_project(tmp_path_factory.mktemp("samplers") / "p")) as opened:
        yield opened


@pytest.mark.parametrize(
    "sampler",
    [
        "coverage(by='model_version, correct -- what it was')",
        "diversity(over='[confidence, confidence * confidence]', k=3)",
        "diversity(over='[confidence]', method='k_center')",
        "mix(of=\"stratified(by='model_version'): 2, importance(score='confidence'): 1\")",
    ],
)
def test_a_slice_of_a_build(build: Build, sampler: str) -> None:
    chosen = Slice(
        relation="inferences",
        where="confidence IS NOT NULL",
        columns=("request_id", "model_version"),
        limit=30,
        sampler=sampler,
    )
    assert Slice.from_params(chosen.to_params()) == chosen
    assert chosen.count(build) == 30
    rows = build.arrow(chosen.sql(build))
    assert rows.num_rows == 30
    assert set(rows["request_id"].to_pylist()) <= set(
        build.arrow("SELECT request_id FROM inferences WHERE confidence IS NOT NULL")[
            "request_id"
        ].to_pylist()
    )
    assert rows.equals(build.arrow(chosen.sql(build)))


@pytest.mark.parametrize(
    "sampler",
    [
        "coverage(by='model_version) OR (label')",
        "diversity(over='confidence')",
        "diversity(over='[confidence]) OR ([1]')",
        "mix(of=\"stratified(by='1) OR (1'): 1\")",
        "mix(of=\"importance(score='-confidence'): 1\")",
    ],
)
def test_what_cannot_be_fitted_is_said(build: Build, sampler: str) -> None:
    with pytest.raises(QueryError):
        Slice(relation="inferences", sampler=sampler, limit=3).count(build)
