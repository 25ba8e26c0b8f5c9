"""A world of inferences, feedback and contexts, the same for the same size and shape.

`write(folder, rows, shape)` makes a project folder: 30 days of logs with about 1 KB of prompt and
answer a row, feedback on a fifth of them with every kind of trouble, and four contexts. Everything
follows from the row's number by hashing, so a world of one size is always the same.

The shape ``even`` spreads users and days evenly and the feedback comes within an hour. In ``skew``
one user has 5 % of the rows, one day 30 %, half of the feedback comes seven days late, and texts
are four times as long.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import duckdb

ROOT = Path(__file__).parents[2]
DAYS = 30
START = "TIMESTAMPTZ '2026-01-01 00:00:00+00'"
#: Microseconds.
DAY, HOUR, MINUTE = 86_400_000_000, 3_600_000_000, 60_000_000
CONFIG = """
[project]
name = "world"

[inferences]
source = "logs/*.parquet"
storage = "{storage}"

[feedback]
source = "feedback.parquet"
spam = "rater_id = 'load-test'"
[feedback.signals.thumb]
kind = "binary"

[attribution]
fallback = ["session", "user"]
window = "1h"

[context.profile]
source = "profiles.parquet"
join = "as_of"
on = "user_id"
ts = "valid_from"
columns = ["tier", "country"]

[context.health]
source = "health.parquet"
join = "as_of"
on = "model_version"
ts = "minute"
columns = ["error_rate"]

[context.orders]
source = "orders.parquet"
join = "within"
on = "user_id"
ts = "ordered_at"
horizon = "24h"
aggregates = {{ n = "count", amount = "sum(amount)" }}

[context.earlier]
from = "inferences"
join = "history"
on = "user_id"
k = 3
aggregates = {{ latency = "mean(latency_ms)" }}
"""


@dataclass(frozen=True)
class Shape:
    """How rows are spread, and how long their texts are."""

    name: str
    heavy_user: int
    heavy_day: int
    late: int
    text: int


SHAPES = {
    "even": Shape("even", heavy_user=0, heavy_day=0, late=0, text=1),
    "skew": Shape("skew", heavy_user=5, heavy_day=30, late=50, text=4),
}


def write(folder: Path, rows: int, shape: Shape, *, payload: bool, storage: str) -> None:
    """Make the project folder, or leave it as it is where it has been made before."""
    made = folder / "made"
    wanted = f"{rows} {shape} {payload} 1"
    if not (made.exists() and made.read_text() == wanted):
        shutil.rmtree(folder, ignore_errors=True)
        (folder / "logs").mkdir(parents=True)
        with duckdb.connect() as connection:
            connection.execute("SET TimeZone = 'UTC'; SET preserve_insertion_order = false")
            _write(connection, folder, rows, shape, payload=payload)
        made.write_text(wanted)
    (folder / "workbench.toml").write_text(CONFIG.format(storage=storage))


def built(folder: Path, rows: int, *, payload: bool, storage: str) -> Path:
    """An even project of so many inferences in `folder`, with its build."""
    project = folder / f"{storage}-{rows}"
    if not (project / ".workbench" / "current").exists():
        write(project, rows, SHAPES["even"], payload=payload, storage=storage)
        command = [sys.executable, "-m", "workbench.cli.main", "build", "--project", str(project)]
        subprocess.run(command, check=True, cwd=ROOT, stdout=subprocess.DEVNULL)
    return project


def _write(
    connection: duckdb.DuckDBPyConnection, folder: Path, rows: int, shape: Shape, *, payload: bool
) -> None:
    users = max(20, rows // 250)
    # The rows of a heavy day lie closer together in time; no two rows share a microsecond.
    heavy = rows * shape.heavy_day // 100
    light = (rows - heavy) // (DAYS - 1) + 1
    first = 14 * light
    connection.execute("CREATE MACRO dice(i, salt, sides) AS CAST(hash(i, salt) % sides AS BIGINT)")
    connection.execute(
        "CREATE MACRO moment(i) AS CASE "
        f"WHEN {heavy} = 0 THEN i * {DAYS * DAY // rows} "
        f"WHEN i < {first} THEN i * {DAY // light} "
        f"WHEN i < {first + heavy} THEN 14 * {DAY} + (i - {first}) * {DAY // max(1, heavy)} "
        f"ELSE 15 * {DAY} + (i - {first + heavy}) * {DAY // light} END"
    )
    connection.execute(
        f"CREATE MACRO who(i) AS CASE WHEN dice(i, 'heavy', 100) < {shape.heavy_user} THEN 'u0' "
        f"ELSE 'u' || dice(i, 'user', {users}) END"
    )
    connection.execute(f"CREATE MACRO session_of(i) AS who(i) || '-' || moment(i) // {6 * HOUR}")
    connection.execute("CREATE MACRO request(i) AS md5('request' || i)")
    texts = (
        f", {_text('i', 'prompt', 20 * shape.text)} AS input, "
        f"{_text('i', 'answer', 12 * shape.text)} AS output, "
        "list_transform(range(10), lambda k: (dice(i, k, 20000)) / 1000.0 - 10) AS logits"
        if payload
        else ""
    )
    columns = (
        f"request(i) AS request_id, {START} + to_microseconds(moment(i)) AS ts, "
        "'v' || dice(i, 'version', 3) AS model_version, who(i) AS user_id, "
        "session_of(i) AS session_id, (dice(i, 'score', 10000)) / 10000.0 AS score, "
        "CASE WHEN dice(i, 'score', 10000) >= 5000 THEN '1' ELSE '0' END AS prediction, "
        "(dice(i, 'latency', 100000)) / 100.0 AS latency_ms, "
        "['web', 'ios', 'android'][dice(i, 'device', 3) + 1] AS device, "
        f"['a', 'b'][dice(i, 'cohort', 2) + 1] AS cohort{texts}"
    )
    step = -(-rows // DAYS)
    for part in range(DAYS):
        low, high = part * step, min(rows, (part + 1) * step)
        connection.execute(
            f"COPY (SELECT {columns} FROM range({low}, {high}) t(i)) "
            f"TO '{folder}/logs/{part:02d}.parquet' (FORMAT parquet, COMPRESSION zstd)"
        )
    _feedback(connection, folder, rows, shape)
    _contexts(connection, folder, rows, users)


def _text(i: str, salt: str, chunks: int) -> str:
    """SQL of a text of hexadecimal words, 32 letters each, which hardly compress."""
    words = f"list_transform(range({chunks}), lambda k: md5({i} || '{salt}' || k))"
    return f"array_to_string({words}, ' ')"


def _feedback(connection: duckdb.DuckDBPyConnection, folder: Path, rows: int, shape: Shape) -> None:
    """Events on a fifth of the inferences: known, by session, by user, lost, doubled, bad, spam."""
    events = rows // 5
    connection.execute(
        "COPY (SELECT CASE WHEN d BETWEEN 960 AND 974 AND j > 0 THEN 'f' || j - 1 "
        "ELSE 'f' || j END AS feedback_id, "
        "CASE WHEN d < 900 OR d >= 960 THEN request(i) WHEN d < 910 THEN 'lost-' || j END "
        "AS request_id, "
        "CASE WHEN d BETWEEN 910 AND 944 THEN session_of(i) END AS session_id, "
        "CASE WHEN d BETWEEN 945 AND 959 THEN who(i) END AS user_id, "
        f"{START} + to_microseconds(moment(i) + delay) AS ts, 'thumb' AS name, "
        "CASE WHEN d BETWEEN 975 AND 984 THEN '7' ELSE CAST(dice(j, 'value', 2) AS VARCHAR) "
        "END AS value, CASE WHEN d >= 985 THEN 'load-test' ELSE who(i) END AS rater_id, "
        "'said of it ' || j AS comment "
        f"FROM (SELECT j, dice(j, 'which', {rows}) AS i, dice(j, 'dice', 1000) AS d, "
        f"CASE WHEN dice(j, 'late', 100) < {shape.late} AND dice(j, 'dice', 1000) < 900 "
        f"THEN {7 * DAY} ELSE 0 END + dice(j, 'delay', {HOUR}) AS delay "
        f"FROM range({events}) t(j))) TO '{folder}/feedback.parquet' (FORMAT parquet)"
    )


def _contexts(connection: duckdb.DuckDBPyConnection, folder: Path, rows: int, users: int) -> None:
    connection.execute(
        "COPY (SELECT 'u' || u AS user_id, "
        f"{START} + to_microseconds(dice(u || ':' || v, 'from', {DAYS * DAY}) - {3 * DAY}) "
        "AS valid_from, ['free', 'plus', 'pro'][dice(u || ':' || v, 'tier', 3) + 1] AS tier, "
        "['de', 'fr', 'us', 'jp'][dice(u, 'c', 4) + 1] AS country "
        f"FROM range({users}) t(u), range(3) s(v)) TO '{folder}/profiles.parquet' (FORMAT parquet)"
    )
    connection.execute(
        f"COPY (SELECT 'v' || v AS model_version, {START} + to_microseconds(m * {MINUTE}) "
        "AS minute, (dice(m, v, 1000)) / 10000.0 AS error_rate "
        f"FROM range({DAYS * 1440}) t(m), range(3) s(v)) TO '{folder}/health.parquet' "
        "(FORMAT parquet)"
    )
    connection.execute(
        f"COPY (SELECT 'o' || o AS order_id, 'u' || dice(o, 'buyer', {users}) AS user_id, "
        f"{START} + to_microseconds(dice(o, 'when', {DAYS * DAY})) AS ordered_at, "
        f"dice(o, 'amount', 10000) AS amount FROM range({rows // 25}) t(o)) "
        f"TO '{folder}/orders.parquet' (FORMAT parquet)"
    )
