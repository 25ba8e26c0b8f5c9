"""What a value is in the file: nothing is written that is not JSON, nothing costs the row."""

from __future__ import annotations

import enum
import json
import math
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import duckdb
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from workbench import contract
from workbench.capture import _columns
from workbench.capture._encode import Later, Rules, draw, line
from workbench.samplers._draw import random_number


def written(rules: Rules | None = None, **row: Any) -> dict[str, Any]:
    encoded, _ = line(row, _columns.INFERENCES, rules or Rules())
    assert encoded.endswith(b"\n")
    assert encoded.count(b"\n") == 1
    found: dict[str, Any] = json.loads(
        encoded, parse_constant=lambda text: pytest.fail(f"{text} is not JSON")
    )
    return found


def test_the_columns_are_those_of_the_contract():
    own = set(contract.OWN_FEEDBACK_COLUMNS)
    assert set(contract.table("inferences").columns) == _columns.INFERENCES
    assert set(contract.table("feedback").columns) - own == _columns.FEEDBACK


class Colour(enum.Enum):
    RED = "red"


@dataclass
class Message:
    role: str
    text: str


class Broken:
    def __str__(self) -> str:
        raise RuntimeError("no text")


AT = datetime(2026, 3, 1, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (np.float32(0.5), 0.5),
        (np.int64(2**62), 2**62),
        (np.bool_(True), True),
        (np.array([[1, 2], [3, 4]]), [[1, 2], [3, 4]]),
        (AT, "2026-03-01T12:00:00+00:00"),
        (AT.astimezone(timezone(timedelta(hours=2))), "2026-03-01T12:00:00+00:00"),
        (AT.replace(tzinfo=None), "2026-03-01T12:00:00+00:00"),
        (timedelta(seconds=1.5), 1.5),
        (Decimal("1.10"), "1.10"),
        (Colour.RED, "red"),
        (Message("user", "hi"), {"role": "user", "text": "hi"}),
        (b"caf\xc3\xa9", "café"),
        # The order of a set is another one in each process.
        pytest.param({"b", "a"}, ["a", "b"], id="a set"),
        ((1, 2), [1, 2]),
        ({1: "x", (2, 3): "y"}, {"1": "x", "(2, 3)": "y"}),
        ("line\nbreak \u2028 \x00", "line\nbreak \u2028 \x00"),
        ("half of an emoji: \ud83d", "half of an emoji: ?"),
    ],
    ids=repr,
)
def test_a_value_is_written_as_what_it_means(value: Any, expected: Any):
    assert written(output=value) == {"output": expected}


@pytest.mark.parametrize("value", [math.nan, math.inf, np.float32("nan"), np.array([1.0, np.nan])])
def test_what_is_not_finite_is_null_and_noted(value: Any):
    row = written(score=value, input="x", metadata={"own": 1})
    assert row["score"] == ([1.0, None] if isinstance(value, np.ndarray) else None)
    assert row["input"] == "x"
    assert row["metadata"] == {"own": 1, "capture": {"not_finite": ["score"]}}


@pytest.mark.parametrize(
    ("ts", "expected"),
    [
        (1_772_323_200_123_456_789, "2026-03-01T00:00:00.123456+00:00"),
        (1_772_323_200, 1_772_323_200),
        (1_772_323_200_123, 1_772_323_200_123),
        (AT, "2026-03-01T12:00:00+00:00"),
    ],
)
def test_a_time_of_the_caller_stays_what_it_is(ts: Any, expected: Any):
    assert written(ts=ts) == {"ts": expected}


def test_what_cannot_be_written_is_left_out_and_noted():
    endless: list[Any] = []
    endless.append(endless)
    row = written(input="x", output=endless, params=Broken(), scores=iter([1]))
    assert row == {
        "input": "x",
        "metadata": {"capture": {"left_out": ["output", "params", "scores"]}},
    }


def test_what_the_contract_has_no_column_for_goes_to_metadata():
    assert written(input="x", prompt_name="a", metadata={"b": 1}) == {
        "input": "x",
        "metadata": {"prompt_name": "a", "b": 1},
    }
    assert written(prompt_name="a", metadata="text")["metadata"] == {
        "prompt_name": "a",
        "metadata": "text",
    }


def test_a_feature_that_is_named_like_a_column_does_not_become_it():
    row = written(cost=0.01, features={"age": 41, "cost": 300.0, "input": "n"})
    assert row == {"cost": 0.01, "age": 41, "feature_cost": 300.0, "feature_input": "n"}


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text() | st.integers(), inner),
    )
)
def test_any_value_makes_one_line_of_json(value: Any):
    row = written(input="x", output=value)
    assert row["input"] == "x"
    assert ("output" in row) == (value is not None)


def leak(_: Any) -> Any:
    raise ValueError("the hook is broken")


def test_a_hook_replaces_a_value_and_a_broken_hook_takes_it_out():
    rules = Rules(redact={"input": str.upper, "output": leak, "metadata": leak, "user_id": leak})
    encoded, failed = line(
        {"input": "ab", "output": "secret", "note": "secret", "model": "m"},
        _columns.INFERENCES,
        rules,
    )
    assert b"secret" not in encoded
    assert failed == 2
    assert json.loads(encoded) == {
        "input": "AB",
        "model": "m",
        "metadata": {"capture": {"left_out": ["output", "metadata"]}},
    }


def test_a_hook_sees_what_is_made_later():
    rules = Rules(redact={"input": leak})
    encoded, failed = line({"input": Later(lambda: "secret")}, _columns.INFERENCES, rules)
    assert (b"secret" in encoded, failed) == (False, 1)


def test_a_hook_that_returns_what_cannot_be_written_leaks_nothing():
    rules = Rules(redact={"input": lambda value: [value, Broken()]})
    assert "input" not in written(rules, input="secret")


def test_sampling_depends_on_the_request_only_and_is_that_of_the_samplers():
    ids = [f"r{i}" for i in range(2000)]
    rules = Rules(sample={"embedding": 0.3, "logits": 0.3, "reasoning": 0.0, "output": 1.0}, seed=7)
    rows = [
        written(rules, request_id=id_, embedding=[1.0], logits=[2.0], reasoning="r", output="o")
        for id_ in ids
    ]
    kept = {row["request_id"] for row in rows if "embedding" in row}
    assert kept == {row["request_id"] for row in rows if "logits" in row}
    assert all("reasoning" not in row and row["output"] == "o" for row in rows)
    assert 0.25 < len(kept) / len(ids) < 0.35
    noted = {
        r["request_id"] for r in rows if "embedding" in r["metadata"]["capture"]["sampled_out"]
    }
    assert noted == set(ids) - kept
    drawn = duckdb.sql(
        f"SELECT id, {random_number('id', 7)} FROM (SELECT 'r' || i AS id FROM range(2000) t(i))"
    ).fetchall()
    assert dict(drawn) == {id_: draw(id_, 7) for id_ in ids}
