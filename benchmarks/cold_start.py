"""How long `workbench --help` takes, as a share of the time of importing Streamlit.

The two are run in turn, so that a slow moment of the machine meets both, and their medians are
compared. The absolute times say more about the machine than about the program; the share does not.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import time
from pathlib import Path

LIMIT = 0.3


def seconds(command: list[str]) -> float:
    """Wall time of a command in seconds."""
    start = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return time.perf_counter() - start


def main() -> int:
    """Measure, print one JSON line, and return 1 when the share is above the limit."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=9)
    runs = parser.parse_args().runs
    commands = {
        "help": [str(Path(sys.executable).with_name("workbench")), "--help"],
        "streamlit": [sys.executable, "-c", "import streamlit"],
    }
    times: dict[str, list[float]] = {name: [] for name in commands}
    for run in range(runs + 1):
        for name, command in commands.items():
            taken = seconds(command)
            if run > 0:  # the first run warms the file cache
                times[name].append(taken)
    median = {name: statistics.median(values) for name, values in times.items()}
    share = median["help"] / median["streamlit"]
    result = {
        "help_seconds": round(median["help"], 4),
        "import_streamlit_seconds": round(median["streamlit"], 4),
        "share": round(share, 4),
        "limit": LIMIT,
        "runs": runs,
    }
    print(json.dumps(result))
    return int(share >= LIMIT)


if __name__ == "__main__":
    sys.exit(main())
