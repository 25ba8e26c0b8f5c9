"""What a build on a Spark cluster takes, by size: the slopes of ``docs/scale.md``.

``python -m benchmarks.scale --rows 100000,1000000 --spark .venv-cluster`` makes the world of
`benchmarks.end_to_end.world` for each size and builds it on a cluster of this machine (`cluster`).
``--spark`` names the environment that ``make cluster`` makes. One JSON line for each size, out of
Spark's own event log:

- `tasks`: processor seconds of the workers' tasks, bytes that they read, wrote and shuffled, the
  most bytes that one task shuffled to itself, and the greatest memory of a task
- `driver`: processor seconds of this process by stage; what it does is what stays on one machine
- `files`: bytes of the lake, of what Spark was given and of what the build has

Times are of processors and not of the clock: others may use the machine.
"""

from __future__ import annotations

import argparse
import json
import shutil
import tempfile
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

import workbench as wb
from benchmarks.end_to_end import world
from benchmarks.scale.cluster import cluster, home
from workbench import progress


def tasks(events: Path) -> dict[str, float]:
    """Sums over the tasks of an event log."""
    total: dict[str, float] = defaultdict(float)
    for line in events.read_text(errors="replace").splitlines():
        event = json.loads(line)
        if event["Event"] != "SparkListenerTaskEnd" or not (of := event.get("Task Metrics")):
            continue
        read = of["Shuffle Read Metrics"]
        shuffled = read["Local Bytes Read"] + read["Remote Bytes Read"]
        total["tasks"] += 1
        total["cpu_seconds"] += of["Executor CPU Time"] / 1e9
        total["gc_seconds"] += of["JVM GC Time"] / 1e3
        total["read_mb"] += of["Input Metrics"]["Bytes Read"] / 1e6
        total["written_mb"] += of["Output Metrics"]["Bytes Written"] / 1e6
        total["shuffled_mb"] += of["Shuffle Write Metrics"]["Shuffle Bytes Written"] / 1e6
        total["spilled_mb"] += of["Disk Bytes Spilled"] / 1e6
        total["most_shuffled_mb"] = max(total["most_shuffled_mb"], shuffled / 1e6)
        total["most_memory_mb"] = max(total["most_memory_mb"], of["Peak Execution Memory"] / 1e6)
    return {name: round(value, 2) for name, value in total.items()}


def size(folder: Path) -> float:
    """Megabytes of the Parquet and DuckDB files in a folder."""
    files = [path for path in folder.rglob("*") if path.suffix in (".parquet", ".duckdb")]
    return round(sum(path.stat().st_size for path in files) / 1e6, 1)


def measured(place: Path, folder: Path, rows: int, shape: str) -> dict[str, Any]:
    """Build one world on a cluster of its own."""
    project = folder / f"{shape}-{rows}"
    world.write(project, rows, world.SHAPES[shape], payload=False, storage="copy")
    shutil.rmtree(project / ".workbench", ignore_errors=True)
    taken: dict[str, float] = defaultdict(float)
    begin, since = progress.begin, [("start", time.process_time())]

    def begun(name: str, *given: Any, **named: Any) -> None:
        before, at = since.pop()
        now = time.process_time()
        taken[before] += now - at
        since.append((name, now))
        begin(name, *given, **named)

    progress.begin = begun
    try:
        with cluster(place, folder / f"cluster-{shape}-{rows}") as found:
            wb.open(project).build(spark=found.remote)
    finally:
        progress.begin = begin
    begun("end")
    (events,) = (folder / f"cluster-{shape}-{rows}").glob("app-*")
    state = project / ".workbench"
    return {
        "rows": rows,
        "shape": shape,
        "tasks": tasks(events),
        "driver": {name: round(value, 1) for name, value in taken.items() if name != "start"},
        "files": {name: size(state / name) for name in ("lake", "builds")},
    }


def main() -> None:
    """Measure each size that was asked for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", default="100000,1000000")
    parser.add_argument("--shape", choices=tuple(world.SHAPES), default="even")
    parser.add_argument("--spark", type=Path, default=Path(".venv-cluster"))
    parser.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir()) / "scale")
    given = parser.parse_args()
    place = home(given.spark)
    if place is None:
        parser.error("there is no Spark: make cluster")
    for rows in map(int, given.rows.split(",")):
        print(json.dumps(measured(place, given.folder, rows, given.shape)), flush=True)


if __name__ == "__main__":
    main()
