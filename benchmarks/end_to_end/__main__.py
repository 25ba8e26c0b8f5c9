"""The whole path, from logs to the enriched table in a file, against hand-tuned scripts.

``python -m benchmarks.end_to_end --rows 1000000`` makes a world (see `world`), then lets every
contestant write the same table of attributed feedback with contexts, labels and, in the part
``full``, prompts, answers and logits:

- `workbench`: ``workbench build`` of a project without a lake, then ``workbench export``
- `polars`: `by_polars`, one script for this one question
- `floor`: reading the columns that are needed and writing that many rows of them, nothing else

They take turns. A time counts only where the number of rows and a checksum over every cell, each
row's bound to its key, are those of polars, which shares no code with the workbench. One JSON line
for each world: medians of wall and CPU seconds and of the peak of resident memory, and the ratios
to polars. ``--memory-limit`` is passed to the workbench.

``--alone`` is for worlds that the peers cannot hold: only the workbench runs. Its answer is then
checked against what the world says of its events, and against nothing else.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import duckdb

from benchmarks.end_to_end import world

HERE = Path(__file__).resolve().parent
NARROW = (
    "feedback_id", "request_id", "method", "feedback_ts", "reward", "label", "ts",
    "model_version", "user_id", "session_id", "rater_id", "prediction", "score", "latency_ms",
    "device", "cohort",
)  # fmt: skip
WIDE = ("input", "output", "logits")
STRUCTS = ("profile", "health", "orders", "earlier")
#: What is measured of a run.
KEYS = ("wall", "cpu", "peak_mb")
#: What the contexts' columns are called in the flat table.
FLAT = {
    "tier": "profile.tier",
    "country": "profile.country",
    "error_rate": "health.error_rate",
    "n_orders": "orders.n",
    "amount": "orders.amount",
    "earlier_latency": "earlier.latency",
}


@dataclass(frozen=True)
class Run:
    """What one contestant took."""

    wall: float
    cpu: float
    peak_mb: float


def measured(commands: Sequence[Sequence[str]], env: Mapping[str, str] | None = None) -> Run:
    """Run commands one after the other as processes of their own."""
    wall = cpu = peak = 0.0
    for command in commands:
        started = time.perf_counter()
        process = subprocess.Popen(
            command,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            env={**os.environ, **(env or {})},
        )
        said = process.stderr.read() if process.stderr else b""
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        wall += time.perf_counter() - started
        if process.returncode:
            sys.exit(f"{' '.join(command)} failed:\n{said.decode()}")
        cpu += usage.ru_utime + usage.ru_stime
        peak = max(peak, usage.ru_maxrss / 1024)
    return Run(wall, cpu, peak)


def by_workbench(folder: Path, target: Path, *, full: bool, limit: str | None) -> Run:
    """Build the project anew and export the table."""
    shutil.rmtree(folder / ".workbench", ignore_errors=True)
    target.unlink(missing_ok=True)
    tool = str(Path(sys.executable).parent / "workbench")
    columns = ",".join((*NARROW, *STRUCTS, *(WIDE if full else ())))
    where = ["--project", str(folder)]
    return measured(
        [
            [tool, "build", *where],
            [tool, "export", "enriched_feedback", *where, "-o", str(target), "--columns", columns],
        ],
        {"WORKBENCH_MEMORY_LIMIT": limit} if limit else None,
    )


def by_polars(folder: Path, target: Path, *, full: bool) -> Run:
    """Run the script in polars."""
    part = "full" if full else "narrow"
    return measured([[sys.executable, str(HERE / "by_polars.py"), str(folder), str(target), part]])


def floor(folder: Path, target: Path, *, full: bool, rows: int) -> Run:
    """Read the columns that are needed once, and write as many rows as the table has."""
    wide = ", ".join(("request_id", *WIDE)) if full else "request_id"
    read = (
        "SELECT count(request_id), count(ts), count(model_version), count(user_id), "
        "count(session_id), count(score), count(prediction), count(latency_ms), count(device), "
        f"count(cohort) FROM '{folder}/logs/*.parquet'; FROM '{folder}/feedback.parquet'"
    )
    total = duckdb.sql(f"SELECT count(*) FROM '{folder}/logs/*.parquet'").fetchall()[0][0]
    write = (
        f"COPY (SELECT {wide} FROM '{folder}/logs/*.parquet' "
        f"WHERE hash(request_id) % 1000 < {round(1000 * rows / total)}) "
        f"TO '{target}' (FORMAT parquet, COMPRESSION zstd)"
    )
    code = f"import duckdb; duckdb.sql({read!r}).fetchall(); duckdb.sql({write!r})"
    return measured([[sys.executable, "-c", code]])


def answer(target: Path, *, full: bool, flat: bool) -> tuple[int, int]:
    """Rows of a table, and the sum of a hash of each whole row."""
    contexts = [name if flat else FLAT[name] for name in FLAT]
    cells = [*NARROW, *contexts, *(WIDE if full else ())]
    # Means are added up in another order here and there.
    cells[cells.index(contexts[-1])] = f"round({contexts[-1]}, 6)"
    typed = [
        f"CAST({cell} AS {'BIGINT' if 'orders' in cell or cell == 'amount' else 'VARCHAR'})"
        for cell in cells
    ]
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        n, total = connection.execute(
            f"SELECT count(*), sum(hash({', '.join(typed)})::HUGEINT) FROM '{target}'"
        ).fetchall()[0]
    return int(n), int(total)


def main() -> None:
    """Make the worlds, let the contestants take turns, print what they took."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--shapes", default="even,skew")
    parser.add_argument("--part", choices=("full", "narrow"), default="full")
    parser.add_argument("--storage", choices=("in_place", "copy"), default="in_place")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--memory-limit")
    parser.add_argument("--alone", action="store_true", help="without the peers")
    parser.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir()) / "worlds")
    given = parser.parse_args()
    full = given.part == "full"
    for shape in given.shapes.split(","):
        folder = given.folder / f"{shape}-{given.rows}-{given.part}"
        world.write(folder, given.rows, world.SHAPES[shape], payload=full, storage=given.storage)
        taken = alone if given.alone else compare
        print(json.dumps(taken(folder, given.runs, full=full, limit=given.memory_limit)))


def alone(folder: Path, n: int, *, full: bool, limit: str | None) -> dict[str, object]:
    """Let the workbench build one world; the table has every event that names its inference."""
    target = folder / "workbench.parquet"
    runs = [by_workbench(folder, target, full=full, limit=limit) for _ in range(n)]
    named = duckdb.sql(
        "SELECT count(*) FROM (SELECT feedback_id, min(ts) AS ts "
        f"FROM '{folder}/feedback.parquet' WHERE value <> '7' GROUP BY 1) "
        f"JOIN '{folder}/feedback.parquet' USING (feedback_id, ts) "
        "WHERE value <> '7' AND rater_id <> 'load-test' AND request_id NOT LIKE 'lost-%'"
    ).fetchall()
    found = duckdb.sql(
        f"SELECT count(DISTINCT feedback_id) FROM '{target}' WHERE method = 'request_id'"
    ).fetchall()
    if found != named:
        sys.exit(f"{folder.name}: {found} events have the inference that they name, not {named}")
    medians = {key: statistics.median(getattr(run, key) for run in runs) for key in KEYS}
    return {"world": folder.name, "named": named[0][0], "workbench": medians}


def compare(folder: Path, n: int, *, full: bool, limit: str | None) -> dict[str, object]:
    """Let the contestants take turns over one world."""
    ours, theirs = folder / "workbench.parquet", folder / "polars.parquet"
    runs: dict[str, list[Run]] = {"workbench": [], "polars": [], "floor": []}
    wanted = (0, 0)
    for _ in range(n):
        runs["polars"].append(by_polars(folder, theirs, full=full))
        wanted = answer(theirs, full=full, flat=True)
        runs["workbench"].append(by_workbench(folder, ours, full=full, limit=limit))
        found = answer(ours, full=full, flat=False)
        if found != wanted:
            sys.exit(f"{folder.name}: the answers differ: {found}, polars {wanted}")
        target = folder / "floor.parquet"
        runs["floor"].append(floor(folder, target, full=full, rows=wanted[0]))
    return {"world": folder.name, "rows": wanted[0], **summary(runs)}


def summary(runs: Mapping[str, Sequence[Run]]) -> dict[str, object]:
    """Medians of each contestant, and the ratios to polars and to the floor."""
    medians = {
        name: {key: statistics.median(getattr(run, key) for run in taken) for key in KEYS}
        for name, taken in runs.items()
    }
    ours = medians["workbench"]
    ratios = {
        f"{key}_to_{peer}": round(ours[key] / medians[peer][key], 3)
        for peer in ("polars", "floor")
        for key in KEYS
    }
    rounded = {name: {k: round(v, 2) for k, v in one.items()} for name, one in medians.items()}
    return {**rounded, "ratios": ratios}


if __name__ == "__main__":
    main()
