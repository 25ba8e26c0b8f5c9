"""Tables of SQLite databases: every row and every digit, and no row twice when the table grows."""

from __future__ import annotations

import re
import sqlite3
from contextlib import closing
from pathlib import Path

import duckdb
import pytest

import workbench
from workbench.errors import ConfigError
from workbench.importers import Part, importers

CONFIG = """
[inferences]
source = "app.db"
table = "calls"
columns = { request_id = "id", ts = "at", model_version = "'v1'" }
[feedback]
source = "app.db"
table = "votes"
columns = { request_id = "call", ts = "at", name = "'stars'", value = "n" }
[feedback.signals.stars]
kind = "rating"
scale = [1, 5]
"""


def _run(path: Path, *statements: str) -> None:
    with closing(sqlite3.connect(path)) as database, database:
        for statement in statements:
            database.execute(statement)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("sqlite")
    (made / "workbench.toml").write_text(CONFIG)
    _run(
        made / "app.db",
        "CREATE TABLE calls (id TEXT, at TEXT, score REAL, tokens INTEGER, blob BLOB, said TEXT)",
        "INSERT INTO calls VALUES ('r1', '2026-01-01T00:00:00Z', 0.1234567890123456, "
        "9007199254740993, x'00ff', 'grüße \"quoted\"'), ('r2', '2026-01-01T00:00:01Z', NULL, "
        "NULL, NULL, NULL), (NULL, '2026-01-01T00:00:02Z', 0.5, 1, NULL, NULL)",
        "CREATE TABLE votes (call TEXT, at TEXT, n INTEGER)",
        "INSERT INTO votes VALUES ('r1', '2026-01-01T01:00:00Z', 5)",
        "CREATE VIEW good AS SELECT * FROM votes WHERE n > 3",
    )
    return made


def test_a_table_is_read_whole_and_read_on(folder: Path) -> None:
    project = workbench.open(folder)
    project.build()
    status = project.status()
    assert (status["received"], status["attributed"]) == (1, 1)
    assert status["inferences"]["received"] == 3
    assert status["inferences"]["invalid"] == 1
    # The program goes on writing, into its write-ahead log too.
    with closing(sqlite3.connect(folder / "app.db")) as database:
        database.execute("PRAGMA journal_mode = wal")
        database.execute("INSERT INTO votes VALUES ('r2', '2026-01-01T02:00:00Z', 1)")
        database.execute("UPDATE votes SET n = 4 WHERE call = 'r1'")
        database.commit()
        project = workbench.open(folder)
        project.build()
    status = project.status()
    # A changed row is another event; those that were read before are not received again.
    assert (status["received"], status["attributed"], status["duplicate"]) == (3, 3, 0)
    assert status["inferences"]["received"] == 3
    assert status["inferences"]["invalid"] == 1
    assert not any(project.ingest()["rows"].values())
    # Under another mapping what is there now takes the place of all that was read.
    _run(folder / "app.db", "UPDATE votes SET n = 2 WHERE call = 'r2'")
    (folder / "workbench.toml").write_text(CONFIG.replace('"n" }', '"n", channel = "\'web\'" }'))
    project = workbench.open(folder)
    project.build()
    assert project.status()["received"] == 2


def test_another_mapping_and_a_snapshot_of_facts_lose_no_row(tmp_path: Path) -> None:
    _run(
        tmp_path / "app.db",
        "CREATE TABLE calls (id TEXT, at TEXT, who TEXT)",
        "INSERT INTO calls VALUES ('r1', '2026-01-01T00:00:00Z', 'ann'), "
        "('r2', '2026-01-01T00:00:01Z', 'bob')",
        "CREATE TABLE votes (call TEXT, at TEXT, n INTEGER)",
        "INSERT INTO votes VALUES ('r1', '2026-01-01T01:00:00Z', 5)",
        "CREATE TABLE people (who TEXT, tier TEXT)",
        "INSERT INTO people VALUES ('ann', 'pro'), ('bob', 'free')",
    )
    config = CONFIG.replace('id", ts', 'id", user_id = "who", ts') + (
        "[context.person]\nsource = 'app.db'\ntable = 'people'\njoin = 'lookup'\n"
        "on = { user_id = 'who' }\n"
    )
    tiers = "SELECT request_id, person.tier AS tier FROM enriched_inferences ORDER BY 1"
    for also, expected in (("", ["pro", "free"]), (", channel = \"'web'\"", ["pro", "gold"])):
        (tmp_path / "workbench.toml").write_text(config.replace('"who", ts', f'"who"{also}, ts'))
        project = workbench.open(tmp_path)
        project.build()
        assert [row["tier"] for row in project.sql(tiers).table.to_pylist()] == expected
        assert project.status()["received"] == 1
        assert project.status()["inferences"]["received"] == 2
        _run(tmp_path / "app.db", "UPDATE people SET tier = 'gold' WHERE who = 'bob'")


def test_every_digit_is_kept(folder: Path) -> None:
    with duckdb.connect() as connection:
        part = Part(number=0, path=folder / "app.db", name="app.db", table="calls")
        staged = importers.get("sqlite").stage(connection, [part], "inferences")
        columns = staged.infer()
        listed = ", ".join(columns[n].typed for n in ("id", "score", "tokens", "blob", "said"))
        rows = connection.execute(
            f"SELECT {listed} FROM {staged.relation} ORDER BY __row"
        ).fetchall()
    assert rows[0] == ("r1", 0.1234567890123456, 9007199254740993, "00ff", 'grüße "quoted"')
    assert rows[1] == ("r2", None, None, None, None)


@pytest.mark.parametrize(
    ("table", "message"),
    [(None, "has 2 tables.*calls, good, votes"), ("vote", "has no table 'vote'.*votes")],
)
def test_which_table_is_asked_for(folder: Path, table: str | None, message: str) -> None:
    with duckdb.connect() as connection:
        part = Part(number=0, path=folder / "app.db", name="app.db", table=table)
        with pytest.raises(ConfigError) as error:
            importers.get("sqlite").stage(connection, [part], "feedback")
    assert re.search(message, str(error.value), re.DOTALL)


def test_a_view_can_be_read(folder: Path) -> None:
    with duckdb.connect() as connection:
        part = Part(number=0, path=folder / "app.db", name="app.db", table="good")
        staged = importers.get("sqlite").stage(connection, [part], "feedback")
        assert connection.execute(f"SELECT count(*) FROM {staged.relation}").fetchall()[0][0] >= 1


def test_what_is_no_database_is_refused_whole(tmp_path: Path) -> None:
    (tmp_path / "app.db").write_bytes(b"SQLite format 3\x00" + b"rubbish" * 100)
    with duckdb.connect() as connection:
        part = Part(number=0, path=tmp_path / "app.db", name="app.db")
        staged = importers.get("sqlite").stage(connection, [part], "feedback")
        refused = connection.execute(f"SELECT reason FROM {staged.refused}").fetchall()
    assert refused == [("unreadable_file",)]
