from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime
from decimal import Decimal
from itertools import product
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pytest

import workbench
from tests.ingest.folder import PLAIN, Folder, event, inference, lines
from workbench.scratch import Scratch
from workbench.worst import GAP, Search, _attributes, find_several, find_worst, search
from workbench.worst._attributes import attributes
from workbench.worst._scan import scan, sizes


@contextmanager
def held(x: Any, past: Any = None, **columns: Any) -> Iterator[Scratch]:
    """Values with the columns that slices are made of."""
    with duckdb.connect(config={"threads": 1}) as connection:
        table = pa.table(
            {
                "x": pa.array(x, pa.float64()),
                "past": pa.array([False] * len(x) if past is None else past, pa.bool_()),
                **{name: pa.array(values) for name, values in columns.items()},
            }
        )
        connection.register("given", table)
        connection.execute("CREATE TEMP TABLE scratch AS FROM given")
        yield Scratch(connection)


def found_in(
    x: Any, past: Any = None, direction: int = -1, least: int = 30, **columns: Any
) -> Search:
    with held(x, past, **columns) as rows:
        made_of = attributes(rows, {name: name for name in columns})
        return search(
            rows, made_of, "accuracy", direction, moved=past is not None, least_rows=least
        )


def some(rng: np.random.Generator, letters: str, n: int) -> list[str]:
    return [str(value) for value in rng.choice(list(letters), n)]


def test_a_planted_slice_of_two_columns_is_found_and_nothing_else() -> None:
    rng = np.random.default_rng(0)
    n = 4000
    a, b, c = some(rng, "pqr", n), some(rng, "stuv", n), some(rng, "wxyz", n)
    bad = np.array([one == "p" and other == "s" for one, other in zip(a, b, strict=True)])
    x = (rng.random(n) < np.where(bad, 0.4, 0.8)).astype(float)
    found = found_in(x, a=a, b=b, c=c)
    (row,) = found.rows
    assert row["slice"] == {"a": "p", "b": "s"}
    assert row["where"] == "a = 'p' AND b = 's'"
    assert (row["n"], row["n_other"]) == (bad.sum(), n - bad.sum())
    assert row["value"] == pytest.approx(x[bad].mean())
    assert row["effect"] == pytest.approx(x[bad].mean() - x[~bad].mean())
    assert row["low"] < row["effect"] < row["high"] < 0
    assert row["impact"] == pytest.approx(row["effect"] * bad.mean())
    assert row["q"] < 1e-6
    assert row["n_slices"] == found.n_slices == 11 + 3 * 4 + 3 * 4 + 4 * 4


def test_a_slice_of_one_column_is_not_named_again_with_a_second_one() -> None:
    rng = np.random.default_rng(1)
    n = 5000
    a, b, c = some(rng, "pqr", n), some(rng, "stuv", n), some(rng, "wxyz", n)
    x = (rng.random(n) < np.where(np.array(a) == "p", 0.5, 0.8)).astype(float)
    # The same column under two names is one finding.
    found = found_in(x, a=a, again=a, b=b, c=c)
    assert [row["slice"] for row in found.rows] == [{"a": "p"}]


def test_two_faults_are_two_findings() -> None:
    rng = np.random.default_rng(2)
    n = 6000
    a, b, c = some(rng, "pqrst", n), some(rng, "uvwx", n), rng.random(n)
    first = np.array([one == "p" and other == "u" for one, other in zip(a, b, strict=True)])
    x = (rng.random(n) < np.where(first, 0.3, np.where(c > 0.96, 0.5, 0.8))).astype(float)
    found = found_in(x, a=a, b=b, c=c.tolist())
    assert {frozenset(row["slice"]) for row in found.rows} == {frozenset("ab"), frozenset("c")}
    assert found.rows[0]["slice"] == {"a": "p", "b": "u"}


def test_chance_alone_names_hardly_ever_a_slice() -> None:
    """In at most 5 % of worlds without any fault; each looks at some seventy slices."""
    worlds = 200
    false = 0
    for seed in range(worlds):
        rng = np.random.default_rng(seed)
        n = 600
        x = rng.random(n) < 0.7 if seed % 2 else rng.random(n)
        columns = {name: some(rng, letters, n)
                   for name, letters in (("a", "pq"), ("b", "rstu"), ("c", "vwxyz"))}  # fmt: skip
        false += bool(found_in(np.asarray(x, float), least=20, **columns).rows)
    assert false / worlds <= 0.05


def test_one_fault_does_not_let_chance_in() -> None:
    """The many slices that overlap a fault make no room for others."""
    extra = 0
    worlds = 40
    for seed in range(worlds):
        rng = np.random.default_rng(seed)
        n = 1500
        a, b = some(rng, "pqrs", n), some(rng, "tuvw", n)
        others = {name: some(rng, "123456", n) for name in ("c", "d", "e")}
        bad = np.array([one == "p" and other == "t" for one, other in zip(a, b, strict=True)])
        x = (rng.random(n) < np.where(bad, 0.2, 0.8)).astype(float)
        rows = found_in(x, a=a, b=b, **others).rows
        assert rows[0]["slice"] == {"a": "p", "b": "t"}
        extra += len(rows) - 1
    assert extra <= 0.05 * worlds + 3


def test_null_is_a_value_and_never_a_total() -> None:
    a = ["p", None, "q", None] * 30
    b = [None, None, "s", "s"] * 30
    with held([0.0, 1.0, 1.0, 1.0] * 30, a=a, b=b) as rows:
        made_of = attributes(rows, {"a": "a", "b": "b"})
        seen = scan(rows, made_of, 2, moved=False)
    labels = {
        tuple((made_of[place].name, made_of[place].label(code)) for place, code in key): int(n)
        for key, n in zip(seen.slices, seen.now.n, strict=True)
    }
    assert labels == {
        (("a", "p"),): 30, (("a", "q"),): 30, (("a", None),): 60,
        (("b", "s"),): 60, (("b", None),): 60,
        (("a", "p"), ("b", None)): 30, (("a", "q"), ("b", "s")): 30,
        (("a", None), ("b", "s")): 30, (("a", None), ("b", None)): 30,
    }  # fmt: skip
    found = found_in([0.0, 1.0, 1.0, 1.0] * 30, a=[None, "p", "q", "r"] * 30)
    assert [(row["slice"], row["where"]) for row in found.rows] == [({"a": None}, "a IS NULL")]


def test_every_condition_selects_the_rows_that_were_summed_up() -> None:
    rng = np.random.default_rng(3)
    n = 700
    number = np.where(rng.random(n) < 0.1, np.nan, np.round(rng.lognormal(0, 3, n), 3))
    columns = {
        "word": [[None, "it's", "", "b"][i] for i in rng.integers(0, 4, n)],
        "flag": [[None, True, False][i] for i in rng.integers(0, 3, n)],
        "few": rng.integers(-1, 3, n).tolist(),
        "many": rng.integers(0, 500, n).tolist(),
        "number": number.tolist(),
        "third": [[1 / 3, 0.1 + 0.2, 0.1, None][i] for i in rng.integers(0, 4, n)],
        "infinite": [[math.inf, -math.inf, 0.5][i] for i in rng.integers(0, 3, n)],
        "tail": np.where(rng.random(n) < 0.05, np.inf, rng.random(n)).tolist(),
        "day": [date(2026, 3, 1 + int(i)) for i in rng.integers(0, 4, n)],
        "hour": [datetime(2026, 3, 1, int(i), tzinfo=UTC) for i in rng.integers(0, 4, n)],
        "exact": [Decimal(int(i)) / 10 for i in rng.integers(0, 4, n)],
        "half": pa.array([None if i % 3 == 0 else i / 7 for i in range(n)], pa.float64()),
    }
    x = rng.random(n)
    x[::9] = np.nan
    given = pa.array(x, pa.float64(), from_pandas=True)
    with held(given, **columns) as rows:
        made_of = attributes(rows, {name: name for name in columns})
        seen = scan(rows, made_of, 1, moved=False)
        assert [a.name for a in made_of] == list(columns)
        conditions = [
            " AND ".join(made_of[place].condition(code) for place, code in key)
            for key in seen.slices
        ]
        for condition, n_rows, count, total in zip(
            conditions, sizes(rows, conditions), seen.now.n, seen.now.s, strict=True
        ):
            again = rows.connection.execute(
                f"SELECT count(*), count(x), coalesce(sum(x), 0) FROM scratch WHERE {condition}"
            ).fetchone()
            assert again is not None
            assert again[:2] == (n_rows, count), condition
            assert again[2] == pytest.approx(total)
        for place, attribute in enumerate(made_of):
            of_one = [i for i, key in enumerate(seen.slices) if [p for p, _ in key] == [place]]
            assert seen.now.n[of_one].sum() == seen.all_now.n[0], attribute.name


def test_what_moved_most_is_the_slice_that_fell() -> None:
    """A slice that was always bad is no news."""
    rng = np.random.default_rng(4)
    n = 8000
    a, b = np.array(some(rng, "pqrs", n)), np.array(some(rng, "tuvw", n))
    past = np.arange(n) < n // 2
    rate = np.where(a == "p", 0.4, 0.8)
    rate = np.where(~past & (b == "t"), rate - 0.3, rate)
    x = (rng.random(n) < rate).astype(float)
    found = found_in(x, past.tolist(), a=a.tolist(), b=b.tolist())
    assert found.rows[0]["slice"] == {"b": "t"}
    assert found.rows[0]["against"] == "reference"
    inside = b == "t"
    assert found.rows[0]["effect"] == pytest.approx(
        x[~past & inside].mean() - x[past & inside].mean()
    )
    assert all("b" in row["slice"] for row in found.rows)


@pytest.mark.parametrize(("direction", "expected"), [(1, "high"), (-1, "low"), (0, "high")])
def test_worse_is_more_or_less_or_further_from_0(direction: int, expected: str) -> None:
    rng = np.random.default_rng(5)
    kind = np.repeat(["high", "low", "mid"], 400)
    middle = {"high": 0.3, "low": -0.1, "mid": 0.05}
    x = np.array([middle[str(k)] for k in kind]) + rng.normal(0, 0.1, 1200)
    found = found_in(x, direction=direction, kind=kind.tolist())
    assert found.rows[0]["slice"] == {"kind": expected}


def test_nothing_to_slice_by_is_no_finding() -> None:
    assert found_in([0.0, 1.0] * 50) == Search([], 0)
    assert found_in([], a=pa.array([], pa.string())) == Search([], 0)
    assert found_in([None] * 100, a=["p", "q"] * 50) == Search([], 0)
    assert found_in([1.0] * 100, a=["p", "q"] * 50).rows == []


def test_the_order_of_rows_does_not_matter() -> None:
    rng = np.random.default_rng(6)
    rows = list(product("pqr", "stu", range(60)))
    x = [float(rng.random() < (0.2 if a == "p" and b == "s" else 0.7)) for a, b, _ in rows]
    one = found_in(x, a=[r[0] for r in rows], b=[r[1] for r in rows])
    order = rng.permutation(len(rows))
    other = found_in(
        [x[i] for i in order], a=[rows[i][0] for i in order], b=[rows[i][1] for i in order]
    )
    assert one == other


@pytest.mark.parametrize("n", [1, 2, 3, 20, 99, 100, 101, 777, 5000])
def test_quantiles_that_are_counted_are_those_of_the_engine(
    n: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_attributes, "_MANY", 0)
    rng = np.random.default_rng(n)
    columns = {
        "even": rng.random(n),
        "rounded": np.round(rng.random(n) * 7),
        "below": -rng.lognormal(0, 1, n),
        "far": 1e15 + rng.integers(0, 1000, n),
        "long": rng.lognormal(0, 6, n),
        "same": np.full(n, 0.1),
        "infinite": np.where(rng.random(n) < 0.5, np.inf, rng.random(n)),
        "whole": rng.integers(-(2**62), 2**62, n),
        "gaps": pa.array(np.where(rng.random(n) < 0.3, np.nan, rng.random(n)), from_pandas=True),
    }
    counted = set()
    with held([1.0] * n, **columns) as rows:
        for name in columns:
            (facts,) = rows.run(
                f"SELECT count({name}) AS n, min({name}) AS least, max({name}) AS most, "
                "false AS has_nan FROM scratch"
            ).to_pylist()
            for share in (2.0, 0.1):
                monkeypatch.setattr(_attributes, "_SORTED", share)
                found = _attributes._counted_quantiles(rows, name, **facts) if facts["n"] else None
                if found is not None:
                    counted.add(name)
                    cuts = f"SELECT quantile_disc({name}, {list(_attributes.CUTS)}) FROM scratch"
                    assert found == rows.run(cuts)[0][0].as_py(), name
    if n > 3:
        assert counted == {*columns} - {"same", "infinite"}


def test_several_searches_at_once_find_what_each_finds(tmp_path: Path) -> None:
    rng = np.random.default_rng(9)
    folder = Folder.make(tmp_path / "p", PLAIN, events=0)
    device, version = some(rng, "pqr", 3000), some(rng, "vw", 3000)
    bad = np.array(
        [one == "p" and other == "v" for one, other in zip(device, version, strict=True)]
    )
    late = rng.random(3000) * 1000
    folder.write(
        "logs/a.jsonl",
        lines(
            inference(n, device=device[n], model_version=version[n], score=0.75,
                      latency_ms=late[n] if n % 7 else None)
            for n in range(3000)
        ),
    )  # fmt: skip
    answered = np.flatnonzero(rng.random(3000) < np.where(late > 900, 0.2, 0.6)).tolist()
    right = rng.random(3000) < np.where(bad, 0.3, 0.8)
    folder.write("events/a.jsonl", lines(event(n, value=int(right[n])) for n in answered))
    folder.build()
    with workbench.open(folder.path).current as build:
        asked = ["label_coverage", "reward_mean", GAP, "accuracy"]
        together = find_several(build, asked, limit=3)
        apart = [find_worst(build, metric, limit=3) for metric in asked]
    assert [found.n_slices for found in together] == [found.n_slices for found in apart]
    assert [bool(found.rows) for found in together] == [True, True, True, False]
    for found, expected in zip(together, apart, strict=True):
        assert len(found.rows) == len(expected.rows)
        for row, other in zip(found.rows, expected.rows, strict=True):
            assert row == {
                key: pytest.approx(v, rel=1e-9) if isinstance(v, float) else v
                for key, v in other.items()
            }
