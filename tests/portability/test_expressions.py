"""Small expressions on which engines differ without an error, on each engine."""

from __future__ import annotations

import math
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import ibis
import ibis.expr.types as ir
import pytest

from tests.soundness.tables import ENGINES, Row, Tables, same
from workbench import formulas, labels

NAN, INF = math.nan, math.inf
WIDE = {
    **{"n": "BIGINT", "d": "DOUBLE", "s": "VARCHAR", "t": "TIMESTAMPTZ"},
    **{"l": "DOUBLE[]", "e": "DOUBLE[][]"},
}


@pytest.fixture(scope="module", params=ENGINES)
def tables(request: pytest.FixtureRequest) -> Tables:
    return Tables({"x": WIDE}, engine=request.param)


def values(
    tables: Tables, column: str, given: list[Any], formula: Callable[[ir.Table], ir.Value]
) -> list[Any]:
    """A formula of each of the given values of a column."""
    rows: list[Row] = [{"n": n, column: value} for n, value in enumerate(given)]
    tables.fill(x=rows)
    x = tables.table("x")
    found = tables.run(object(), lambda: x.select("n", value=formula(x)))
    return [row["value"] for row in sorted(found, key=lambda row: row["n"])]


@pytest.mark.parametrize(
    ("column", "formula", "pairs"),
    [
        ("d", lambda x: x["d"].isnull(), [(NAN, False), (None, True), (0.0, False)]),
        ("d", lambda x: x["d"].notnull(), [(NAN, True), (None, False), (0.0, True)]),
        ("d", lambda x: x["d"].count().over(group_by="n"), [(NAN, 1), (None, 0)]),
        ("d", lambda x: x["d"].fill_null(0.0), [(NAN, NAN), (None, 0.0)]),
        ("d", lambda x: ibis.coalesce(x["d"], 0.5), [(NAN, NAN), (None, 0.5)]),
        ("d", lambda x: ibis.literal(0.1) + x["d"], [(0.2, 0.1 + 0.2), (NAN, NAN)]),
        ("d", lambda x: x["d"] > 0.3, [(0.1 + 0.2, True), (0.3, False), (1e300, True)]),
        ("d", lambda x: x["d"].isinf(), [(INF, True), (-INF, True), (NAN, False), (None, None)]),
        ("d", lambda x: ibis.cases((x["n"] < 9, 0.25), else_=x["d"]), [(NAN, 0.25), (0.0, 0.25)]),
        ("d", lambda x: formulas.finite(x["d"]), [(NAN, None), (INF, None), (1.5, 1.5)]),
        ("d", lambda x: formulas.probability(x["d"]), [(NAN, None), (1.0, 1.0), (1.1, None)]),
        (
            "s",
            lambda x: x["s"].strip(),
            [("\t a b\r\n\v\f ", "a b"), ("", ""), ("vf", "vf"), (None, None)],
        ),
    ],
)
def test_means_the_same(
    tables: Tables,
    column: str,
    formula: Callable[[ir.Table], ir.Value],
    pairs: list[tuple[Any, Any]],
) -> None:
    found = values(tables, column, [given for given, _ in pairs], formula)
    assert same(found, [expected for _, expected in pairs]), found


def test_seconds_between_is_exact_to_the_microsecond(tables: Tables) -> None:
    start = datetime(2026, 1, 1, 23, 59, 58, tzinfo=UTC)
    micros = [0, 1, 10, 999_999, 1_000_000, 1_999_999, 2_000_000, 2_000_001, 2**50, 2**50 + 7]
    rows = [{"n": count, "t": start + timedelta(microseconds=count)} for count in micros]
    tables.fill(x=rows)
    x = tables.table("x")
    first = x.filter(x["n"] == 0).select(__t="t")
    both = x.cross_join(first)
    found = tables.run(
        "seconds", lambda: both.select("n", value=formulas.seconds_between(both["t"], both["__t"]))
    )
    assert {row["n"]: row["value"] for row in found} == {n: n / 1e6 for n in micros}


def test_the_hour_is_that_of_utc_before_1970_too(tables: Tables) -> None:
    times = [
        datetime(2026, 1, 1, 23, 59, 59, 999_999, tzinfo=UTC),
        datetime(1969, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC),
        datetime(1966, 5, 4, 3, 0, tzinfo=UTC),
        datetime(1970, 1, 1, tzinfo=UTC),
        None,
    ]
    found = values(tables, "t", times, lambda x: formulas.hour(x["t"]))
    assert found == [23, 23, 3, 0, None]


TEXTS = [
    *("cat", '"cat"', '" cat "', '"', '""', "\t1.0\n", "1.0", "-3.00", "+7.0", "1.50", "1.0.0"),
    *("TRUE", '"false"', "a1.0", "1e0", ".5", "$1", "\\1", "é", "", " ", None),
]


def test_canonical_values_are_the_same(tables: Tables) -> None:
    found = values(tables, "s", TEXTS, lambda x: formulas.canonical(x["s"]))
    assert found == [
        *("cat", "cat", " cat ", '"', "", "1", "1", "-3", "+7", "1.50", "1.0.0"),
        *("1", "0", "a1.0", "1e0", ".5", "$1", "\\1", "é", "", "", None),
    ]


def test_numbers_in_texts_are_the_same(tables: Tables) -> None:
    texts = ["5", " 4.0\t", '"3"', "-0.5", ".5", "5.", "1e3", "1E-2", "1e400", "-1e400", "1_000"]
    texts += ["0x1F", "nan", "inf", "Infinity", "1,5", "", "1 2", "1f", "2d", "٣"]
    found = values(tables, "s", texts, lambda x: labels.number(x["s"]))
    known = [5.0, 4.0, 3.0, -0.5, 0.5, 5.0, 1000.0, 0.01]
    assert found == known + [None] * (len(texts) - len(known))


LISTS = [
    *([0.5, 0.5], [1.0], [1.0, 0.0], [0.2, 0.3, 0.5], [0.1, 0.2, 0.7], [1 / 3] * 3, []),
    *(None, [0.5, None], [NAN, 0.5], [1.5, -0.5], [0.5, 0.4], [0.5, 0.5005], [INF]),
]


def uncertain(p: list[Any] | None) -> tuple[float, float, float] | None:
    """Least confidence, margin and entropy by their definitions."""
    bad = p is None or not p or any(q is None or not 0 <= q <= 1 for q in p)
    if bad or abs(math.fsum(p or []) - 1) > formulas.SUM_TOLERANCE:
        return None
    first, second, *_ = [*sorted(p or [], reverse=True), 0.0]
    total = math.fsum(-q * math.log(q) for q in p or [] if q > 0)
    return 1 - first, 1 - (first - second), total


@pytest.mark.parametrize("place", [0, 1, 2], ids=["least_confidence", "margin", "entropy"])
def test_uncertainty_is_the_same(tables: Tables, place: int) -> None:
    formula = (formulas.least_confidence, formulas.margin, formulas.entropy)[place]
    found = values(tables, "l", LISTS, lambda x: formula(x["l"], x["d"]))
    expected = [None if (known := uncertain(p)) is None else known[place] for p in LISTS]
    assert same(found, expected), found


@pytest.mark.parametrize("place", [0, 1, 2], ids=["least_confidence", "margin", "entropy"])
def test_uncertainty_of_a_confidence_is_the_same(tables: Tables, place: int) -> None:
    formula = (formulas.least_confidence, formulas.margin, formulas.entropy)[place]
    given = [0.0, 0.3, 0.5, 1.0, NAN, 1.1, -0.1, None]
    found = values(tables, "d", given, lambda x: formula(x["l"], x["d"]))
    # Of the confidence alone nothing is known but one class.
    expected = [
        None
        if c is None or not 0 <= c <= 1
        else 1 - c
        if place == 0
        else (uncertain([c, 1 - c]) or ())[place]
        for c in given
    ]
    assert same(found, expected), found


TOKENS = [
    *([-0.1, -2.0], [-1000.0], [0.0], [1e-7, -1.0], [-0.5] * 40, [-699.0], None, [], [None]),
    *([-9999.0], [NAN], [-INF], [INF], [0.1], [-0.5, None], [-0.5, -1000.1], [-800.0, -900.0]),
]


@pytest.mark.parametrize("name", ["sum_logprob", "mean_logprob", "min_logprob", "perplexity"])
def test_log_probabilities_of_tokens_are_the_same(tables: Tables, name: str) -> None:
    found = values(tables, "l", TOKENS, lambda x: getattr(formulas, name)(x["l"]))

    def expected(tokens: list[Any] | None) -> float | None:
        if not tokens or any(p is None or not -1000 <= p <= 1e-6 for p in tokens):
            return None
        mean = math.fsum(tokens) / len(tokens)
        return {
            "sum_logprob": math.fsum(tokens),
            "mean_logprob": mean,
            "min_logprob": min(tokens),
            "perplexity": math.exp(-mean) if mean >= -700 else None,
        }[name]

    assert same(found, [expected(tokens) for tokens in TOKENS]), found


ENSEMBLES = [
    *([[0.5, 0.5], [0.1, 0.9]], [[1.0, 0.0], [0.0, 1.0]], [[0.3, 0.7]], [[0.5, 0.5]] * 3),
    *([[0.4, 0.6], [0.6, 0.4], [0.7, 0.3]], [[0.2, 0.4, 0.4]] * 2, [[1.0]] * 2),
    *([[0.2, 0.3, 0.5], [0.3, 0.3, 0.4], [0.1, 0.8, 0.1], [1 / 3] * 3], [[0.5, 0.5005]] * 2),
    *(None, [], [None], [[]], [[0.5, 0.5], None], [[0.5, None]], [[NAN, 0.5]], [[1.5, -0.5]]),
    *([[0.5, 0.5], [0.2, 0.3, 0.5]], [[0.5, 0.4], [0.5, 0.5]], [[0.5, 0.5], []]),
]


def divided(members: list[Any] | None) -> tuple[float, float, float] | None:
    """Mutual information, vote entropy and variation ratio by their definitions."""
    if not members or any(uncertain(m) is None or len(m) != len(members[0]) for m in members):
        return None
    classes = range(len(members[0]))

    def h(p: list[float]) -> float:
        return math.fsum(-q * math.log(q) for q in p if q > 0)

    mean = [math.fsum(m[k] for m in members) / len(members) for k in classes]
    votes = [m.index(max(m)) for m in members]
    shares = [votes.count(k) / len(votes) for k in classes]
    return h(mean) - math.fsum(map(h, members)) / len(members), h(shares), 1 - max(shares)


@pytest.mark.parametrize("place", [0, 1, 2], ids=["mutual_information", "vote", "disagreement"])
def test_disagreement_of_an_ensemble_is_the_same(tables: Tables, place: int) -> None:
    formula = (formulas.mutual_information, formulas.vote_entropy, formulas.disagreement)[place]
    found = values(tables, "e", ENSEMBLES, lambda x: formula(x["e"]))
    expected = [None if (known := divided(m)) is None else known[place] for m in ENSEMBLES]
    for value, wanted in zip(found, expected, strict=True):
        # A difference of two entropies is as exact as they are.
        assert (value is None) == (wanted is None)
        assert value is None or (value == pytest.approx(wanted, abs=1e-15) and value >= 0)


@pytest.mark.parametrize("label", [-1, 0, 1, 2, None])
def test_how_a_label_fits_is_the_same(tables: Tables, label: int | None) -> None:
    place = ibis.literal(label, "int32")
    own = values(tables, "l", LISTS, lambda x: formulas.self_confidence(x["l"], place))
    lead = values(tables, "l", LISTS, lambda x: formulas.normalized_margin(x["l"], place))
    fit = [
        p if p and label is not None and uncertain(p) and 0 <= label < len(p) else None
        for p in LISTS
    ]
    assert same(own, [p[label] if p and label is not None else None for p in fit]), own
    expected = []
    for p in fit:
        others = [q for k, q in enumerate(p or []) if k != label]
        known = p is not None and label is not None
        expected.append((1 + p[label] - max(others, default=0.0)) / 2 if known else None)
    assert same(lead, expected), lead


@pytest.mark.parametrize("rule", formulas.BIN_RULES)
@pytest.mark.parametrize("bins", [10, 11])
def test_bins_are_exact_at_their_edges(tables: Tables, rule: str, bins: int) -> None:
    step = 1 / bins
    edges = [k / bins if rule == "verified" else k * step for k in range(bins + 1)]
    given = [q for e in edges for q in (math.nextafter(e, -1), e, math.nextafter(e, 2))]
    none = [NAN, INF, -INF, 1e300, None]
    found = values(tables, "d", [*given, *none], lambda x: formulas.bin_index(x["d"], bins, rule))

    def bin_of(q: float) -> int | None:
        if not 0 <= q <= 1 or (rule == "guo" and q == 0):
            return None
        if rule in ("right", "verified", "guo"):
            return next(k for k in range(bins) if q <= edges[k + 1] or k == bins - 1)
        if rule == "torchmetrics" and q == 1:
            return bins
        return next(k for k in reversed(range(bins)) if q >= edges[k])

    assert found == [*map(bin_of, given), *(None for _ in none)]
