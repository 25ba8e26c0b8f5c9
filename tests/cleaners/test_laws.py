"""What holds of every cleaner."""

from __future__ import annotations

import random

import duckdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.cleaners.examples import Example, dropped, example, write
from workbench.cleaners import cleaners, parse_cleaner
from workbench.configuration import BUILTINS
from workbench.errors import ConfigError
from workbench.project import Cleaning, CleaningPattern, CleaningRule

CLEANING = Cleaning(
    rules=(
        CleaningRule(name="who", where="user_id = 'a' -- a remark"),
        CleaningRule(name="it's long", where="tokens > 30"),
    ),
    patterns=(
        CleaningPattern(
            name="x", pattern="x[0-2]", action="drop", replace="", columns=("prompt", "answer")
        ),
        CleaningPattern(
            name="y", pattern="y", action="mask", replace=r"\1[y]", columns=("answer",)
        ),
    ),
)
CALLS = [
    *cleaners.names(),
    "near_duplicates(threshold=0.5, shingle=1, over='prompt')",
    "near_duplicates(threshold=0.4, shingle=2, over='answer')",
    "contradictions(over='prompt')",
    "bursts(window='3s', most=2)",
    "bursts(window='0s', most=1, by='user_id')",
]

words = st.lists(st.sampled_from(["x0", "x1", "y", "Über", "z", "'", "你好"]), max_size=8)
texts = st.none() | words.map(" ".join)
few = st.none() | st.sampled_from(["a", "b"])
seconds = st.none() | st.integers(0, 12)
rows = st.lists(
    st.fixed_dictionaries(
        {
            "request_id": st.none() | st.sampled_from(["r1", "r2", "r3"]),
            "ts": seconds,
            "user_id": few,
            "rater_id": few,
            "label_ts": seconds,
            "prompt": texts,
            "answer": texts,
            "label": few,
        }
    ),
    max_size=25,
)


@pytest.mark.parametrize("call", CALLS)
@given(drawn=rows, seed=st.integers(0, 9))
@settings(max_examples=20, deadline=None)
def test_a_cleaner_keeps_what_it_kept(
    connection: duckdb.DuckDBPyConnection, call: str, drawn: list[Example], seed: int
) -> None:
    made = [example(place, **row) for place, row in enumerate(drawn)]
    write(connection, made)
    found = dropped(connection, call, CLEANING)
    out = {row[0] for row in found}
    assert len(out) == len(found)
    assert out <= {row["example_id"] for row in made}
    for name, reason, kept in found:
        assert reason
        assert kept != name
        assert kept is None or kept in {row["example_id"] for row in made} - out

    random.Random(seed).shuffle(made)
    write(connection, made)
    assert dropped(connection, call, CLEANING) == found

    write(connection, [row for row in made if row["example_id"] not in out])
    assert dropped(connection, call, CLEANING) == []


@pytest.mark.parametrize("call", CALLS)
def test_the_number_of_threads_changes_nothing(
    connection: duckdb.DuckDBPyConnection, call: str
) -> None:
    connection.execute(
        """CREATE OR REPLACE TEMP TABLE examples AS
        SELECT i::VARCHAR AS example_id, 'r' || i % 999 AS request_id,
          to_timestamp(hash(i) % 500) AS ts, chr((97 + i % 5)::INT) AS user_id,
          CASE WHEN i % 3 > 0 THEN 'q' || i % 40 END AS rater_id,
          to_timestamp(hash(i + 1) % 9000) AS label_ts,
          'x' || hash(i) % 700 || ' asks ' || hash(i) % 3 AS prompt,
          CASE WHEN i % 9 > 0 THEN 'so y is ' || hash(i + 2) % 5 END AS answer,
          (hash(i + 3) % 2)::VARCHAR AS label
        FROM range(3000) r(i)"""
    )
    connection.execute(
        "CREATE OR REPLACE TEMP TABLE records AS SELECT DISTINCT ON (request_id) request_id, "
        "user_id, prompt AS question, length(answer) AS tokens FROM examples ORDER BY example_id"
    )
    found = []
    try:
        for threads in (1, 2, 8):
            connection.execute(f"SET threads = {threads}")
            found.append(dropped(connection, call, CLEANING))
    finally:
        connection.execute("RESET threads")
    assert found[0] == found[1] == found[2]
    # `bursts` at its defaults finds nobody as fast as that here.
    assert found[0] or call == "bursts"


@pytest.mark.parametrize("name", cleaners.names())
@pytest.mark.parametrize("column", ["prompt", "answer"])
def test_only_patterns_mask(connection: duckdb.DuckDBPyConnection, name: str, column: str) -> None:
    expression = parse_cleaner(name).mask_sql(CLEANING, column, "text")
    assert (expression == "text") == ((name, column) != ("patterns", "answer"))
    given_texts = "(VALUES ('a y yy'), (NULL), ('')) t(text)"
    masked = connection.execute(f"SELECT {expression} FROM {given_texts}").fetchall()
    first = "a y yy" if expression == "text" else r"a \1[y] \1[y]\1[y]"
    assert masked == [(first,), (None,), ("",)]


@pytest.mark.parametrize("name", BUILTINS)
@given(text=st.text(alphabet="+-.@sk_0123456789 aAKI\n", max_size=60))
@settings(max_examples=20, deadline=None)
def test_what_is_masked_holds_no_match(
    connection: duckdb.DuckDBPyConnection, name: str, text: str
) -> None:
    entry = CleaningPattern(
        name=name,
        pattern=BUILTINS[name].pattern,
        action="mask",
        replace=f"[{name}]",
        columns=("prompt",),
    )
    mask = parse_cleaner("patterns").mask_sql(Cleaning(patterns=(entry,)), "prompt", "$t")
    again = parse_cleaner("patterns").mask_sql(Cleaning(patterns=(entry,)), "prompt", mask)
    row = connection.execute(f"SELECT {mask}, {again}", {"t": text}).fetchone()
    assert row is not None
    assert row[0] == row[1]


@pytest.mark.parametrize("call", CALLS)
def test_a_call_reads_back_as_it_is_written(call: str) -> None:
    assert str(parse_cleaner(call)) == call
    assert parse_cleaner(str(parse_cleaner(call))) == parse_cleaner(call)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("exact_duplicate", "exact_duplicates"),
        ("near_duplicates(treshold=0.9)", "threshold"),
        ("near_duplicates(threshold=1.1)", "at most 1"),
        ("near_duplicates(over='all')", "prompt"),
        ("bursts(window='soon')", "a number and a unit"),
        ("bursts(window='99999999999w')", "a number and a unit"),
        ("bursts(most=0)", "at least 1"),
    ],
)
def test_what_is_wrong_is_named(text: str, says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        parse_cleaner(text).drop_sql(Cleaning())
