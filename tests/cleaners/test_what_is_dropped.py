"""What each cleaner leaves out, by hand."""

from __future__ import annotations

import duckdb
import pytest

from tests.cleaners.examples import dropped, example, write
from workbench.cleaners import parse_cleaner
from workbench.configuration import BUILTINS
from workbench.project import Cleaning, CleaningPattern, CleaningRule

# In two parts, so that no scanner takes them for lost secrets.
KEY = "-----BEGIN RSA PRIVATE " + "KEY-----"
END = "-----END RSA PRIVATE " + "KEY-----"


def test_the_earliest_of_equal_examples_stays(connection: duckdb.DuckDBPyConnection) -> None:
    same = {"prompt": "Hello", "answer": None, "label": "1"}
    write(
        connection,
        [
            example("a", **same),
            example("b", ts=9, **same),
            example("c", ts=5, **same),
            example("d", ts=5, **same),
            example("e", ts=1, **{**same, "label": None}),
            example("f", ts=1, **{**same, "answer": ""}),
            example("g", ts=1, **{**same, "prompt": "hello"}),
            example("h", ts=1, **{**same, "prompt": None}),
            example("i", ts=1, **{**same, "prompt": None}),
        ],
    )
    assert dropped(connection, "exact_duplicates") == [
        (name, "exact_duplicate", "c") for name in "abd"
    ]


def test_examples_with_other_labels_are_no_near_duplicates(
    connection: duckdb.DuckDBPyConnection,
) -> None:
    long = "the quick brown fox jumps over the lazy dog and runs far away into the old forest"
    write(
        connection,
        [
            example("a", ts=3, prompt=long, answer="one two", label="1"),
            example("b", ts=2, prompt=long.upper() + "!", answer="one two", label="1"),
            example("c", ts=1, prompt=long + ".", answer="one two", label="0"),
            example("d", ts=4, prompt=long, answer="three four five six seven", label="1"),
        ],
    )
    assert dropped(connection, "near_duplicates") == [("a", "near_duplicate", "b")]
    assert dropped(connection, "near_duplicates(over='prompt')") == [
        ("a", "near_duplicate", "b"),
        ("d", "near_duplicate", "b"),
    ]


def test_no_side_of_a_contradiction_stays(connection: duckdb.DuckDBPyConnection) -> None:
    write(
        connection,
        [
            example("a", prompt="p", answer="yes", label="1"),
            example("b", prompt="p", answer="yes", label="0"),
            example("c", prompt="p", answer="yes", label="1"),
            example("d", prompt="p", answer="yes"),
            example("e", prompt="p", answer="no", label="1"),
            # A pair is judged both ways.
            example("f", prompt="p", answer="left|right", label="left"),
            example("g", prompt="p", answer="left|right", label="right"),
            example("h", answer="yes", label="0"),
            example("i", answer="yes", label="1"),
        ],
    )
    found = dropped(connection, "contradictions")
    assert found == [(name, "contradiction", None) for name in "abcfg"]
    found = dropped(connection, "contradictions(over='prompt')")
    assert [row[0] for row in found] == list("abcefg")


def test_a_burst_is_dropped_whole_and_nothing_beside_it(
    connection: duckdb.DuckDBPyConnection,
) -> None:
    write(
        connection,
        [
            *(example(f"a{t:02}", rater_id="fast", label_ts=t) for t in (0, 20, 30, 40, 50, 80)),
            *(example(f"b{t:02}", rater_id="slow", label_ts=t) for t in (0, 30, 60, 90)),
            *(example(f"c{t:02}", user_id="user", label_ts=t) for t in (0, 1, 2, 30)),
            *(example(f"d{t:02}", rater_id=f"r{t}", user_id="user", label_ts=t) for t in range(5)),
            *(example(f"e{t:02}", rater_id="fast") for t in range(5)),
            *(example(f"f{t:02}", label_ts=t) for t in range(5)),
        ],
    )
    found = dropped(connection, "bursts(window='30s', most=3)")
    assert [row[0] for row in found] == ["a20", "a30", "a40", "a50", "c00", "c01", "c02", "c30"]
    assert {row[1:] for row in found} == {("burst", None)}
    # One judgement more than the window may hold is too many, and its ends belong to it.
    assert [row[0] for row in dropped(connection, "bursts(window='30s', most=1)")][6:10] == [
        "b00",
        "b30",
        "b60",
        "b90",
    ]


def test_the_first_rule_that_holds_gives_the_reason(
    connection: duckdb.DuckDBPyConnection,
) -> None:
    write(
        connection,
        [
            example("a", user_id="x", prompt="p", answer="long answer"),
            example("b", user_id="y", prompt="p", answer="long answer"),
            example("c", prompt="p"),
            example("d", user_id="x", request_id=None),
            example("e", user_id="z", prompt="p", request_id="ra"),
        ],
    )
    rules = (
        CleaningRule(name="x's", where="user_id = 'x'"),
        CleaningRule(name="long", where="tokens > 3 OR false"),
    )
    cleaning = Cleaning(rules=rules)
    assert dropped(connection, "rules", cleaning) == [
        ("a", "rule:x's", None),
        ("b", "rule:long", None),
        ("e", "rule:x's", None),
    ]
    read = parse_cleaner("rules").drop_sql(cleaning, checked=lambda text: f"NOT ({text})")
    assert len(connection.execute(read).fetchall()) == 1


@pytest.mark.parametrize(
    ("name", "found", "left"),
    [
        ("email", ["a.b+c@x-y.co.uk", "josé@münchen.de"], ["a@b", "@name", "see user@localhost"]),
        (
            "phone",
            ["+49 30 123456", "+1 (555) 123-4567", "(555) 123-4567", "555-123-4567"],
            ["order 5551234567", "2026-01-02", "1 + 1 = 2", "12.50"],
        ),
        (
            "credit_card",
            ["4111 1111 1111 1111", "4111111111111111", "5500-0000-0000-0004", "3400 000000 00009"],
            ["1111 1111 1111 1111", "41111111111111112", "4111 1111"],
        ),
        ("ipv4", ["10.0.0.1", "255.255.255.255"], ["256.1.1.1", "1.2.3", "3.14"]),
        (
            "api_key",
            ["sk-" + "a1B2" * 6, "ghp_" + "a1B2" * 9, "xoxb-" + "1234567890"],
            ["sk-short", "task-" + "a1B2" * 6, "risk-averse people are many"],
        ),
        ("aws_key_id", ["AKIA" + "IOSFODNN7EXAMPLE"], ["AKIA", "akiaiosfodnn7example"]),
        ("private_key", [f"{KEY}\nMIIE\n{END}", f"{KEY}\nMIIE and then cut"], ["PRIVATE KEY"]),
    ],
)
def test_builtin_patterns(
    connection: duckdb.DuckDBPyConnection, name: str, found: list[str], left: list[str]
) -> None:
    pattern = BUILTINS[name].pattern
    make = {"name": "it", "pattern": pattern, "replace": "[it]", "columns": ("answer",)}
    texts = {f"f{i}": f"See: {text}" for i, text in enumerate(found)}
    texts |= {f"l{i}": f"See: {text}" for i, text in enumerate(left)}
    write(connection, [example(key, prompt=text, answer=text) for key, text in texts.items()])

    drops = Cleaning(patterns=(CleaningPattern(action="drop", **make),))
    out = dropped(connection, "patterns", drops)
    assert out == [(key, "pattern:it", None) for key in texts if key.startswith("f")]

    masks = Cleaning(patterns=(CleaningPattern(action="mask", **make),))
    assert dropped(connection, "patterns", masks) == []
    masked = parse_cleaner("patterns").mask_sql(masks, "answer", "answer")
    rows = dict(connection.execute(f"SELECT example_id, {masked} FROM examples").fetchall())
    assert rows == {k: "See: [it]" if k.startswith("f") else text for k, text in texts.items()}
