"""What was read once is not received again, whatever happens to its files."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import duckdb
import pytest

from tests.ingest.folder import PLAIN, START, Folder, event, inference, lines, packed

Encode = Callable[[Sequence[int]], "str | bytes"]


def _jsonl(numbers: Sequence[int]) -> str:
    return lines(inference(n) for n in numbers)


def _csv_rows(numbers: Sequence[int]) -> str:
    return "".join(f"r{n},{START + n},v1\n" for n in numbers)


def _csv(numbers: Sequence[int]) -> str:
    return "request_id,ts,model_version\n" + _csv_rows(numbers)


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder.make(tmp_path / "project")


# --- the same again ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.jsonl", _jsonl(range(3))),
        ("a.csv", _csv(range(3))),
        ("a.jsonl.gz", packed(_jsonl(range(3)))),
        ("a.csv.gz", packed(_csv(range(3)))),
        ("a.json", json.dumps([inference(n) for n in range(3)])),
    ],
)
def test_ingesting_again_adds_nothing(folder: Folder, name: str, content: str | bytes) -> None:
    path = folder.write(f"logs/{name}", content)
    first = folder.ingest()
    assert first["rows"] == {"inferences": 3, "feedback": 1}
    os.utime(path)
    again = folder.ingest()
    assert not any(again["rows"].values())
    assert not any(again["refused"].values())
    assert not any(again["files"].values())
    folder.build()
    assert folder.ids() == ["r0", "r1", "r2"]
    assert folder.status()["inferences"]["received"] == 3


def test_ingesting_parquet_again_adds_nothing(folder: Folder) -> None:
    path = folder.path / "logs" / "a.parquet"
    path.parent.mkdir()
    duckdb.sql(
        f"SELECT 'r' || i AS request_id, to_timestamp({START} + i) AS ts, 'v1' AS model_version "
        "FROM range(3) t(i)"
    ).write_parquet(str(path))
    folder.ingest()
    os.utime(path)
    assert not any(folder.ingest()["rows"].values())
    folder.build()
    assert folder.status()["inferences"]["received"] == 3


def test_refused_rows_are_not_received_again(folder: Folder) -> None:
    folder.write("logs/a.jsonl", _jsonl([0]) + "not json\n")
    folder.ingest()
    folder.append("logs/a.jsonl", _jsonl([1]))
    folder.ingest()
    folder.build()
    assert folder.ids() == ["r0", "r1"]
    assert folder.refused() == [("not_json", None, 2, "not json")]


# --- a file that grew -------------------------------------------------------------------------


def _plain(text: str) -> str:
    return text


@pytest.mark.parametrize(
    ("name", "first", "more", "encode"),
    [
        ("a.jsonl", _jsonl([0, 1]), _jsonl([2, 3]), _plain),
        ("a.csv", _csv([0, 1]), _csv_rows([2, 3]), _plain),
        # Without a line break at the end of what was read first.
        ("a.jsonl", _jsonl([0, 1]).rstrip(), "\n" + _jsonl([2, 3]), _plain),
        ("a.csv", _csv([0, 1]).rstrip(), "\n" + _csv_rows([2, 3]), _plain),
        ("a.csv", _csv([0, 1]).replace("\n", "\r\n").rstrip(),
         "\r\n" + _csv_rows([2, 3]).replace("\n", "\r\n"), _plain),
        ("a.jsonl", "\ufeff" + _jsonl([0, 1]), _jsonl([2, 3]), _plain),
        ("a.csv", "\ufeff" + _csv([0, 1]), _csv_rows([2, 3]), _plain),
        # Each stretch is a gzip member of its own, as loggers that append write them.
        ("a.jsonl.gz", _jsonl([0, 1]), _jsonl([2, 3]), packed),
        ("a.csv.gz", _csv([0, 1]), _csv_rows([2, 3]), packed),
        ("a.jsonl.gz", _jsonl([0, 1]).rstrip(), "\n" + _jsonl([2, 3]), packed),
        ("a.csv.gz", _csv([0, 1]).rstrip(), "\n" + _csv_rows([2, 3]), packed),
    ],
)  # fmt: skip
def test_a_grown_file_is_read_on(
    folder: Folder, name: str, first: str, more: str, encode: Callable[[str], str | bytes]
) -> None:
    folder.write(f"logs/{name}", encode(first))
    assert folder.ingest()["rows"]["inferences"] == 2
    folder.append(f"logs/{name}", encode(more))
    assert folder.ingest()["rows"]["inferences"] == 2
    folder.append(f"logs/{name}", encode("" if name.startswith("a.csv") else _jsonl([4])))
    folder.build()
    last = [] if name.startswith("a.csv") else ["r4"]
    assert folder.ids() == ["r0", "r1", "r2", "r3", *last]
    assert folder.refused() == []
    assert folder.status()["inferences"]["received"] == 4 + len(last)


@pytest.mark.parametrize("name", ["a.jsonl", "a.csv"])
def test_row_numbers_go_on_in_a_grown_file(folder: Folder, name: str) -> None:
    header = 1 if name == "a.csv" else 0
    good = _csv_rows if header else _jsonl
    bad = "r9,,v1\n" if header else lines([{"request_id": "r9", "model_version": "v1"}])
    folder.write(f"logs/{name}", (_csv([0]) if header else _jsonl([0])) + bad)
    folder.ingest()
    folder.append(f"logs/{name}", good([1]) + bad)
    folder.ingest()
    folder.append(f"logs/{name}", bad)
    folder.build()
    rows = [(reason, field, row) for reason, field, row, _ in folder.refused()]
    assert rows == [("missing_value", "ts", header + n) for n in (2, 4, 5)]


@pytest.mark.parametrize("cut", [1, 20, -3, -1])
def test_a_half_written_line_becomes_one_event(folder: Folder, cut: int) -> None:
    folder.write("logs/a.jsonl", _jsonl([0]))
    whole = lines([event(1)]).rstrip()
    folder.append("events/first.jsonl", whole[:cut])
    folder.build()
    status = folder.status()
    assert (status["received"], status["invalid"]) == (2, 1)
    assert status["quarantine"] == {"incomplete": 1}
    assert folder.refused("feedback") == [("incomplete", None, 2, whole[:cut])]
    folder.append("events/first.jsonl", whole[cut:] + "\n" + lines([event(2)]))
    folder.build()
    status = folder.status()
    assert (status["received"], status["invalid"], status["duplicate"]) == (3, 0, 0)
    assert folder.ask("SELECT feedback_id, source_row FROM feedback ORDER BY 1") == [
        ("f0", 1), ("f1", 2), ("f2", 3),
    ]  # fmt: skip
    assert folder.refused("feedback") == []


def test_a_line_is_completed_in_several_steps(folder: Folder) -> None:
    folder.write("logs/a.jsonl", _jsonl([0]))
    whole = lines([event(1, comment="süß 🎉")]).encode()
    start = 0
    # One of the cuts falls into the middle of a character.
    for stop in (5, whole.index("🎉".encode()) + 2, len(whole) - 2, len(whole)):
        folder.append("events/first.jsonl", whole[start:stop])
        folder.ingest()
        start = stop
    folder.build()
    assert folder.ask("SELECT comment FROM feedback WHERE feedback_id = 'f1'") == [("süß 🎉",)]
    assert folder.refused("feedback") == []
    assert folder.status()["received"] == 2


@pytest.mark.parametrize("cut", [2, 4, -1])
def test_a_half_written_csv_row_becomes_one_row(folder: Folder, cut: int) -> None:
    """Also where the stump has every column, and so was taken for a whole row."""
    whole = f"r2,{START + 2},v17"
    folder.write("logs/a.csv", _csv([0, 1]) + whole[:cut])
    folder.build()
    assert folder.status()["inferences"]["received"] == 3
    folder.append("logs/a.csv", whole[cut:] + "\n" + _csv_rows([3]))
    folder.build()
    found = folder.ask("SELECT request_id, model_version FROM inferences ORDER BY 1")
    assert found == [("r0", "v1"), ("r1", "v1"), ("r2", "v17"), ("r3", "v1")]
    assert folder.refused() == []
    assert folder.status()["inferences"]["received"] == 4


def test_a_quoted_csv_value_is_completed_later(folder: Folder) -> None:
    header = "request_id,ts,model_version,input\n"
    folder.write("logs/a.csv", header + f'r0,{START},v1,"two\nlines"\nr1,{START + 1},v1,"half\na')
    folder.build()
    assert "r0" in folder.ids()
    folder.append("logs/a.csv", ' line"\n')
    folder.build()
    assert folder.ask("SELECT request_id, input FROM inferences ORDER BY 1") == [
        ("r0", "two\nlines"),
        ("r1", "half\na line"),
    ]
    assert folder.refused() == []
    assert folder.status()["inferences"]["received"] == 2


def test_a_whole_line_that_goes_on_is_judged_anew(folder: Folder) -> None:
    folder.write("logs/a.jsonl", _jsonl([0, 1]).rstrip())
    folder.ingest()
    folder.append("logs/a.jsonl", " and more\n" + _jsonl([2]))
    folder.build()
    assert folder.ids() == ["r0", "r2"]
    assert [(reason, row) for reason, _, row, _ in folder.refused()] == [("not_json", 2)]


def test_an_empty_file_is_read_once_it_has_content(folder: Folder) -> None:
    folder.write("logs/a.jsonl", _jsonl([0]))
    folder.write("logs/b.jsonl", "")
    folder.write("logs/c.csv", "")
    folder.ingest()
    folder.append("logs/b.jsonl", _jsonl([1]))
    folder.append("logs/c.csv", "request_id,ts,")
    folder.ingest()
    folder.append("logs/c.csv", "model_version\n")
    folder.ingest()
    folder.append("logs/c.csv", _csv_rows([2]))
    folder.build()
    assert folder.ids() == ["r0", "r1", "r2"]
    assert folder.refused() == []


# --- renamed, rotated, copied -----------------------------------------------------------------


@pytest.mark.parametrize("name", ["a.jsonl", "a.csv"])
def test_a_renamed_file_is_not_received_again(folder: Folder, name: str) -> None:
    suffix = Path(name).suffix
    start, more = (_csv, _csv_rows) if suffix == ".csv" else (_jsonl, _jsonl)
    folder.write(f"logs/{name}", start([0, 1]))
    folder.ingest()
    os.rename(folder.path / "logs" / name, folder.path / "logs" / f"b{suffix}")
    assert not any(folder.ingest()["rows"].values())
    folder.append(f"logs/b{suffix}", more([2]))
    assert folder.ingest()["rows"]["inferences"] == 1
    os.rename(folder.path / "logs" / f"b{suffix}", folder.path / "logs" / f"c{suffix}")
    folder.append(f"logs/c{suffix}", more([3]))
    folder.build()
    assert folder.ids() == ["r0", "r1", "r2", "r3"]
    assert folder.status()["inferences"]["received"] == 4


ROTATED = PLAIN.replace('source = "logs"', 'source = "logs/app.log*"\nformat = "jsonl"')


def test_rotated_logs(tmp_path: Path) -> None:
    folder = Folder.make(tmp_path / "project", ROTATED)
    logs = folder.path / "logs"
    folder.write("logs/app.log", _jsonl([0, 1]))
    folder.ingest()
    for number in range(2, 8, 2):
        # Between the two readings the log was written to, rotated and begun anew.
        folder.append("logs/app.log", _jsonl([number]))
        for turn in (2, 1):
            if (logs / f"app.log.{turn}").exists():
                os.rename(logs / f"app.log.{turn}", logs / f"app.log.{turn + 1}")
        os.rename(logs / "app.log", logs / "app.log.1")
        folder.write("logs/app.log", _jsonl([number + 1]))
        assert folder.ingest()["rows"]["inferences"] == 2
    (logs / "app.log.3").unlink()
    folder.build()
    assert folder.ids() == [f"r{n}" for n in range(8)]
    assert folder.status()["inferences"]["received"] == 8


def test_a_log_that_was_cut_and_begun_anew(folder: Folder) -> None:
    folder.write("logs/a.jsonl", _jsonl([0, 1]))
    folder.ingest()
    folder.write("logs/a.jsonl", _jsonl([2]))
    folder.ingest()
    folder.append("logs/a.jsonl", _jsonl([3]))
    folder.build()
    assert folder.ids() == ["r0", "r1", "r2", "r3"]
    assert folder.status()["inferences"]["received"] == 4


def test_a_copied_file_adds_nothing(folder: Folder) -> None:
    folder.write("logs/a.jsonl", _jsonl([0, 1]))
    folder.write("logs/b.jsonl", _jsonl([0, 1]))
    assert folder.ingest()["rows"]["inferences"] == 2
    shutil.copy(folder.path / "logs/a.jsonl", folder.path / "logs/c.jsonl")
    assert not any(folder.ingest()["rows"].values())
    folder.append("logs/b.jsonl", _jsonl([2]))
    folder.append("logs/c.jsonl", _jsonl([3]))
    folder.build()
    assert folder.ids() == ["r0", "r1", "r2", "r3"]
    assert folder.status()["inferences"]["received"] == 4


def test_two_files_that_begin_alike(folder: Folder) -> None:
    """The longer one is not taken for the shorter one grown: both are there from the start."""
    folder.write("logs/a.jsonl", _jsonl([0]))
    folder.write("logs/b.jsonl", _jsonl([0, 1]))
    folder.build()
    assert folder.ids() == ["r0", "r1"]
    folder.append("logs/a.jsonl", _jsonl([2]))
    folder.build()
    assert folder.ids() == ["r0", "r1", "r2"]
    received = folder.status()["inferences"]
    assert received["received"] == received["accepted"] + received["duplicate"]


def test_a_file_that_is_gone_keeps_its_rows(folder: Folder) -> None:
    folder.write("logs/a.jsonl", _jsonl([0, 1]))
    folder.build()
    (folder.path / "logs/a.jsonl").unlink()
    done = folder.build()
    assert folder.ids() == ["r0", "r1"]
    assert any("matches no files now" in note for note in done["notes"])


# --- contexts ---------------------------------------------------------------------------------

LOOKUP = PLAIN + '[context.user]\nsource = "users"\non = "user_id"\ncolumns = ["tier"]\n'


def _users(**tiers: str) -> str:
    return "user_id,tier\n" + "".join(f"{user},{tier}\n" for user, tier in tiers.items())


def _tiers(folder: Folder) -> dict[str, str | None]:
    return dict(folder.ask('SELECT request_id, "user".tier FROM enriched_inferences'))


def test_a_rewritten_context_replaces_its_old_rows(tmp_path: Path) -> None:
    folder = Folder.make(tmp_path / "project", LOOKUP)
    folder.write("logs/a.jsonl", lines(inference(n, user_id=f"u{n}") for n in range(3)))
    folder.write("users/users.csv", _users(u0="free", u1="free"))
    folder.build()
    assert _tiers(folder) == {"r0": "free", "r1": "free", "r2": None}
    folder.write("users/users.csv", _users(u0="gold", u2="free"))
    folder.build()
    assert _tiers(folder) == {"r0": "gold", "r1": None, "r2": "free"}
    # And back: what was read before is in force again.
    folder.write("users/users.csv", _users(u0="free", u1="free"))
    folder.build()
    assert _tiers(folder) == {"r0": "free", "r1": "free", "r2": None}
    folder.append("users/users.csv", "u2,gold\n")
    folder.build()
    assert _tiers(folder) == {"r0": "free", "r1": "free", "r2": "gold"}
    # A file that grew is rewritten whole.
    folder.write("users/users.csv", _users(u0="gold", u1="gold", u2="gold"))
    folder.build()
    assert _tiers(folder) == {"r0": "gold", "r1": "gold", "r2": "gold"}


def test_one_of_several_context_files_is_rewritten(tmp_path: Path) -> None:
    folder = Folder.make(tmp_path / "project", LOOKUP)
    folder.write("logs/a.jsonl", lines(inference(n, user_id=f"u{n}") for n in range(2)))
    folder.write("users/a.csv", _users(u0="free"))
    folder.write("users/b.csv", _users(u1="free"))
    folder.ingest()
    folder.write("users/b.csv", _users(u1="gold"))
    folder.build()
    assert _tiers(folder) == {"r0": "free", "r1": "gold"}


# --- a changed mapping ------------------------------------------------------------------------

MAPPED = PLAIN.replace(
    'source = "logs"', 'source = "logs"\ncolumns = {{ model_version = "{version}" }}'
)


def _versions(folder: Folder) -> list[tuple[Any, ...]]:
    return folder.ask("SELECT request_id, model_version FROM inferences ORDER BY 1")


def test_a_changed_mapping_reads_files_again(tmp_path: Path) -> None:
    old, new = MAPPED.format(version="model_version"), MAPPED.format(version="upper(name)")
    folder = Folder.make(tmp_path / "project", old)
    folder.write("logs/a.jsonl", lines(inference(n, name="b") for n in range(2)))
    folder.build()
    folder.append("logs/a.jsonl", lines([inference(2, name="c")]) + "not json\n")
    folder.build()
    before = [("r0", "v1"), ("r1", "v1"), ("r2", "v1")]
    after = [("r0", "B"), ("r1", "B"), ("r2", "C")]
    assert _versions(folder) == before
    for config, expected in ((new, after), (old, before), (new, after)):
        folder.write("workbench.toml", config)
        folder.build()
        assert _versions(folder) == expected
        assert folder.status()["inferences"]["received"] == 4
        assert [row[0] for row in folder.refused()] == ["not_json"]
    folder.append("logs/a.jsonl", lines([inference(3, name="d")]))
    folder.build()
    assert _versions(folder) == [*after, ("r3", "D")]


def test_a_mapping_that_changed_while_the_file_grew(tmp_path: Path) -> None:
    folder = Folder.make(tmp_path / "project", MAPPED.format(version="model_version"))
    folder.write("logs/a.jsonl", lines(inference(n, name="b") for n in range(2)))
    folder.ingest()
    os.rename(folder.path / "logs/a.jsonl", folder.path / "logs/b.jsonl")
    folder.append("logs/b.jsonl", lines([inference(2, name="c")]))
    folder.write("workbench.toml", MAPPED.format(version="name"))
    folder.build()
    assert _versions(folder) == [("r0", "b"), ("r1", "b"), ("r2", "c")]
    assert folder.status()["inferences"]["received"] == 3


def test_files_that_are_gone_keep_their_rows_under_the_old_mapping(tmp_path: Path) -> None:
    folder = Folder.make(tmp_path / "project", MAPPED.format(version="model_version"))
    folder.write("logs/a.jsonl", lines([inference(0, name="b")]))
    folder.write("logs/b.jsonl", lines([inference(1, name="b")]))
    folder.build()
    (folder.path / "logs/a.jsonl").unlink()
    folder.write("workbench.toml", MAPPED.format(version="name"))
    folder.build()
    assert _versions(folder) == [("r0", "v1"), ("r1", "b")]


def test_a_changed_mapping_of_feedback_and_of_copies(tmp_path: Path) -> None:
    folder = Folder.make(tmp_path / "project")
    folder.write("logs/a.jsonl", _jsonl([0]))
    folder.write("events/second.jsonl", lines([event(0)]))
    folder.ingest()
    config = PLAIN.replace('source = "events"', 'source = "events"\ncolumns = { comment = "name" }')
    folder.write("workbench.toml", config)
    folder.build()
    assert folder.ask("SELECT feedback_id, comment FROM feedback") == [("f0", "thumb")]
    assert folder.status()["received"] == 1


def test_a_mapping_refuses_what_another_accepted(tmp_path: Path) -> None:
    folder = Folder.make(tmp_path / "project", MAPPED.format(version="model_version"))
    folder.write("logs/a.jsonl", lines([inference(0, name="b"), inference(1, name=None)]))
    folder.build()
    assert folder.ids() == ["r0", "r1"]
    folder.write("workbench.toml", MAPPED.format(version="name"))
    folder.build()
    assert folder.ids() == ["r0"]
    assert [row[:3] for row in folder.refused()] == [("missing_value", "model_version", 2)]
    folder.write("workbench.toml", MAPPED.format(version="model_version"))
    folder.build()
    assert folder.ids() == ["r0", "r1"]
    assert folder.refused() == []
