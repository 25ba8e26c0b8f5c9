"""The nearest document of each inference against DuckDB's `array_cosine_similarity`.

100,000 embeddings of 384 numbers look for the most similar of 10,000 documents, exactly. What is
timed, each in a process of its own, taking turns:

- `workbench`: what a build computes of ``join = "nearest"``, from the Parquet files to the table of
  row, rank, document and score, starting where the build has opened its connection
- `array_cosine_similarity`: the best document of each inference by `arg_max` over the cross join,
  from tables of ``FLOAT[384]`` in memory, for the first `--sample` inferences only. Every inference
  meets every document, so its time is in proportion to their number and is multiplied by that

An answer counts only if every inference has the document that NumPy finds in 64 bits (recall 1)
and DuckDB agrees for its sample. The memory is the greatest of the workbench's whole process.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import ibis.expr.types as ir
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from workbench import engine
from workbench.contexts import Inputs, JoinSpec, contexts

SPEC = JoinSpec(
    name="near",
    keys=(),
    facts=("nth",),
    order="nth",
    options={"embedding": "vector", "k": 1, "similarity": "cosine"},
)
Integers = npt.NDArray[np.int64]


def world(folder: Path, queries: int, documents: int, length: int) -> None:
    """Write both sides: documents in 50 clusters, and inferences near to one of them each."""
    rng = np.random.default_rng(1)
    centres = rng.standard_normal((50, length))
    stored = centres[rng.integers(50, size=documents)] + rng.standard_normal((documents, length))
    asked = stored[rng.integers(documents, size=queries)] + rng.standard_normal((queries, length))
    for name, number, column, vectors in (
        ("inferences", "row_id", "embedding", asked),
        ("documents", "nth", "vector", stored),
    ):
        flat = pa.array(vectors.astype(np.float32).ravel())
        offsets = pa.array(np.arange(len(vectors) + 1, dtype=np.int32) * length)
        lists = pa.ListArray.from_arrays(offsets, flat)
        table = pa.table({number: pa.array(np.arange(len(vectors))), column: lists})
        pq.write_table(table, folder / f"{name}.parquet", row_group_size=50_000)


def by_workbench(folder: Path, threads: int) -> dict[str, Any]:
    """What a build computes, and the best document of each inference."""
    connection = engine.connect()
    connection.execute(f"SET threads = {threads}")
    connection.execute(
        "CREATE TEMP VIEW inferences AS SELECT row_id, CAST(NULL AS TIMESTAMPTZ) AS ts, embedding "
        f"FROM '{folder}/inferences.parquet'"
    )
    connection.execute(f"CREATE TEMP TABLE facts AS FROM '{folder}/documents.parquet'")
    backend = engine.backend(connection)

    def stream(query: ir.Table, rows: int) -> Iterator[pa.RecordBatch]:
        yield from connection.execute(engine.sql_of(query)).to_arrow_reader(rows)

    inputs = Inputs(
        inferences=backend.table("inferences"),
        facts=backend.table("facts"),
        stream=stream,
        folder=folder,
        root=folder,
        spec=SPEC,
    )
    compute = contexts.get("nearest").compute
    assert compute is not None
    cpu, wall = time.process_time(), time.perf_counter()
    found = compute(inputs)
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    found = found.sort_by("__row")
    return {
        "wall": wall, "cpu": cpu, "peak_mb": peak,
        "rows": found["__row"].to_numpy(), "best": found["__order"].to_numpy(),
    }  # fmt: skip


def by_duckdb(folder: Path, threads: int, *, length: int, sample: int) -> dict[str, Any]:
    """The best document of the first inferences, by the engine alone."""
    with engine.connect() as connection:
        connection.execute(f"SET threads = {threads}")
        connection.execute(
            f"CREATE TABLE q AS SELECT row_id, embedding::FLOAT[{length}] AS v "
            f"FROM '{folder}/inferences.parquet' WHERE row_id < {sample}"
        )
        connection.execute(
            f"CREATE TABLE d AS SELECT nth, vector::FLOAT[{length}] AS v "
            f"FROM '{folder}/documents.parquet'"
        )
        cpu, wall = time.process_time(), time.perf_counter()
        rows = connection.execute(
            "SELECT row_id, arg_max(nth, array_cosine_similarity(q.v, d.v)) AS nth "
            "FROM q, d GROUP BY row_id"
        ).to_arrow_table()
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    rows = rows.sort_by("row_id")
    return {"wall": wall, "cpu": cpu, "best": rows["nth"].to_numpy()}


def by_numpy(folder: Path) -> Integers:
    """The best document of each inference, in 64 bits."""

    def matrix(name: str, column: str) -> npt.NDArray[np.float64]:
        values = pq.read_table(folder / f"{name}.parquet")[column].combine_chunks()
        vectors = values.flatten().to_numpy().reshape(len(values), -1).astype(np.float64)
        return np.asarray(vectors / np.linalg.norm(vectors, axis=1)[:, None])

    asked, stored = matrix("inferences", "embedding"), matrix("documents", "vector").T
    parts = [(asked[at : at + 500] @ stored).argmax(axis=1) for at in range(0, len(asked), 500)]
    return np.concatenate(parts)


def alone(run: Callable[[], Any]) -> Any:
    """The result of `run` in a process of its own."""
    with ProcessPoolExecutor(1, get_context("spawn")) as pool:
        return pool.submit(run).result()


def main() -> int:
    """Make both sides, let the two take turns, print medians and the ratio."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--documents", type=int, default=10_000)
    parser.add_argument("--length", type=int, default=384)
    parser.add_argument("--sample", type=int, default=1_000)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    given = parser.parse_args()
    runs: dict[str, list[dict[str, Any]]] = {"workbench": [], "array_cosine_similarity": []}
    sample = min(given.sample, given.rows)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        alone(partial(world, folder, given.rows, given.documents, given.length))
        wanted = alone(partial(by_numpy, folder))
        for _ in range(given.runs):
            ours = alone(partial(by_workbench, folder, given.threads))
            theirs = alone(
                partial(by_duckdb, folder, given.threads, length=given.length, sample=sample)
            )
            if not np.array_equal(ours["rows"], np.arange(given.rows)):
                sys.exit("the workbench lost an inference, or has one twice")
            if not np.array_equal(ours["best"], wanted):
                sys.exit(f"recall {np.mean(ours['best'] == wanted)} of the workbench")
            if not np.array_equal(theirs["best"], wanted[:sample]):
                sys.exit(f"recall {np.mean(theirs['best'] == wanted[:sample])} of DuckDB")
            runs["workbench"].append(ours)
            runs["array_cosine_similarity"].append(theirs)
    median = {
        who: {key: statistics.median(run[key] for run in taken) for key in ("wall", "cpu")}
        for who, taken in runs.items()
    }
    scale = given.rows / sample
    theirs, ours = median["array_cosine_similarity"], median["workbench"]
    print(
        json.dumps(
            {
                "rows": given.rows, "documents": given.documents, "length": given.length,
                "recall": 1.0, "seconds": {k: round(v, 2) for k, v in ours.items()},
                "peak_mb": round(max(run["peak_mb"] for run in runs["workbench"])),
                "array_cosine_similarity": {k: round(v, 2) for k, v in theirs.items()},
                "of_queries": sample,
                "ratio": {k: round(theirs[k] * scale / ours[k], 1) for k in ("wall", "cpu")},
            }
        )
    )  # fmt: skip
    return 0


if __name__ == "__main__":
    sys.exit(main())
