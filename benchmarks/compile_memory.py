"""Peak memory and speed of a compile of many long texts.

A project is made of a Parquet file of inferences with prompts and answers of 1 KB each, and of
thumbs for all of them; each text is random letters, so nothing is alike and nothing is compressed
away. Then a process of its own compiles all of them into a training set, split by user. What is
printed, as one JSON line: rows, seconds, rows per second, and the peak of the resident memory of
that process in MB, which are 1,000,000 bytes. The exit code is 1 where it is above `--most` MB.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import duckdb

CONFIG = """
[inferences]
source = "calls.parquet"
[feedback]
source = "thumbs.parquet"
[feedback.signals.thumb]
kind = "binary"
"""
START = "TIMESTAMPTZ '2026-01-01 00:00:00+00'"


def letters(i: str, salt: str, length: int) -> str:
    """SQL of a text of hexadecimal letters that depends on a number."""
    return (
        f"array_to_string(list_transform(range({length // 32}), "
        f"lambda k: md5({i} || '{salt}' || k)), '')"
    )


def write(folder: Path, n: int) -> None:
    """Write the project's files."""
    (folder / "workbench.toml").write_text(CONFIG, encoding="utf-8")
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        for name, columns in {
            "calls": f"'r' || i AS request_id, {START} + to_seconds(i) AS ts, 'v1' AS "
            f"model_version, 'u' || i % 5000 AS user_id, {letters('i', 'p', 1024)} AS input, "
            f"{letters('i', 'a', 1024)} AS output",
            "thumbs": f"'f' || i AS feedback_id, 'r' || i AS request_id, {START} + "
            "to_seconds(i + 60) AS ts, 'thumb' AS name, (hash(i) % 2)::INT AS value",
        }.items():
            connection.execute(
                f"COPY (SELECT {columns} FROM range({n}) t(i)) TO '{folder}/{name}.parquet' "
                "(FORMAT parquet, ROW_GROUP_SIZE 20000)"
            )


def compile_once(folder: Path, training_format: str) -> None:
    """Compile, and print what it took."""
    from workbench.datasets import Slice, compile_dataset, parse_split

    chosen = Slice(split=parse_split("user_id: train=0.9, test=0.1"))
    started = time.perf_counter()
    manifest = compile_dataset(
        folder, training_format.split("(")[0], chosen, training_format, narrate=narrate
    )
    seconds = time.perf_counter() - started
    found = {
        "training_format": training_format,
        "rows": manifest["rows"],
        "seconds": round(seconds, 1),
        "rows_per_second": round(manifest["rows"] / seconds),
        "peak_mb": round(peak_mb()),
    }
    print(json.dumps(found))


def narrate(text: str) -> None:
    """Say what is being done, and the peak so far."""
    print(f"{text} (peak so far {peak_mb():.0f} MB)", file=sys.stderr)


def peak_mb() -> float:
    """Peak of the resident memory of this process."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak * (1 if sys.platform == "darwin" else 1024) / 1e6


def main() -> int:
    """Make the project, compile it, and judge the peak."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("-n", type=int, default=1_000_000, help="inferences")
    parser.add_argument("--format", default="kto", help="training format")
    parser.add_argument("--most", type=float, default=1000, help="peak that is allowed, in MB")
    parser.add_argument("--folder", type=Path, help="where to work; a temporary folder otherwise")
    parser.add_argument("--write", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--compile", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.write:
        write(given.write, given.n)
        return 0
    if given.compile:
        compile_once(given.compile, given.format)
        return 0
    with tempfile.TemporaryDirectory(dir=given.folder) as temp:
        # The peak of a process starts at that of the one which started it: this one stays small.
        again = [sys.executable, __file__]
        subprocess.run([*again, "--write", temp, "-n", str(given.n)], check=True)
        subprocess.run(
            [sys.executable, "-m", "workbench.cli.main", "build", "--project", temp], check=True
        )
        command = [*again, "--compile", temp, "--format", given.format]
        done = subprocess.run(command, check=True, stdout=subprocess.PIPE)
        found = json.loads(done.stdout)
    print(json.dumps(found))
    return int(found["peak_mb"] > given.most)


if __name__ == "__main__":
    sys.exit(main())
