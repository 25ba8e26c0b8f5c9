"""Metrics against other libraries and against themselves, all in one run with equal answers.

- `groups`: eight rates of a decision by 5 and by 40 groups over 200,000 rows. `rows` is the call
  `evaluate`, from the table to the values with their intervals, as often as not the first with its
  columns: its SQL is kept; `anew` the same where it is not. `compiled` is the query of it alone;
  `sums` the scan in it, which gives the values without intervals. Against fairlearn's
  `MetricFrame` and against one vectorised `groupby` of pandas; neither of the two gives intervals.
- `ece`: the expected calibration error of 5,000,000 rows: `kept` out of the sums that a build
  keeps, which is how the command line and the pages answer for a whole build; and out of the rows,
  which a condition asks for: the scan of the cells and what is computed of them, without and with
  the interval. Against netcal, where it is installed or
  `--netcal` names a Python of another environment that has it (it brings torch along): that reads
  the same arrays, takes its turns like the others and times itself. Its algorithm
  (`numpy.histogram` for the counts, the sums of probabilities and of outcomes) is written down here
  as `histogram`.
- `state`: the same of 41 cohorts in a window of days, out of sums that were kept, without and with
  intervals; against a scan of the rows.
- `bootstrap`: 10,000 repetitions of one interval.

All contestants take turns. Medians of wall and of CPU seconds are printed as one JSON line per
part; where the machine has other work to do, the CPU seconds are the ones to compare. Run with
fairlearn, pandas and, if it is to be compared, netcal installed.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import math
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

import duckdb
import ibis
import numpy as np

from workbench import contract, engine
from workbench.compiled import Parts
from workbench.metrics import (
    SIZE,
    _queries,
    evaluate,
    labelled,
    metrics,
    parse_call,
    simple_sums,
    without_intervals,
)
from workbench.metrics import _bootstrap as bootstrap
from workbench.metrics._pairs import cells
from workbench.state import answer, create

RATES = (
    "accuracy", "selection_rate", "base_rate", "positive_predictive_value", "true_positive_rate",
    "true_negative_rate", "false_positive_rate", "false_negative_rate",
)  # fmt: skip
Contestant = Callable[[], Any]
NETCAL = """
import json, sys, time
import numpy as np
from netcal.metrics import ECE
p, y = (np.load(path) for path in sys.argv[1:])
for _ in sys.stdin:
    cpu, wall = time.process_time(), time.perf_counter()
    value = float(ECE(10).measure(p, y))
    times = time.perf_counter() - wall, time.process_time() - cpu
    print(json.dumps([value, *times]), flush=True)
"""


@dataclass(frozen=True)
class Elsewhere:
    """What another process found, and the seconds that it took by its own clocks."""

    value: float
    wall: float
    cpu: float


def take_turns(contestants: dict[str, tuple[Contestant, int]]) -> dict[str, Any]:
    """Medians of wall and CPU seconds of each, in rounds; a slow one runs in fewer rounds."""
    wall: dict[str, list[float]] = {name: [] for name in contestants}
    cpu: dict[str, list[float]] = {name: [] for name in contestants}
    for turn in range(max(times for _, times in contestants.values())):
        for name, (run, times) in contestants.items():
            if turn < times:
                before, started = time.process_time(), time.perf_counter()
                found = run()
                taken = time.perf_counter() - started, time.process_time() - before
                if isinstance(found, Elsewhere):
                    taken = found.wall, found.cpu
                wall[name].append(taken[0])
                cpu[name].append(taken[1])
    return {
        name: {"wall": statistics.median(wall[name]), "cpu": statistics.median(cpu[name])}
        for name in contestants
    }


def ratios(found: dict[str, Any], against: str, of: tuple[str, ...]) -> dict[str, Any]:
    return {
        f"{against}/{name}": {
            kind: round(found[against][kind] / max(found[name][kind], 1e-9), 2)
            for kind in ("wall", "cpu")
        }
        for name in of
    }


def report(part: str, found: dict[str, Any], **more: Any) -> None:
    rounded = {
        name: {kind: round(1000 * seconds, 3) for kind, seconds in times.items()}
        for name, times in found.items()
    }
    print(json.dumps({"part": part, "milliseconds": rounded, **more}), flush=True)


def same(one: dict[Any, float], other: dict[Any, float]) -> None:
    assert one.keys() == other.keys(), (one.keys(), other.keys())
    assert all(math.isclose(one[k], other[k], rel_tol=1e-12, abs_tol=1e-14) for k in one)


# -- groups ----------------------------------------------------------------------------------------


def groups(rows: int, n_groups: int, rounds: int, threads: int) -> None:
    """Eight rates by group."""
    import pandas as pd
    from fairlearn.metrics import (
        MetricFrame,
        false_negative_rate,
        false_positive_rate,
        selection_rate,
        true_negative_rate,
        true_positive_rate,
    )
    from sklearn.metrics import accuracy_score, precision_score

    connection = engine.connect()
    connection.execute(f"SET threads = {threads}")
    connection.execute(
        "CREATE TABLE decisions AS SELECT *, selected = positive AS correct, '1' AS label, "
        "1.0 AS reward FROM (SELECT hash(i * 3) % 100 < 55 AS selected, "
        f"hash(i * 5 + 1) % 100 < 40 AS positive, 'g' || hash(i * 7 + 2) % {n_groups} AS g "
        f"FROM range({rows}) t(i))"
    )
    table = engine.backend(connection).table("decisions")
    frame = connection.sql("SELECT selected::INT AS s, positive::INT AS p, g FROM decisions").df()
    theirs = {
        "accuracy": accuracy_score, "selection_rate": selection_rate,
        "base_rate": lambda y_true, _: float(np.mean(y_true)),
        "positive_predictive_value": precision_score, "true_positive_rate": true_positive_rate,
        "true_negative_rate": true_negative_rate, "false_positive_rate": false_positive_rate,
        "false_negative_rate": false_negative_rate,
    }  # fmt: skip
    compiled: list[str] = []

    def execute(sql: str) -> Any:
        compiled[:] = [sql]
        return connection.execute(sql).to_arrow_table()

    def ours() -> dict[Any, float]:
        found = evaluate(table, RATES, ["g"], execute)
        return {(row["metric"], row["by"]["g"]): row["value"] for row in found}

    def anew() -> dict[Any, float]:
        _queries.compiled.cache_clear()
        return ours()

    def fairlearn() -> dict[Any, float]:
        found = MetricFrame(
            metrics=theirs, y_true=frame.p, y_pred=frame.s, sensitive_features=frame.g
        ).by_group
        return {(name, g): float(found.loc[g, name]) for name in RATES for g in found.index}

    def pandas() -> dict[Any, float]:
        s, p = frame.s.to_numpy(), frame.p.to_numpy()
        counts = pd.DataFrame({"tp": s & p, "fp": s & ~p & 1, "fn": ~s & p, "g": frame.g})
        found = counts.groupby("g").agg(tp=("tp", "sum"), fp=("fp", "sum"), fn=("fn", "sum"),
                                        n=("tp", "size"))  # fmt: skip
        tp, fp, fn, n = found.tp, found.fp, found.fn, found.n
        tn = n - tp - fp - fn
        rates = {
            "accuracy": (tp + tn) / n, "selection_rate": (tp + fp) / n, "base_rate": (tp + fn) / n,
            "positive_predictive_value": tp / (tp + fp), "true_positive_rate": tp / (tp + fn),
            "true_negative_rate": tn / (tn + fp), "false_positive_rate": fp / (tn + fp),
            "false_negative_rate": fn / (tp + fn),
        }  # fmt: skip
        return {(name, g): float(v) for name, by in rates.items() for g, v in by.items()}

    same(ours(), fairlearn())
    same(ours(), pandas())
    simple = {i: metrics.get(name) for i, name in enumerate(RATES)}
    needed = table.select("g", *{n for m in simple.values() for n in m.needs},
                          labelled=labelled(table))  # fmt: skip
    scan = engine.sql_of(simple_sums(needed, ("g",), simple))
    sums = connection.execute(scan).to_arrow_table().to_pylist()
    same({(RATES[r["metric"]], r["g"]): r["mean"] for r in sums if r["metric"] != SIZE}, pandas())
    query = compiled[0]
    found = take_turns(
        {
            "sums": (lambda: connection.execute(scan).fetchall(), rounds),
            "compiled": (lambda: connection.execute(query).fetchall(), rounds),
            "rows": (ours, rounds),
            "anew": (anew, rounds),
            "pandas": (pandas, rounds),
            "fairlearn": (fairlearn, 3),
        }
    )
    own = ("sums", "compiled", "rows", "anew")
    report(
        "groups", found, rows=rows, groups=n_groups,
        ratios=ratios(found, "fairlearn", own) | ratios(found, "pandas", own),
    )  # fmt: skip


# -- calibration -----------------------------------------------------------------------------------


def pairs_of(connection: duckdb.DuckDBPyConnection, rows: int) -> None:
    """``narrow.enriched_inferences`` with a calibration pair in every row, over 30 days."""
    connection.execute("CREATE SCHEMA narrow")
    own = {"ts", "model_version", "cohort", "calibration_p", "calibration_y", "label", "correct"}
    others = ", ".join(
        f"CAST(NULL AS {column.type}) AS {engine.identifier(name)}"
        for table in ("inferences", "enriched", "fitted")
        for name, column in contract.table(table).columns.items()
        if name not in own and name not in contract.WIDE_COLUMNS
    )
    connection.execute(
        "CREATE TABLE narrow.enriched_inferences AS SELECT *, y::VARCHAR AS label, "
        "y::DOUBLE AS calibration_y, (p >= 0.5) = (y = 1) AS correct, p AS calibration_p, "
        f"{others} "
        "FROM (SELECT *, (hash(i * 31 + 5) % 1000000 < 1000000 * p * p)::INT AS y FROM ("
        "SELECT i, (hash(i * 17 + 3) % 1000) / 1000 AS p, 'v' || i % 3 AS model_version, "
        "'c' || hash(i * 13) % 41 AS cohort, "
        "TIMESTAMPTZ '2026-03-01 00:00:00+00' + to_seconds(hash(i * 11) % 2592000) AS ts "
        f"FROM range({rows}) t(i)))"
    )


@contextmanager
def netcal_in(python: str, p: Any, y: Any) -> Iterator[Contestant]:
    """The error by netcal in a process of another Python, which reads the arrays once."""
    with tempfile.TemporaryDirectory() as folder:
        paths = [f"{folder}/{name}.npy" for name in ("p", "y")]
        for path, array in zip(paths, (p, y), strict=True):
            np.save(path, array)
        child = subprocess.Popen(
            [python, "-c", NETCAL, *paths], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        with child, child.stdin, child.stdout:

            def run() -> Elsewhere:
                child.stdin.write("\n")
                child.stdin.flush()
                return Elsewhere(*json.loads(child.stdout.readline()))

            yield run


def ece(connection: duckdb.DuckDBPyConnection, rounds: int, netcal: str | None) -> None:
    """The expected calibration error of all rows."""
    table = engine.backend(connection).table("enriched_inferences", database="narrow")
    table = table.select("calibration_p", "calibration_y", "label")
    arrays = connection.execute(
        "SELECT calibration_p AS p, calibration_y AS y FROM narrow.enriched_inferences"
    ).fetchnumpy()
    p, y = np.ascontiguousarray(arrays["p"]), np.ascontiguousarray(arrays["y"])

    def execute(sql: str) -> Any:
        return connection.execute(sql).to_arrow_table()

    def ours() -> float:
        with without_intervals():
            return float(evaluate(table, ["ece"], execute=execute)[0]["value"])

    def with_interval() -> float:
        return float(evaluate(table, ["ece"], execute=execute)[0]["value"])

    def kept() -> float:
        with without_intervals():
            return float(answer(execute, [parse_call("ece")], {})[0]["value"])

    def histogram() -> float:
        edges = np.linspace(0, 1, 11)
        n, _ = np.histogram(p, edges)
        sp, _ = np.histogram(p, edges, weights=p)
        sy, _ = np.histogram(p, edges, weights=y)
        return float(np.abs(sp - sy).sum() / n.sum())

    contestants: dict[str, tuple[Contestant, int]] = {
        "kept": (kept, rounds), "ece": (ours, rounds),
        "ece with interval": (with_interval, rounds), "histogram": (histogram, rounds),
    }  # fmt: skip
    with netcal_in(netcal, p, y) if netcal else nullcontext() as theirs:
        if theirs:
            contestants["netcal"] = (theirs, rounds)
        found = {name: run() for name, (run, _) in contestants.items()}
        answers = [getattr(value, "value", value) for value in found.values()]
        assert all(math.isclose(a, answers[0], rel_tol=1e-12) for a in answers), answers
        found = take_turns(contestants)
    own = ("kept", "ece", "ece with interval")
    against = ratios(found, "histogram", own)
    if "netcal" in found:
        against |= ratios(found, "netcal", own)
    report("ece", found, rows=len(p), ratios=against)


def state(connection: duckdb.DuckDBPyConnection, rounds: int, built: float) -> None:
    """The error of 41 cohorts in a window, out of kept sums and out of the rows."""
    backend = engine.backend(connection)
    window = "day BETWEEN DATE '2026-03-08' AND DATE '2026-03-21'"
    calls, by = [parse_call("ece")], {"cohort": "cohort"}

    def ask(sql: str) -> Any:
        return connection.execute(sql).to_arrow_table()

    def kept() -> dict[Any, float]:
        with without_intervals():
            return {row["by"]["cohort"]: row["value"] for row in answer(ask, calls, by, window)}

    def with_intervals() -> Any:
        return answer(ask, calls, by, window)

    rows = backend.table("enriched_inferences", database="narrow")
    rows = rows.filter(rows.ts >= "2026-03-08", rows.ts < "2026-03-22")
    rows = rows.mutate(weight=ibis.literal(1.0)).select(
        "cohort", "weight", "calibration_p", "calibration_y"
    )
    scan = engine.sql_of(cells(rows, ("cohort",), bins=10, bin_rule="numpy"))
    with without_intervals():
        scanned = evaluate(rows.mutate(label=ibis.literal("1")), ["ece"], ["cohort"], ask)
    same(kept(), {row["by"]["cohort"]: row["value"] for row in scanned})
    found = take_turns(
        {
            "state": (kept, rounds),
            "state with intervals": (with_intervals, rounds),
            "scan of the rows": (lambda: ask(scan), rounds),
        }
    )
    size = [engine.scalar(connection, f"SELECT count(*) FROM narrow.{name}")
            for name in ("metric_state", "metric_sums")]  # fmt: skip
    report("state", found, cohorts=41, rows_of_state=size, seconds_to_build=round(built, 2),
           ratios=ratios(found, "scan of the rows", ("state", "state with intervals")))  # fmt: skip


def repetitions(rounds: int) -> None:
    """One interval of an ECE out of 20 cells."""
    rng = np.random.default_rng(1)
    counts = rng.integers(1000, 100_000, 20).astype(float)
    gap = rng.normal(0, 0.05, 20) - np.tile([0.0, 1.0], 10)
    indicator = np.repeat(np.eye(10), 2, axis=0)

    def statistic(drawn: Any) -> Any:
        return np.abs((drawn * gap) @ indicator).sum(axis=-1) / counts.sum()

    value = float(statistic(counts))

    def run() -> None:
        draws = bootstrap.resample(counts, counts.sum(), replicates=10_000)
        np.quantile(statistic(draws), [0.025, 0.975])

    assert math.isfinite(value)
    report("bootstrap", take_turns({"10,000 repetitions": (run, rounds)}), cells=20)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rows", type=int, default=5_000_000)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--part", choices=["groups", "ece", "state", "bootstrap"], action="append")
    installed = sys.executable if importlib.util.find_spec("netcal") else None
    parser.add_argument("--netcal", metavar="PYTHON", default=installed)
    given = parser.parse_args()
    parts = given.part or ["groups", "ece", "state", "bootstrap"]
    if "bootstrap" in parts:
        repetitions(given.rounds)
    if "groups" in parts:
        for n in (5, 40):
            groups(200_000, n, given.rounds, given.threads)
    if {"ece", "state"} & set(parts):
        connection = engine.connect()
        connection.execute(f"SET threads = {given.threads}")
        pairs_of(connection, given.rows)
        started = time.perf_counter()
        create(Parts(connection=connection, backend=engine.backend(connection)))
        built = time.perf_counter() - started
        if "ece" in parts:
            ece(connection, given.rounds, given.netcal)
        if "state" in parts:
            state(connection, given.rounds, built)
    return 0


if __name__ == "__main__":
    sys.exit(main())
