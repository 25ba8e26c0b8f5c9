"""Tables of a real PostgreSQL server: every row and type, nothing twice, no password."""

from __future__ import annotations

import datetime
import sys
import uuid
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import duckdb
import pytest

import workbench
from tests.importers.postgres_server import PASSWORD, Running, running
from workbench.errors import ConfigError, DataError, NotFoundError, WorkbenchError
from workbench.importers import Part, importers

CONFIG = """
[inferences]
source = "{address}"
table = "calls"
columns = {{ request_id = "id", ts = "at", model_version = "'v1'" }}
[feedback]
source = "{address}"
table = "app.votes"
columns = {{ request_id = "call", ts = "at", name = "'stars'", value = "n" }}
[feedback.signals.stars]
kind = "rating"
scale = [1, 5]
[context.person]
source = "{address}"
table = "people"
join = "lookup"
on = {{ user_id = "who" }}
"""


@pytest.fixture(scope="module")
def server() -> Iterator[Running]:
    with running() as server:
        server.run(
            "CREATE SCHEMA app",
            "CREATE TABLE calls (id uuid, at timestamptz, user_id text, confidence numeric(4,3), "
            "embedding real[], payload jsonb, fee numeric, blob bytea, t text)",
            "INSERT INTO calls SELECT ('00000000-0000-0000-0000-00000000000' || i)::uuid, "
            "timestamptz '2026-01-01 01:00+01' + i * interval '1 second', 'ann', 0.125, "
            "'{0.5,-1}', '{\"a\": {\"b\": 1.5}}', 0.12345678901234567890, '\\x00ff', 'grüße' "
            "FROM generate_series(1, 3) i",
            "INSERT INTO calls (id) VALUES ('00000000-0000-0000-0000-00000000000a')",
            "CREATE TABLE app.votes (call uuid, at timestamptz, n int)",
            "INSERT INTO app.votes SELECT id, at + interval '1 minute', 5 FROM calls "
            "WHERE at IS NOT NULL LIMIT 1",
            "CREATE TABLE people (who text, tier text)",
            "INSERT INTO people VALUES ('ann', 'pro')",
        )
        yield server


@pytest.fixture(autouse=True)
def _password(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("APP_PASSWORD", PASSWORD)


def _project(folder: Path, server: Running, config: str = CONFIG) -> workbench.Workbench:
    (folder / "workbench.toml").write_text(config.format(address=server.address))
    return workbench.open(folder)


def test_a_build_receives_what_is_new_and_no_password_stays(
    server: Running, tmp_path: Path
) -> None:
    project = _project(tmp_path, server)
    first = project.build()
    status = project.status()
    assert (status["received"], status["attributed"]) == (1, 1)
    # Rows in are rows imported and quarantined: the call without a time is refused, and kept.
    assert (status["inferences"]["received"], status["inferences"]["invalid"]) == (4, 1)
    rows = project.sql(
        "SELECT request_id, ts, confidence, embedding, metadata->>'$.payload.a.b' AS b, "
        "metadata->>'$.fee' AS fee, metadata->>'$.blob' AS blob, metadata->>'$.t' AS t, "
        "person.tier AS tier FROM enriched_inferences ORDER BY 1 LIMIT 1"
    ).table.to_pylist()
    assert rows == [
        {
            "request_id": "00000000-0000-0000-0000-000000000001",
            "ts": datetime.datetime(2026, 1, 1, 0, 0, 1, tzinfo=datetime.UTC),
            "confidence": 0.125,
            "embedding": [0.5, -1.0],
            "b": "1.5",
            "fee": "0.12345678901234567890",
            "blob": "\\x00ff",
            "t": "grüße",
            "tier": "pro",
        }
    ]
    # Nothing is new: nothing is entered, and the build stays.
    again = workbench.open(tmp_path).build()
    assert (again["build"], again["fresh"]) == (first["build"], False)
    server.run(
        "INSERT INTO app.votes SELECT id, at + interval '2 minutes', 2 FROM calls "
        "WHERE id::text LIKE '%2'",
        "UPDATE app.votes SET n = 4 WHERE n = 5",
        "UPDATE people SET tier = 'gold'",
    )
    project = workbench.open(tmp_path)
    ingested = project.build()
    assert ingested["fresh"]
    status = project.status()
    # A changed row is another event; those that were read before are not received again.
    assert (status["received"], status["attributed"], status["duplicate"]) == (3, 3, 0)
    assert (status["inferences"]["received"], status["inferences"]["invalid"]) == (4, 1)
    tiers = project.sql("SELECT DISTINCT person.tier AS tier FROM enriched_inferences").table
    assert tiers["tier"].to_pylist() == ["gold"]
    # What was deleted there stays here, and is nothing new.
    server.run("DELETE FROM app.votes WHERE n = 2")
    assert not workbench.open(tmp_path).build()["fresh"]
    written = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert written
    assert not [p for p in written if PASSWORD.encode() in p.read_bytes()]
    names = project.sql("SELECT DISTINCT source_file FROM quarantine").table.to_pylist()
    assert names == [{"source_file": f"postgresql://{server.folder}/app/calls"}]


def test_another_mapping_takes_the_place_of_all_that_was_read(
    server: Running, tmp_path: Path
) -> None:
    server.run("CREATE TABLE log AS SELECT * FROM calls WHERE at IS NOT NULL LIMIT 1")
    config = CONFIG.replace('"calls"', '"log"').split("[context")[0]
    _project(tmp_path, server, config).build()
    server.run("INSERT INTO log SELECT * FROM calls WHERE id::text LIKE '%3'")
    _project(tmp_path, server, config).build()
    remapped = config.replace('ts = "at"', 'ts = "at", channel = "\'web\'"')
    project = _project(tmp_path, server, remapped)
    project.build()
    counts = project.status()["inferences"]
    assert (counts["received"], counts.get("duplicate", 0)) == (2, 0)
    channels = project.sql("SELECT DISTINCT channel FROM enriched_inferences").table
    assert channels["channel"].to_pylist() == ["web"]


def _staged(server: Running, table: str) -> list[tuple[object, ...]]:
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        part = Part(number=0, path=Path("db"), name="db", table=table, url=server.address)
        staged = importers.get("postgres").stage(connection, [part], "feedback")
        columns = staged.infer()
        listed = ", ".join(f"typeof({c.typed}), {c.typed}" for c in columns.values())
        return connection.execute(
            f"SELECT {listed} FROM {staged.relation} ORDER BY __row"
        ).fetchall()


def test_columns_keep_their_types_and_every_value(server: Running) -> None:
    server.run(
        "CREATE TYPE mood AS ENUM ('fine')",
        "CREATE DOMAIN share AS numeric(5,4)",
        'CREATE TABLE "Odd ""names" (t timestamptz, "T" timestamp, u uuid, n numeric(30,10), '
        "s share, j json, a bigint[], m float8[][], b bytea, d date, bo bool, f float8, e mood, "
        "r int4range, far timestamptz)",
        'INSERT INTO "Odd ""names" VALUES (\'2026-03-29 02:30:00.123456+02\', '
        "'2026-03-29 02:30', 'A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11', 12345678901234567890.5, "
        "0.1, '{\"a\":  1}', '{9007199254740993,NULL}', '{{1,2},{3,4}}', '\\x00ff', "
        "'2026-02-28', true, 0.1, 'fine', '[1,3)', 'infinity')",
        'INSERT INTO "Odd ""names" (f) VALUES (\'NaN\')',
    )
    first, second = _staged(server, 'Odd "names')
    utc = datetime.UTC
    assert list(zip(first[::2], first[1::2], strict=True))[:-1] == [
        ("TIMESTAMP WITH TIME ZONE", datetime.datetime(2026, 3, 29, 0, 30, 0, 123456, utc)),
        ("TIMESTAMP", datetime.datetime(2026, 3, 29, 2, 30)),
        ("UUID", uuid.UUID("a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11")),
        ("DECIMAL(30,10)", Decimal("12345678901234567890.5")),
        ("DECIMAL(5,4)", Decimal("0.1")),
        ("VARCHAR", '{"a":1}'),
        ("BIGINT[]", [9007199254740993, None]),
        ("DOUBLE[][]", [[1.0, 2.0], [3.0, 4.0]]),
        ("BLOB", b"\x00\xff"),
        ("DATE", datetime.date(2026, 2, 28)),
        ("BOOLEAN", True),
        ("DOUBLE", 0.1),
        ("VARCHAR", "fine"),
        ("VARCHAR", "[1,3)"),
    ]
    assert first[-2] == "TIMESTAMP WITH TIME ZONE"
    assert str(second[23]) == "nan"
    assert [value for value in second[1::2] if value is not None] == [second[23]]


def _stage(url: str, table: str | None = "calls") -> None:
    with duckdb.connect() as connection:
        part = Part(number=0, path=Path("db"), name="db", table=table, url=url)
        importers.get("postgres").stage(connection, [part], "inferences")


@pytest.mark.parametrize(
    ("change", "table", "kind", "message"),
    [
        ({}, "app.vote", ConfigError, "no table 'app.vote'"),
        ({}, None, ConfigError, "there are: app.votes, "),
        ({"owner:": "owner:x"}, "calls", DataError, "password authentication failed"),
        ({"/app?": "/none?"}, "calls", DataError, '"none" does not exist'),
        ({"pg": "nowhere"}, "calls", DataError, "cannot be reached"),
        ({"owner:${APP_PASSWORD}": "guest:guest"}, "calls", ConfigError, "A password stands in"),
        ({"APP_PASSWORD": "NO_SUCH"}, "calls", ConfigError, "export NO_SUCH="),
        ({"owner:${APP_PASSWORD}": "guest:${GUEST}"}, "calls", ConfigError, "GRANT SELECT ON"),
    ],
)
def test_what_is_wrong_is_said_without_the_password(
    server: Running,
    monkeypatch: pytest.MonkeyPatch,
    change: dict[str, str],
    table: str | None,
    kind: type[WorkbenchError],
    message: str,
) -> None:
    server.run("DROP USER IF EXISTS guest", "CREATE USER guest PASSWORD 'guest'")
    monkeypatch.setenv("GUEST", "guest")
    url = server.address
    for old, new in change.items():
        url = url.replace(old, new, 1)
    with pytest.raises(kind) as error:
        _stage(url, table)
    assert message in str(error.value)
    assert error.value.hint
    assert PASSWORD not in str(error.value)


def test_a_missing_driver_is_named(server: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "adbc_driver_postgresql", None)
    with pytest.raises(ConfigError, match="pip install"):
        _stage(server.address)


def test_init_names_the_tables(server: Running, tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match=r"app\.votes, .*calls"):
        workbench.init(tmp_path, [server.address], [server.address])
