"""The figures of a card are those that the metrics give for the same inferences."""

from __future__ import annotations

import pytest

import workbench
from tests.datasets import world
from tests.ingest.folder import Folder

MEASURED = {
    "positive_share": "base_rate",
    "mean_reward": "reward_mean",
    "accuracy": "accuracy",
    "brier_score": "brier_score",
    "ece": "ece",
}


def test_figures_are_the_metrics_of_both_sides(built: Folder) -> None:
    where = "user_id <> 'u3'"
    made = world.compiled(built, "kto", "card", where=where)
    ids = ", ".join(f"'{row['request_id']}'" for row in world.rows_of(built, made))
    project = workbench.open(built.path)
    for side, chosen in (("population", None), ("slice", f"request_id IN ({ids})")):
        found = project.metrics(list(MEASURED.values()), where=chosen)
        told = made["beside"][side]
        for name, row in zip(MEASURED, found, strict=True):
            value = row["value"]
            assert told[name] == (None if value is None else pytest.approx(value, rel=1e-12))
        assert (
            told["n"]
            == project.sql(
                f"SELECT count(*) AS n FROM enriched_inferences WHERE {chosen or 'true'}"
            )
            .table["n"]
            .to_pylist()[0]
        )
    assert made["beside"]["slice"] != made["beside"]["population"]
    assert made["beside"]["slice"]["mean_reward"] is not None
    assert made["beside"]["slice"]["ece"] is not None
    card = project.datasets.card("card")
    assert where in card
    assert f"{made['rows']:,} examples" in card
