"""Agreement of raters and their consensus against the libraries that people know."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from workbench import agreement, dawid_skene

RATERS, UNITS = 6, 300


def said(seed: int, values: list[float], missing: float) -> np.ndarray:
    """Values by rater and unit; NaN where there is none."""
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, len(values), UNITS)
    noise = rng.integers(0, len(values), (RATERS, UNITS))
    table = np.array(values)[np.where(rng.random((RATERS, UNITS)) < 0.6, truth, noise)]
    table[rng.random((RATERS, UNITS)) < missing] = np.nan
    return table


def units(table: np.ndarray) -> agreement.Units:
    rows = []
    for column in table.T:
        values, counts = np.unique(column[~np.isnan(column)], return_counts=True)
        pairs = zip(values, counts, strict=True)
        rows.append({"n": 1, "pattern": [{"value": repr(float(v)), "k": int(k)} for v, k in pairs]})
    return agreement.units_of([row for row in rows if row["pattern"]])


@pytest.mark.parametrize("level", agreement.LEVELS)
@pytest.mark.parametrize("missing", [0.0, 0.5, 0.8])
@pytest.mark.parametrize("values", [[0.0, 1.0], [1.0, 2.0, 3.0, 4.0, 5.0], [0.0, 0.25, 9.0, 1e3]])
def test_krippendorff(level: str, missing: float, values: list[float]) -> None:
    library: Any = pytest.importorskip(
        "krippendorff", reason="krippendorff is not installed: make oracles"
    )
    table = said(3, values, missing)
    mine = units(table)
    expected = library.alpha(reliability_data=table, level_of_measurement=level)
    assert agreement.alpha(mine, level)(mine.n) == pytest.approx(expected, abs=1e-12)


def test_cohen_kappa_of_scikit_learn() -> None:
    metrics = pytest.importorskip("sklearn.metrics")
    table = said(4, [1.0, 2.0, 3.0], 0.0)
    cells: dict[tuple[str, str], int] = {}
    for a, b in table[:2].T:
        cells[str(a), str(b)] = cells.get((str(a), str(b)), 0) + 1
    n, kappa = agreement.cohen(
        [{"value_a": a, "value_b": b, "n": k} for (a, b), k in cells.items()]
    )
    expected = metrics.cohen_kappa_score(*table[:2])
    assert float(kappa(n)) == pytest.approx(expected, abs=1e-12)


@pytest.mark.filterwarnings("ignore")  # those of pandas are about crowd-kit, not about us
@pytest.mark.parametrize("seed", range(3))
def test_dawid_skene_of_crowd_kit(seed: int) -> None:
    library: Any = pytest.importorskip(
        "crowdkit.aggregation", reason="crowd-kit is not installed: make oracles"
    )
    pandas: Any = pytest.importorskip("pandas")
    table = said(seed, [0.0, 1.0, 2.0], 0.3)
    rater, item = np.nonzero(~np.isnan(table))
    value = table[rater, item].astype(np.int64)
    _, item = np.unique(item, return_inverse=True)
    frame = pandas.DataFrame({"task": item, "worker": rater, "label": value})
    mine = dawid_skene.consensus(item, rater, value, 3)
    assert mine.converged
    # As many rounds: what it stops by is another figure.
    theirs = library.DawidSkene(n_iter=mine.rounds, tol=-1.0).fit_predict_proba(frame)
    expected = theirs.sort_index()[[0, 1, 2]].to_numpy()
    assert mine.probabilities == pytest.approx(expected, abs=1e-12)
