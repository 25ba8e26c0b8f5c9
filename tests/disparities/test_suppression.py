"""Small groups are hidden, and nothing that is shown gives them away."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from itertools import combinations, product
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from tests.metrics.rows import table
from workbench.errors import ConfigError
from workbench.metrics import evaluate
from workbench.suppression import MOST_HIDDEN, Key, Size, hidden_groups, suppress

LEAST = 20


def sizes(counts: dict[Any, int]) -> dict[Key, Size]:
    return {k if isinstance(k, tuple) else (k,): Size(n, n) for k, n in counts.items()}


def totals(cells: dict[Key, int], places: Sequence[int]) -> dict[Key, list[Key]]:
    found: dict[Key, list[Key]] = {}
    for key in cells:
        found.setdefault(tuple(key[p] for p in places), []).append(key)
    return found


def in_span(rows: list[list[int]], wanted: list[int]) -> bool:
    """Whether a vector is a combination of rows, in exact arithmetic."""
    pivots: list[tuple[int, list[Fraction]]] = []

    def reduce(row: list[Fraction]) -> list[Fraction]:
        for at, pivot in pivots:
            if row[at]:
                factor = row[at] / pivot[at]
                row = [a - factor * b for a, b in zip(row, pivot, strict=True)]
        return row

    for row in rows:
        rest = reduce([Fraction(x) for x in row])
        at = next((i for i, x in enumerate(rest) if x), None)
        if at is not None:
            pivots.append((at, rest))
    return not any(reduce([Fraction(x) for x in wanted]))


def leaks(cells: dict[Key, int]) -> list[Key]:
    """Small groups, of the table or of its margins, that follow from all that is shown of them.

    Everything is an unknown here, and every table of margins is suppressed on its own, as somebody
    would see it who asks for one after the other. What follows from the margins alone is left out.
    """
    keys = list(cells)
    depth = len(keys[0])
    shown: list[list[int]] = []
    margins: list[list[int]] = []
    small = []
    for places in (p for level in range(depth + 1) for p in combinations(range(depth), level)):
        parts = totals(cells, places)
        counts = {part: sum(cells[key] for key in group) for part, group in parts.items()}
        hidden = hidden_groups(sizes(counts), LEAST)
        if len(places) == depth:
            margins = list(shown)
        for part, group in parts.items():
            vector = [int(key in group) for key in keys]
            if part not in hidden:
                shown.append(vector)
            if 0 < counts[part] < LEAST:
                assert part in hidden
                small.append((part, vector))
    return [p for p, vector in small if in_span(shown, vector) and not in_span(margins, vector)]


@pytest.mark.parametrize(
    ("counts", "hidden"),
    [
        ({"a": 50, "b": 60}, ""),
        ({"a": 5, "b": 60, "c": 30}, "ac"),
        ({"a": 5, "b": 7, "c": 30}, "ab"),
        ({"a": 19, "b": 20}, "ab"),
        ({"a": 20, "b": 20}, ""),
        ({"a": 5}, "a"),
        ({"a": 0, "b": 60}, ""),
        ({"a": 5, "b": 30, "c": 30}, "ab"),
    ],
)
def test_one_hidden_group_takes_the_next_smallest_with_it(
    counts: dict[str, int], hidden: str
) -> None:
    assert hidden_groups(sizes(counts), LEAST) == {(name,) for name in hidden}


def test_a_crossed_table_hides_in_each_of_its_margins() -> None:
    cells = {("x", "1"): 5, ("x", "2"): 50, ("y", "1"): 60, ("y", "2"): 70, ("z", "1"): 90}
    found = hidden_groups(sizes({**cells, ("z", "2"): 95}), LEAST)
    assert found == {("x", "1"), ("x", "2"), ("y", "1"), ("y", "2")}


def test_totals_that_only_together_give_a_group_away_are_found() -> None:
    """Two squares of hidden groups, and one small group between them: no total has it alone."""
    squares = [*product("ab", "12"), *product("cd", "34")]
    cells = dict.fromkeys(product("abcd", "1234"), 100)
    cells |= dict.fromkeys([*squares, ("b", "3")], 5)
    assert leaks(cells) == []
    assert len(hidden_groups(sizes(cells), LEAST)) > len(squares) + 1


@pytest.mark.parametrize("shape", [(3,), (2, 2), (3, 4), (2, 2, 2)])
@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.data())
def test_no_hidden_group_follows_from_what_is_shown(shape: tuple[int, ...], data: Any) -> None:
    size = st.sampled_from([0, 1, 5, 19, 20, 25, 30, 50, 100])
    cells = {key: data.draw(size) for key in product(*(range(n) for n in shape))}
    cells = {key: n for key, n in cells.items() if n} or {(0,) * len(shape): 1}
    assert leaks(cells) == []


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(st.integers(1, 40), min_size=4, max_size=12))
def test_margins_of_a_full_table_give_nothing_away(counts: list[int]) -> None:
    """Only where groups are missing can the margins alone tell of one."""
    cells = dict(zip(product(range(2), range(len(counts) // 2)), counts, strict=False))
    parts = [totals(cells, places) for places in ((), (0,), (1,))]
    rows = [[int(key in group) for key in cells] for part in parts for group in part.values()]
    assert not any(in_span(rows, [int(key == other) for other in cells]) for key in cells)


def test_what_the_margins_alone_give_away_takes_no_other_group_with_it() -> None:
    cells = {("x", "2"): 30, ("y", "1"): 40, ("y", "2"): 5, ("z", "3"): 50, ("w", "3"): 60}
    assert ("y", "2") in hidden_groups(sizes(cells), LEAST)
    assert ("z", "3") not in hidden_groups(sizes(cells), LEAST)


@example([5, 100, 30])
@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(1, 60), min_size=2, max_size=8))
def test_no_more_is_hidden_of_one_column_than_needs_be(counts: list[int]) -> None:
    found = hidden_groups(sizes(dict(enumerate(counts))), LEAST)
    small = {(i,) for i, n in enumerate(counts) if n < LEAST}
    assert small <= found
    assert len(found) == (len(small) if len(small) != 1 else 2)


def decisions(groups: dict[str, tuple[int, int]]) -> Any:
    """Positives and negatives of each group, every third one selected."""
    return table(
        [
            {"label": str(int(y)), "positive": y, "selected": i % 3 == 0, "country": name}
            for name, counts in groups.items()
            for y, n in zip((True, False), counts, strict=True)
            for i in range(n)
        ]
    )


def test_a_hidden_row_has_no_value_no_interval_and_no_count() -> None:
    rows = evaluate(decisions({"a": (3, 4), "b": (60, 50), "c": (30, 40)}), ["base_rate"],
                    ["country"])  # fmt: skip
    a, b, c = suppress(rows, LEAST)
    for row in (a, c):
        assert (row["value"], row["low"], row["high"], row["n"]) == (None, None, None, 0)
        assert row["reason"] == "suppressed"
    assert a["n_labelled"] == 7
    assert b == rows[1]
    assert suppress(rows, 0) == rows


def test_that_a_small_group_has_no_positives_is_hidden_and_of_a_large_one_it_is_shown() -> None:
    rows = decisions({"a": (0, 6), "b": (0, 60), "c": (60, 60), "d": (40, 40), "e": (0, 0)})
    found = suppress(evaluate(rows, ["true_positive_rate"], ["country"]), LEAST)
    reasons = {row["by"]["country"]: row["reason"] for row in found}
    assert reasons == {"a": "suppressed", "b": "no_positives", "c": None, "d": "suppressed"}


def test_each_metric_is_hidden_by_its_own_rows() -> None:
    rows = evaluate(
        decisions({"a": (5, 90), "b": (60, 60), "c": (70, 70)}),
        ["true_positive_rate", "false_positive_rate"],
        ["country"],
    )
    assert [row["reason"] for row in suppress(rows, LEAST)] == ["suppressed"] * 2 + [None] * 4


def test_groups_that_cannot_be_hashed_are_hidden_too() -> None:
    row = {"metric": "accuracy", "value": 0.5, "low": 0.1, "high": 0.9, "reason": None}
    rows = [
        {**row, "by": {"tags": tags, "x": float("nan")}, "n": n, "n_labelled": n}
        for tags, n in ((["a"], 5), ({"b": 1}, 30), (None, 40))
    ]
    assert [r["reason"] for r in suppress(rows, LEAST)] == ["suppressed", "suppressed", None]


def test_too_many_small_crossed_groups_are_refused() -> None:
    side = int(MOST_HIDDEN**0.5) + 1
    with pytest.raises(ConfigError, match="too few rows"):
        hidden_groups(sizes(dict.fromkeys(product(range(side), range(side)), 3)), LEAST)
    many = sizes(dict.fromkeys(range(5000), 3))
    assert len(hidden_groups(many, LEAST)) == 5000
