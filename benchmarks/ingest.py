"""Ingest into the lake against a bare scan and write of the same columns, and a loop of pydantic.

Logs of inferences with prompt and answer (about 1 KB a row) as JSON lines, of which one row in a
hundred breaks a rule: no model version, a score above 1, or a time in 1970. Each in a process of
its own, taking turns:

- `workbench`: ``ingest`` of a project without a lake: typed, checked, refused rows kept with their
  reasons, committed; from the call on
- `bare`: DuckDB reads the same files with declared types and writes all rows as Parquet: no check
- `pydantic`: one model per line, which checks the same; accepted rows become Parquet by pyarrow,
  1 % as many lines as `--rows` says are enough to time it, and its time is multiplied

A time counts only if all agree on the accepted rows, their number and a checksum of them, and the
workbench kept the others.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from datetime import datetime
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import duckdb

CONFIG = """
[project]
name = "ingest"
[inferences]
source = "logs/*.jsonl"
[feedback]
source = "feedback.jsonl"
[feedback.signals.thumb]
kind = "binary"
"""
COLUMNS = {
    "request_id": "VARCHAR", "ts": "TIMESTAMPTZ", "model_version": "VARCHAR", "user_id": "VARCHAR",
    "session_id": "VARCHAR", "score": "DOUBLE", "prediction": "VARCHAR", "latency_ms": "DOUBLE",
    "device": "VARCHAR", "input": "VARCHAR", "output": "VARCHAR",
}  # fmt: skip
GOOD = "model_version IS NOT NULL AND score <= 1 AND ts >= TIMESTAMPTZ '1990-01-01 00:00:00+00'"
#: Of each whole row, and of all, whatever their order.
CHECKSUM = (
    "SELECT count(*), sum(hash(request_id, epoch_us(ts), model_version, user_id, session_id, "
    "score, prediction, latency_ms, device, input, output)::HUGEINT) FROM {}"
)


def world(folder: Path, rows: int, files: int) -> None:
    """Write the project folder."""
    (folder / "logs").mkdir(parents=True)
    (folder / "workbench.toml").write_text(CONFIG)
    (folder / "feedback.jsonl").write_text(
        '{"feedback_id": "f", "request_id": "r", "ts": "2026-01-01T00:00:00Z", '
        '"name": "thumb", "value": 1}\n'
    )

    def text(salt: str, words: int) -> str:
        listed = f"list_transform(range({words}), lambda k: md5(i || '{salt}' || k))"
        return f"array_to_string({listed}, ' ')"

    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'; SET enable_progress_bar = false")
        for part in range(files):
            low, high = rows * part // files, rows * (part + 1) // files
            connection.execute(
                "COPY (SELECT md5('request' || i) AS request_id, "
                "strftime(CASE WHEN i % 300 = 7 THEN TIMESTAMP '1970-01-02' ELSE "
                "TIMESTAMP '2026-01-01' + to_seconds(i) END, '%Y-%m-%dT%H:%M:%S.%fZ') AS ts, "
                "CASE WHEN i % 300 <> 107 THEN 'v' || i % 3 END AS model_version, "
                "'u' || hash(i) % 1000 AS user_id, 's' || hash(i) % 9999 AS session_id, "
                "(hash(i, 1) % 10000) / 10000.0 + (i % 300 = 207)::INT * 2 AS score, "
                "(hash(i) % 2)::VARCHAR AS prediction, "
                "(hash(i, 2) % 100000) / 100.0 AS latency_ms, "
                f"'web' AS device, {text('in', 20)} AS input, {text('out', 12)} AS output "
                f"FROM range({low}, {high}) t(i)) TO '{folder}/logs/{part}.jsonl' (FORMAT json)"
            )


def timed(run: Callable[[], Any]) -> dict[str, Any]:
    """Seconds and greatest memory of a call, in this process."""
    wall, cpu = time.perf_counter(), time.process_time()
    answer = run()
    return {
        "wall": time.perf_counter() - wall,
        "cpu": time.process_time() - cpu,
        "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        "answer": answer,
    }


def by_workbench(folder: Path) -> dict[str, Any]:
    """Ingest; the answer is that of the lake, and how many rows were refused."""
    import shutil

    import ibis  # noqa: F401

    import workbench
    from workbench.lake import Lake

    shutil.rmtree(folder / ".workbench", ignore_errors=True)
    project = workbench.open(folder)
    found = timed(project.ingest)
    refused = found["answer"]["refused"]["inferences"]
    rows = Lake(folder / ".workbench").relation("inferences")
    return {**found, "answer": checksum(str(rows)), "refused": refused}


def by_bare_scan(folder: Path) -> dict[str, Any]:
    """Read with declared types, write; the answer is that of the good rows of it."""
    target = folder / "bare.parquet"
    declared = ", ".join(f"{name}: '{dtype}'" for name, dtype in COLUMNS.items())
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'; SET enable_progress_bar = false")
        found = timed(
            lambda: connection.execute(
                f"COPY (FROM read_json('{folder}/logs/*.jsonl', format = 'newline_delimited', "
                f"columns = {{{declared}}})) TO '{target}' (FORMAT parquet)"
            ).fetchall()
        )
    return {**found, "answer": checksum(f"'{target}' WHERE {GOOD}")}


def by_pydantic(folder: Path, rows: int) -> dict[str, Any]:
    """Check line by line; the answer is that of the rows that pass."""
    import pyarrow as pa
    import pyarrow.parquet as pq
    from pydantic import BaseModel, Field, ValidationError

    class Inference(BaseModel):
        request_id: str
        ts: datetime
        model_version: str
        user_id: str | None = None
        session_id: str | None = None
        score: float | None = Field(None, ge=0, le=1)
        prediction: str | None = None
        latency_ms: float | None = None
        device: str | None = None
        input: str | None = None
        output: str | None = None

    first = datetime.fromisoformat("1990-01-01T00:00:00+00:00")
    target = folder / "pydantic.parquet"

    def run() -> None:
        accepted, refused = [], []
        with (folder / "logs" / "0.jsonl").open("rb") as file:
            for _, line in zip(range(rows), file, strict=False):
                try:
                    row = Inference.model_validate_json(line)
                    if row.ts < first:
                        raise ValueError("ts")
                except (ValidationError, ValueError) as error:
                    refused.append((line, str(error)))
                else:
                    accepted.append(row.model_dump())
        pq.write_table(pa.Table.from_pylist(accepted), target)

    return {**timed(run), "answer": checksum(f"'{target}'")}


def checksum(relation: str) -> tuple[int, int]:
    """Number and checksum of rows."""
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        n, total = connection.execute(CHECKSUM.format(relation)).fetchall()[0]
    return int(n), int(total)


def alone(run: Callable[[], Any]) -> Any:
    """The result of `run` in a process of its own."""
    with ProcessPoolExecutor(1, get_context("spawn")) as pool:
        return pool.submit(run).result()


def main() -> int:
    """Make the logs, let the contestants take turns, print what they took."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--files", type=int, default=10)
    parser.add_argument("--runs", type=int, default=3)
    given = parser.parse_args()
    few = max(1, min(given.rows // given.files, given.rows // 100))
    runs: dict[str, list[dict[str, Any]]] = {"workbench": [], "bare": [], "pydantic": []}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "project"
        world(folder, given.rows, given.files)
        lines = f"(FROM read_json('{folder}/logs/0.jsonl', columns = {COLUMNS}) LIMIT {few})"
        some = checksum(f"{lines} WHERE {GOOD}")
        for _ in range(given.runs):
            ours = alone(partial(by_workbench, folder))
            bare = alone(partial(by_bare_scan, folder))
            model = alone(partial(by_pydantic, folder, few))
            if ours["answer"] != bare["answer"]:
                sys.exit(f"the lake has {ours['answer']}, the files {bare['answer']}")
            if ours["answer"][0] + ours["refused"] != given.rows:
                sys.exit(f"{given.rows} rows, but {ours['answer'][0]} + {ours['refused']}")
            if model["answer"] != some:
                sys.exit(f"pydantic accepts {model['answer']}, the files have {some}")
            for who, run in (("workbench", ours), ("bare", bare), ("pydantic", model)):
                runs[who].append(run)
    median = {
        who: {key: statistics.median(run[key] for run in taken)
              for key in ("wall", "cpu", "peak_mb")}
        for who, taken in runs.items()
    }  # fmt: skip
    for key in ("wall", "cpu"):
        median["pydantic"][key] *= given.rows / few
    print(
        json.dumps(
            {
                "rows": given.rows,
                **{w: {k: round(v, 2) for k, v in taken.items()} for w, taken in median.items()},
                "to_bare": {k: round(median["workbench"][k] / median["bare"][k], 2)
                            for k in ("wall", "cpu")},
                "pydantic_to_ours": {k: round(median["pydantic"][k] / median["workbench"][k], 2)
                                     for k in ("wall", "cpu")},
            }
        )
    )  # fmt: skip
    return 0


if __name__ == "__main__":
    sys.exit(main())
