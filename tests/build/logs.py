"""A project of middle size whose files are many, dirty, and of every format."""

from __future__ import annotations

import gzip
import shutil
from pathlib import Path

import duckdb

CONFIG = """
[inferences]
source = "logs"
[feedback]
source = "events"
[feedback.signals.thumb]
kind = "binary"
[feedback.signals.stars]
kind = "rating"
scale = [1, 5]
[attribution]
fallback = ["user"]
[context.user]
source = "users.csv"
on = "user_id"
columns = ["tier", "age"]
"""

_START = "TIMESTAMPTZ '2026-03-01 00:00:00+00'"


def _calls(first: int, last: int) -> str:
    return (
        f"SELECT 'r' || i AS request_id, {_START} + to_seconds(i * 7) AS ts, "
        "'v' || (i % 3) AS model_version, 'u' || (i % 500) AS user_id, "
        "'question ' || repeat(i::VARCHAR, 20) AS input, 'answer ' || i AS output, "
        "CASE WHEN i % 2000 = 0 THEN 1.5 ELSE (hash(i) % 1000) / 1000 END AS confidence, "
        f"(i % 4)::VARCHAR AS prediction FROM range({first}, {last}) t(i)"
    )


def _events(first: int, last: int) -> str:
    """Events of which some are repeated, orphans, nameless or without a request_id."""
    return (
        "SELECT CASE WHEN i % 100 = 1 THEN 'f' || (i - 1) ELSE 'f' || i END AS feedback_id, "
        "CASE WHEN i % 50 = 2 THEN NULL WHEN i % 50 = 3 THEN 'x' || i ELSE 'r' || i END "
        f"AS request_id, {_START} + to_seconds(i * 7 + 3) AS ts, "
        "CASE WHEN i % 300 = 4 THEN NULL WHEN i % 2 = 0 THEN 'thumb' ELSE 'stars' END AS name, "
        "CASE WHEN i % 2 = 0 THEN i // 2 % 2 ELSE 1 + hash(i) % 5 END AS value, "
        f"'u' || (i % 500) AS user_id FROM range({first}, {last}) t(i)"
    )


def _write(sql: str, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        target = str(path).replace("'", "''")
        form = {".jsonl": "json", ".csv": "csv", ".parquet": "parquet"}[path.suffix]
        connection.execute(f"COPY ({sql} ORDER BY i) TO '{target}' (FORMAT {form})")


def _append(sql: str, path: Path) -> None:
    more = path.with_name("more" + path.suffix)
    _write(sql, more)
    rows = more.read_bytes()
    more.unlink()
    with path.open("ab") as file:
        file.write(rows if path.suffix == ".jsonl" else rows.partition(b"\n")[2])


def write_project(folder: Path) -> Path:
    """Write 30,000 inferences and 15,000 events; some cannot be read."""
    folder.mkdir(parents=True)
    (folder / "workbench.toml").write_text(CONFIG)
    logs, events = folder / "logs", folder / "events"
    _write(_calls(0, 8_000), logs / "a.jsonl")
    _write(_calls(7_990, 15_000), logs / "b.csv")
    _write(_calls(15_000, 25_000), logs / "c.parquet")
    _write(_calls(25_000, 30_000), logs / "d.jsonl")
    with (logs / "a.jsonl").open("a") as file:
        file.write("not json\n")
    packed = gzip.compress((logs / "d.jsonl").read_bytes(), compresslevel=1, mtime=0)
    (logs / "d.jsonl.gz").write_bytes(packed[:-2000])
    (logs / "d.jsonl").unlink()
    _write(_events(0, 6_000), events / "a.jsonl")
    _write(_events(6_000, 12_000), events / "b.csv")
    _write(_events(12_000, 15_000), events / "c.parquet")
    with (events / "b.csv").open("a") as file:
        file.write("too,few\nf9,half a ro")
    _write_users(folder, 0)
    return folder


def write_more(folder: Path) -> Path:
    """Let files grow, add one, complete the truncated one, and write the context anew."""
    _append(_calls(30_000, 32_000), folder / "logs" / "a.jsonl")
    _write(_calls(32_000, 34_000), folder / "logs" / "e.parquet")
    _write(_calls(25_000, 30_000), folder / "logs" / "d.jsonl")
    packed = gzip.compress((folder / "logs/d.jsonl").read_bytes(), compresslevel=1, mtime=0)
    (folder / "logs/d.jsonl.gz").write_bytes(packed)
    (folder / "logs/d.jsonl").unlink()
    _append(_events(15_000, 17_000), folder / "events" / "a.jsonl")
    with (folder / "events/b.csv").open("a") as file:
        file.write("w,2026-03-01T00:00:00Z,thumb,1,u1\n")
    _write_users(folder, 1)
    return folder


def _write_users(folder: Path, turn: int) -> None:
    _write(
        f"SELECT 'u' || i AS user_id, 'tier' || ((i + {turn}) % 3) AS tier, 20 + i % 50 AS age "
        f"FROM range({turn}, 500) t(i)",
        folder / "users.csv",
    )


def copy_sources(folder: Path, to: Path) -> Path:
    """A project of the same files that was never built."""
    shutil.copytree(folder, to, ignore=shutil.ignore_patterns(".workbench"))
    return to
