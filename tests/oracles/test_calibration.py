"""The calibration metrics against other people's libraries."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tests.metrics.rows import adversarial, pairs
from workbench.metrics import evaluate

verified = pytest.importorskip(
    "calibration", reason="uncertainty-calibration is not installed: make oracles"
)


def value(p: Any, y: Any, call: str) -> float:
    (row,) = evaluate(pairs(p, y), [call], ())
    return float(row["value"])


@pytest.mark.parametrize("bins", [5, 10, 15, 20])
def test_ece_of_the_rule_verified_is_that_of_verified_calibration(bins: int) -> None:
    p = adversarial(bins, seed=bins)
    y = (np.random.default_rng(bins).random(len(p)) < p).astype(int)
    wanted = verified.get_ece(p, y, num_bins=bins)
    assert value(p, y, f"ece(bins={bins}, bin_rule='verified')") == pytest.approx(wanted, abs=1e-12)
