"""How long commands take to start, as shares of the time of importing what they stand on.

- ``workbench --help`` and ``workbench status``, of importing Streamlit
- ``workbench sql`` on a small build, of importing DuckDB, PyArrow and Ibis, the last of which it
  does without
- the dashboard's modules, of importing Streamlit, Plotly, pandas and Ibis

All are run in turn, so that a slow moment of the machine meets each, and their medians are
compared. The absolute times say more about the machine than about the program; the shares do not.
Processor seconds stand beside those of the wall.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

TOOL = str(Path(sys.executable).with_name("workbench"))
#: What is started, what it is compared with, and the greatest share that is allowed.
PAIRS = {
    "help": ("streamlit", 0.3),
    "status": ("streamlit", 0.3),
    "sql": ("engine", 0.8),
    "dashboard": ("pages", 1.3),
}
IMPORTS = {
    "streamlit": "import streamlit",
    "engine": "import duckdb, pyarrow, ibis",
    "pages": "import streamlit, plotly.graph_objects, pandas, ibis",
    "dashboard": "import workbench.ui.shell",
}


def taken(command: list[str]) -> tuple[float, float]:
    """Wall and processor seconds of a command."""
    start = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        sys.exit(f"{' '.join(command)} failed")
    return time.perf_counter() - start, usage.ru_utime + usage.ru_stime


def main() -> int:
    """Measure, print one JSON line, and return 1 when a share is above its limit."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=9)
    runs = parser.parse_args().runs
    with tempfile.TemporaryDirectory() as folder:
        project = str(Path(folder) / "demo")
        taken([TOOL, "demo", project, "-n", "1000", "--no-serve"])
        here = ["--project", project]
        commands = {
            "help": [TOOL, "--help"],
            "status": [TOOL, "status", *here],
            "sql": [TOOL, "sql", "SELECT count(*) FROM labels", *here],
            **{name: [sys.executable, "-c", code] for name, code in IMPORTS.items()},
        }
        times: dict[str, list[tuple[float, float]]] = {name: [] for name in commands}
        for run in range(runs + 1):
            for name, command in commands.items():
                found = taken(command)
                if run > 0:  # the first run warms the file cache
                    times[name].append(found)
    wall = {name: statistics.median(pair[0] for pair in found) for name, found in times.items()}
    cpu = {name: statistics.median(pair[1] for pair in found) for name, found in times.items()}
    shares = {name: cpu[name] / cpu[base] for name, (base, _) in PAIRS.items()}
    result = {
        "wall": {name: round(value, 3) for name, value in wall.items()},
        "cpu": {name: round(value, 3) for name, value in cpu.items()},
        "share_of_cpu": {name: round(value, 3) for name, value in shares.items()},
        "limits": {name: limit for name, (_, limit) in PAIRS.items()},
        "runs": runs,
    }
    print(json.dumps(result))
    return int(any(shares[name] >= limit for name, (_, limit) in PAIRS.items()))


if __name__ == "__main__":
    sys.exit(main())
