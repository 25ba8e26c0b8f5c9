"""Near-duplicates against a comparison of all pairs, one by one."""

from __future__ import annotations

import re

import duckdb
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from workbench.cleaners import near_duplicate_clusters_sql


def all_pairs(texts: list[str | None], threshold: float, shingle: int) -> list[int]:
    """For each text the first of its cluster."""
    sets: list[set[tuple[str, ...]]] = []
    for text in texts:
        words = re.findall(r"\w+", (text or "").lower())
        starts = range(max(len(words) - shingle + 1, 1))
        sets.append({tuple(words[i : i + shingle]) for i in starts} if words else set())
    cluster = list(range(len(texts)))
    for i, one in enumerate(sets):
        for j, other in enumerate(sets[:i]):
            if one and other and len(one & other) / len(one | other) >= threshold:
                low, high = sorted((cluster[i], cluster[j]))
                cluster = [low if c == high else c for c in cluster]
    return cluster


def clusters(
    connection: duckdb.DuckDBPyConnection, texts: list[str | None], threshold: float, shingle: int
) -> list[int]:
    table = pa.table({"i": range(len(texts)), "t": pa.array(texts, pa.string())})
    connection.register("texts_given", table)
    connection.execute("CREATE OR REPLACE TEMP TABLE given_texts AS FROM texts_given")
    connection.unregister("texts_given")
    sql = near_duplicate_clusters_sql("given_texts", "i", "t", threshold, shingle)
    return [row[1] for row in connection.execute(f"FROM ({sql}) ORDER BY key").fetchall()]


@st.composite
def variants(draw: st.DrawFn) -> list[str | None]:
    """Texts of which many differ in few words, from a vocabulary of any size."""
    word = st.integers(0, draw(st.sampled_from([2, 5, 60]))).map("W{}".format)
    bases = draw(st.lists(st.lists(word, max_size=25), min_size=1, max_size=4))
    texts: list[str | None] = [None]
    for _ in range(draw(st.integers(0, 25))):
        words = list(draw(st.sampled_from(bases)))
        for place in draw(st.lists(st.integers(0, 24), max_size=3)):
            words[place : place + 1] = [draw(word)]
        texts.append(draw(st.sampled_from([" ", ", ", "\n"])).join(words))
    return texts


@given(
    texts=variants(),
    threshold=st.sampled_from([0.3, 0.5, 0.7, 0.8, 0.9, 1.0]),
    shingle=st.integers(1, 4),
)
@settings(max_examples=120, deadline=None)
def test_no_pair_is_missed_and_none_is_added(
    connection: duckdb.DuckDBPyConnection, texts: list[str | None], threshold: float, shingle: int
) -> None:
    found = clusters(connection, texts, threshold, shingle)
    assert found == all_pairs(texts, threshold, shingle)


# 0.55 * 100 is above 55, and 0.58 * 100 below 58.
@pytest.mark.parametrize("threshold", [0.3, 0.55, 0.56, 0.58, 0.8, 0.93, 1.0])
def test_a_similarity_at_the_threshold_counts(
    connection: duckdb.DuckDBPyConnection, threshold: float
) -> None:
    # Of 100 words in all, so many are in both.
    common = round(threshold * 100)
    one = " ".join(f"w{i}" for i in range(100))
    other = " ".join(f"w{i}" for i in range(common))
    less = " ".join(f"w{i}" for i in range(100, 101 - common, -1))
    assert clusters(connection, [one, other], threshold, 1) == [0, 0]
    assert clusters(connection, [one, less], threshold, 1) == [0, 1]


def test_a_long_chain_is_one_cluster(connection: duckdb.DuckDBPyConnection) -> None:
    # Each shares nine words of eleven with the next, in an order that keys do not follow.
    places = [(i * 7919) % 2003 for i in range(2003)]
    texts = [" ".join(f"w{n}" for n in range(place, place + 10)) for place in places]
    assert set(clusters(connection, list(texts), 0.8, 1)) == {0}


def test_texts_of_one_template_are_one_cluster(connection: duckdb.DuckDBPyConnection) -> None:
    frame = " ".join(f"w{i}" for i in range(100))
    texts: list[str | None] = [f"{frame} {i} {'s ' * (i % 13)}{i * i}" for i in range(3000)]
    assert set(clusters(connection, texts, 0.8, 3)) == {0}


def test_scripts_without_spaces_are_compared_by_sign(
    connection: duckdb.DuckDBPyConnection,
) -> None:
    text = "今天天气很好我们一起去公园散步然后回家吃饭看电影"
    changed = text.replace("公", "花")
    assert clusters(connection, [text, changed, "明天下雨"], 0.7, 2) == [0, 0, 2]
