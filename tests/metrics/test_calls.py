"""The written form of metrics."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workbench.errors import ConfigError
from workbench.metrics import (
    MetricCall,
    check_params,
    evaluate,
    metrics,
    parse_call,
    parse_calls,
    split_calls,
)


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("accuracy", ["accuracy"]),
        ("accuracy, ece", ["accuracy", "ece"]),
        (
            "accuracy,ece(bins=20, bin_rule='guo'),brier_score",
            ["accuracy", "ece(bins=20, bin_rule='guo')", "brier_score"],
        ),
        ("a(x='),(,', y=[1,2]),b", ["a(x='),(,', y=[1,2])", "b"]),
        (",accuracy,, ", ["accuracy"]),
        ("", []),
    ],
)
def test_commas_in_brackets_belong_to_the_metric(text: str, parts: list[str]) -> None:
    assert split_calls(text) == parts


def test_a_call_is_read_and_written_alike() -> None:
    call = parse_call(" ece( bin_rule = 'guo', bins=20 ) ")
    assert call == MetricCall("ece", {"bins": 20, "bin_rule": "guo"})
    assert str(call) == "ece(bins=20, bin_rule='guo')"
    assert parse_call(str(call)) == call
    assert hash(parse_call(str(call))) == hash(call)
    assert str(parse_call("ece()")) == str(parse_call("ece")) == "ece"


def test_defaults_are_filled_in() -> None:
    assert check_params(parse_call("ece")) == {"bins": 10, "bin_rule": "numpy"}
    assert check_params(parse_call("ece(bins=5)")) == {"bins": 5, "bin_rule": "numpy"}
    assert check_params(parse_call("accuracy")) == {}


def test_several_texts_make_one_list_without_repetition() -> None:
    found = parse_calls(["accuracy,ece", "ece(bins=5)", "ece"])
    assert [str(call) for call in found] == ["accuracy", "ece", "ece(bins=5)"]
    with pytest.raises(ConfigError, match="empty"):
        parse_calls(["accuracy", " , "])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("acuracy", "Did you mean 'accuracy'"),
        ("_evaluate", "no metric called"),
        ("ece(bin=20)", "Did you mean 'bins'"),
        ("ece(bin_rule='gou')", "Did you mean 'guo'"),
        ("ece(bin_rule=guo)", "bin_rule='guo'"),
        ("ece(bins='20')", "a whole number"),
        ("ece(bins=True)", "a whole number"),
        ("ece(bins=10.0)", "a whole number"),
        ("ece(bins=0)", "at least 1"),
        ("ece(bins=1001)", "at most 1000"),
        ("ece(bin_rule=3)", "cannot be 3"),
        ("ece(bins=5, bins=6)", "twice"),
        ("ece(20)", "by name"),
        ("ece(**{'bins': 20})", "not a metric"),
        ("accuracy(bins=20)", "without parameters"),
        ("ece(bins=20", "not a metric"),
        ("ece bins", "not a metric"),
        ("ece.bins", "not a metric"),
        ("", "not a metric"),
        ("\0", "not a metric"),
        ("(" * 5000, "not a metric"),
        ("ece(bins=__import__('os').getpid())", "not a plain value"),
    ],
)
def test_a_wrong_call_says_what_to_write(text: str, message: str) -> None:
    with pytest.raises(ConfigError) as error:
        parse_call(text)
    assert message in str(error.value)
    assert error.value.hint


@given(st.text(max_size=30) | st.sampled_from(["ece(", "ece(bins=", "1,", "ece(bins=[", "'"]))
def test_any_text_is_a_call_or_a_configuration_error(text: str) -> None:
    for part in split_calls(text):
        with suppress(ConfigError):
            assert parse_call(part).name in metrics


def test_a_call_made_by_hand_is_checked_too() -> None:
    import ibis

    rows = ibis.memtable({"calibration_p": [0.5], "calibration_y": [1.0]})
    with pytest.raises(ConfigError, match="bins"):
        evaluate(rows, [MetricCall("ece", {"bins": -1})], ())
    with pytest.raises(ConfigError, match="Did you mean 'ece'"):
        evaluate(rows, [MetricCall("ecee")], ())
