"""The formulas against closed forms in numpy, at the values where they are easily wrong."""

from __future__ import annotations

import math
import os
from decimal import Decimal
from pathlib import Path
from typing import Any

import ibis
import ibis.expr.types as ir
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import log_loss

from tests.metrics.rows import BIN_COUNTS, adversarial, expected_bins
from workbench import formulas
from workbench.errors import ConfigError

GOLDEN = Path(__file__).parent / "golden"
NAN = float("nan")


def column(con: Any, expr: ir.Value) -> list[Any]:
    return con.to_pyarrow(expr.name("x").as_table())["x"].to_pylist()


@pytest.fixture(scope="module")
def con() -> Any:
    return ibis.duckdb.connect()


# -- bins ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("rule", formulas.BIN_RULES)
@pytest.mark.parametrize("bins", [*BIN_COUNTS, 1, 2, 3, 11, 49, 53, 65, 101, 1000])
def test_bins_are_those_of_searching_the_edges(con: Any, bins: int, rule: str) -> None:
    p = adversarial(bins)
    rows = ibis.memtable(pa.table({"p": p}))
    found = con.to_pyarrow(rows.select(bin=formulas.bin_index(rows.p, bins, rule)))["bin"]
    got = found.to_numpy(zero_copy_only=False).astype(float)
    np.testing.assert_array_equal(got, expected_bins(p, bins, rule))


def test_the_default_rule_is_that_of_numpy_histogram(con: Any) -> None:
    p = adversarial(10)
    rows = ibis.memtable(pa.table({"p": p}))
    found = con.to_pyarrow(rows.select(bin=formulas.bin_index(rows.p, 10)))["bin"].to_numpy()
    counts, _ = np.histogram(p, bins=np.linspace(0, 1, 11))
    np.testing.assert_array_equal(np.bincount(found, minlength=10), counts)


@pytest.mark.parametrize("rule", formulas.BIN_RULES)
def test_no_probability_is_in_no_bin(con: Any, rule: str) -> None:
    bad = [None, NAN, math.inf, -math.inf, -1e-9, 1.0000001, 1e300, -5e-324]
    rows = ibis.memtable(pa.table({"p": pa.array(bad, pa.float64())}))
    assert column(con, formulas.bin_index(rows.p, 10, rule)) == [None] * len(bad)


def test_an_unknown_rule_is_refused_with_the_nearest_one() -> None:
    p = ibis.table({"p": "float64"}, name="t").p
    with pytest.raises(ConfigError, match="Did you mean 'numpy'"):
        formulas.bin_index(p, 10, "nunpy")
    with pytest.raises(ConfigError, match="0 bins"):
        formulas.bin_index(p, 0)


# -- intervals -------------------------------------------------------------------------------------


def closed_form(k: Any, n: Any, z: Any = formulas.Z95) -> tuple[float, float]:
    """The roots of (p - k/n)^2 = z^2 p (1 - p) / n, with digits to spare for their difference."""
    k, n, z = Decimal(k), Decimal(n), Decimal(z)
    a, b, c = 1 + z * z / n, -(2 * k / n + z * z / n), (k / n) ** 2
    root = max(b * b - 4 * a * c, Decimal(0)).sqrt()
    return float((-b - root) / (2 * a)), float((-b + root) / (2 * a))


def test_wilson_is_the_closed_form(con: Any) -> None:
    cases = [(k, n) for n in (1, 2, 3, 10, 97, 1000, 10**6) for k in {0, 1, n // 3, n - 1, n}]
    k, n = zip(*cases, strict=True)
    rows = ibis.memtable(pa.table({"k": k, "n": n}))
    low, high = formulas.wilson(rows.k, rows.n)
    for (a, b), found in zip(
        cases, con.to_pyarrow(rows.select(low=low, high=high)).to_pylist(), strict=True
    ):
        expected = closed_form(a, b)
        assert found["low"] == pytest.approx(expected[0], abs=1e-12)
        assert found["high"] == pytest.approx(expected[1], abs=1e-12)
        assert 0 <= found["low"] <= a / b <= found["high"] <= 1


def test_wilson_of_nothing_is_null(con: Any) -> None:
    rows = ibis.memtable(pa.table({"k": pa.array([0, 0, None]), "n": pa.array([0, None, 3])}))
    low, high = formulas.wilson(rows.k, rows.n)
    assert column(con, low) == column(con, high) == [None] * 3


# -- uncertainty -----------------------------------------------------------------------------------


def measures(con: Any, probabilities: list[Any], confidence: list[Any]) -> dict[str, list[Any]]:
    rows = ibis.memtable(
        pa.table(
            {
                "p": pa.array(probabilities, pa.list_(pa.float64())),
                "c": pa.array(confidence, pa.float64()),
            }
        )
    )
    return con.to_pyarrow(
        rows.select(
            least_confidence=formulas.least_confidence(rows.p, rows.c),
            margin=formulas.margin(rows.p, rows.c),
            entropy=formulas.entropy(rows.p, rows.c),
        )
    ).to_pydict()


@settings(max_examples=20, deadline=None)
@given(st.lists(st.lists(st.integers(0, 20), min_size=2, max_size=6), min_size=1, max_size=20))
def test_uncertainty_of_class_probabilities(weights: list[list[int]]) -> None:
    lists = [np.array(w) / sum(w) for w in weights if sum(w)]
    found = measures(ibis.duckdb.connect(), [list(p) for p in lists], [0.5] * len(lists))
    for i, p in enumerate(lists):
        first, second = np.sort(p)[::-1][:2]
        positive = p[p > 0]
        assert found["least_confidence"][i] == pytest.approx(1 - first, abs=1e-15)
        assert found["margin"][i] == pytest.approx(1 - (first - second), abs=1e-15)
        assert found["entropy"][i] == pytest.approx(-(positive * np.log(positive)).sum(), abs=1e-14)


def test_entropy_of_confidence_is_the_expected_log_loss(con: Any) -> None:
    found = measures(con, [None], [0.3])["entropy"][0]
    expected = log_loss([1, 0], [[0.7, 0.3], [0.7, 0.3]], sample_weight=[0.3, 0.7])
    assert found == pytest.approx(expected, abs=1e-12)


def test_confidence_is_read_only_without_probabilities(con: Any) -> None:
    found = measures(con, [None, None, None, None, [0.5, 0.5]], [0.8, 1.0, 0.0, 0.5, 1.0])
    assert found["least_confidence"] == pytest.approx([0.2, 0.0, 1.0, 0.5, 0.5])
    assert found["margin"] == pytest.approx([0.4, 0.0, 0.0, 1.0, 1.0])
    half = math.log(2)
    assert found["entropy"] == pytest.approx([0.500402423538188, 0, 0, half, half])
    assert math.copysign(1, found["entropy"][1]) == 1


def test_certainty_and_ties(con: Any) -> None:
    found = measures(con, [[1.0, 0.0], [0.4, 0.4, 0.2], [1.0], [0.5, 0.501]], [None] * 4)
    assert found["margin"][:3] == [0.0, 1.0, 0.0]
    assert found["entropy"][0] == 0 == found["entropy"][2]
    assert math.copysign(1, found["entropy"][0]) == 1
    assert found["margin"][3] is not None, "a sum within 1e-3 of 1 is a rounding, not an error"


def test_what_cannot_be_read_is_null_and_not_the_confidence(con: Any) -> None:
    lists: list[Any] = [
        [0.5, NAN],
        [0.5, None],
        [0.5, 0.4],
        [0.6, 0.5],
        [1.2, -0.2],
        [math.inf, 0.5],
        [],
        [None],
    ]
    found = measures(con, lists, [0.9] * len(lists))
    for name, values in found.items():
        assert values == [None] * len(lists), name
    found = measures(con, [None] * 5, [None, NAN, -0.1, 1.1, math.inf])
    for name, values in found.items():
        assert values == [None] * 5, name


# -- the compiled SQL ------------------------------------------------------------------------------


def compiled() -> dict[str, ir.Value]:
    rows = ibis.table(
        {
            "p": "float64",
            "ps": "array<float64>",
            "pss": "array<array<float64>>",
            "k": "int64",
            "n": "int64",
        },
        name="rows",
    )
    bins = {f"bin_{rule}": formulas.bin_index(rows.p, 10, rule) for rule in formulas.BIN_RULES}
    low, high = formulas.wilson(rows.k, rows.n)
    return {
        **bins,
        "wilson_low": low,
        "wilson_high": high,
        "least_confidence": formulas.least_confidence(rows.ps, rows.p),
        "margin": formulas.margin(rows.ps, rows.p),
        "entropy": formulas.entropy(rows.ps, rows.p),
        "mutual_information": formulas.mutual_information(rows.pss),
        "vote_entropy": formulas.vote_entropy(rows.pss),
        "disagreement": formulas.disagreement(rows.pss),
        "sum_logprob": formulas.sum_logprob(rows.ps),
        "mean_logprob": formulas.mean_logprob(rows.ps),
        "min_logprob": formulas.min_logprob(rows.ps),
        "perplexity": formulas.perplexity(rows.ps),
        "self_confidence": formulas.self_confidence(rows.ps, rows.k),
        "normalized_margin": formulas.normalized_margin(rows.ps, rows.k),
    }


@pytest.mark.parametrize("name", compiled())
def test_the_sql_is_the_reviewed_one(name: str) -> None:
    """UPDATE_GOLDEN=1 writes the files anew; the change is then reviewed as a diff."""
    sql = str(ibis.to_sql(compiled()[name].name(name), dialect="duckdb")) + "\n"
    path = GOLDEN / f"{name}.sql"
    if os.environ.get("UPDATE_GOLDEN") == "1":
        path.write_text(sql)
    assert sql == path.read_text(), "run with UPDATE_GOLDEN=1 and review the difference"


@pytest.mark.parametrize("name", compiled())
def test_the_formulas_compile_for_spark_sql(name: str) -> None:
    assert ibis.to_sql(compiled()[name].name(name), dialect="databricks")
