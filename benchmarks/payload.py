"""One record with its texts, found by its id in a warm process, and what that costs in bytes.

``python -m benchmarks.payload --rows 10000000`` builds a world (see `end_to_end.world`) whose logs
are copied into the lake, and opens records at random, as the page and the API do it. Against them
the same rows of ``enriched_inferences`` by SQL, which must be equal. The size of the lake's files
is compared with the size that the same rows have in files without filters and in row groups of the
library's own choice.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.end_to_end import world
from workbench import engine
from workbench.lake import Lake
from workbench.query import Build, open_build
from workbench.record import record

#: Rows of a row group in the library's own choice.
PLAIN_ROWS = 1024 * 1024


def timed(call: Callable[[str], Any], ids: list[str]) -> dict[str, float]:
    """Milliseconds of one call, over all `ids`."""
    wall, cpu = [], []
    for name in ids:
        began, worked = time.perf_counter(), time.process_time()
        call(name)
        wall.append(1000 * (time.perf_counter() - began))
        cpu.append(1000 * (time.process_time() - worked))
    return {
        "p50": round(statistics.median(wall), 1),
        "p95": round(statistics.quantiles(wall, n=20)[-1], 1),
        "cpu_p50": round(statistics.median(cpu), 1),
    }


def larger(project: Path) -> float:
    """Size of the lake's inferences, in parts of their size in plain files."""
    own = Lake(project / ".workbench")
    with tempfile.TemporaryDirectory() as name:
        plain = Lake(Path(name), row_group_rows=PLAIN_ROWS, keys=())
        with engine.connect() as connection:
            rows = engine.reader(connection, f"FROM {own.relation('inferences')}")
            plain.append("inferences", rows)
        sizes = [
            sum((lake.state / file).stat().st_size for file in lake.files("inferences"))
            for lake in (own, plain)
        ]
    return sizes[0] / sizes[1]


def by_sql(build: Build, name: str) -> dict[str, Any]:
    """The row of the view."""
    (row,) = build.arrow(
        "FROM enriched_inferences WHERE request_id = $id", {"id": name}
    ).to_pylist()
    return dict(row)


def main() -> int:
    """Build, compare, time, and print one JSON line."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--records", type=int, default=200)
    parser.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir()) / "worlds")
    given = parser.parse_args()
    project = world.built(given.folder, given.rows, payload=True, storage="copy")
    with open_build(project) as build:
        some = build.arrow(
            f"SELECT request_id FROM narrow.inferences USING SAMPLE {2 * given.records} "
            "(reservoir, 7)"
        )
        ids = some["request_id"].to_pylist()
        for name in ids[:20]:
            if record(build, name) != by_sql(build, name):
                sys.exit(f"{name} is another record than the view's")
        timed(lambda name: record(build, name), ids[: given.records])
        found = {
            "record": timed(lambda name: record(build, name), ids[given.records :]),
            "sql": timed(lambda name: by_sql(build, name), ids[given.records :][:20]),
        }
    print(json.dumps({"rows": given.rows, "milliseconds": found,
                      "size_to_plain": round(larger(project), 4)}))  # fmt: skip
    return 0


if __name__ == "__main__":
    sys.exit(main())
