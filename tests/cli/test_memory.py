"""The limit on memory, and where what does not fit into it goes."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import workbench
from tests.cli.conftest import Run
from workbench import engine
from workbench.query import open_build

PACKAGE = Path(workbench.__file__).parent

SETTINGS = "SELECT current_setting('memory_limit') AS held, current_setting('temp_directory') AS at"


def bytes_held(limit: str | None = None) -> str:
    with engine.connect(memory_limit=limit) as connection:
        return str(engine.scalar(connection, "SELECT current_setting('memory_limit')"))


@pytest.mark.parametrize(
    "given", ["2XB", "5", "-1", "50%", "none", "99999999999TB", "2GB; DROP TABLE x"]
)
def test_what_is_no_amount_of_memory_ends_with_2_and_is_named(
    at: Run, monkeypatch: pytest.MonkeyPatch, given: str
) -> None:
    monkeypatch.setenv(engine.MEMORY_LIMIT, given)
    done = at("sql", "SELECT 1")
    assert (done.code, done.out) == (2, "")
    assert f"WORKBENCH_MEMORY_LIMIT is {given!r}" in done.err
    assert "=2GB" in done.err


@pytest.mark.parametrize(
    ("own", "given", "held"),
    [
        (None, "512MiB", "512.0 MiB"),
        ("256MiB", "1GiB", "256.0 MiB"),
        ("256MiB", "128mib", "128.0 MiB"),
        ("256MiB", None, "256.0 MiB"),
        # By their sizes: as texts they are in another order.
        ("1000MiB", "0.5GiB", "512.0 MiB"),
        ("1GiB", "1GB", "953.6 MiB"),
    ],
)
def test_the_lower_of_two_limits_holds(
    monkeypatch: pytest.MonkeyPatch, own: str | None, given: str | None, held: str
) -> None:
    monkeypatch.setenv(engine.MEMORY_LIMIT, given or "")
    assert bytes_held(own) == held


def test_a_reader_keeps_to_the_limit_and_spills_into_the_project(
    at: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(engine.MEMORY_LIMIT, "300MiB")
    with open_build(Path.cwd()) as build:
        row = build.arrow(SETTINGS).to_pylist()[0]
    assert row["held"] == "300.0 MiB"
    assert Path(row["at"]).parent == Path.cwd() / ".workbench"
    assert not Path(row["at"]).exists()


def test_two_connections_do_not_share_a_folder(at: Run) -> None:
    with open_build(Path.cwd()) as one, open_build(Path.cwd()) as other:
        places = {build.arrow(SETTINGS).column("at")[0].as_py() for build in (one, other)}
    assert len(places) == 2


def test_what_is_spilled_is_removed_at_the_end(tmp_path: Path) -> None:
    folder = engine.spill_folder(tmp_path)
    with engine.connect(folder, "40MB") as connection:
        connection.execute(
            "CREATE TABLE t AS SELECT md5(CAST(range AS VARCHAR)) FROM range(2000000)"
        )
        assert list(folder.iterdir())
    assert list(tmp_path.iterdir()) == []


def test_what_a_killed_process_spilled_is_swept_and_what_others_spill_is_not(
    tmp_path: Path,
) -> None:
    mine, dead = engine.spill_folder(tmp_path), tmp_path / "spill-999999999-00ff"
    for folder in (mine, dead, tmp_path / "lake"):
        folder.mkdir()
        (folder / "file").write_text("")
    engine.sweep(tmp_path)
    assert sorted(tmp_path.iterdir()) == sorted([mine, tmp_path / "lake"])


def test_a_build_within_too_little_memory_fails_with_advice_and_keeps_the_last(
    at: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = Path(".workbench/current").read_bytes()
    monkeypatch.setenv(engine.MEMORY_LIMIT, "4MB")
    done = at("build", "--as-of", "2030-01-01T00:00:00Z")
    assert done.code == 1
    assert "WORKBENCH_MEMORY_LIMIT" in done.err
    assert "Traceback" not in done.err
    assert Path(".workbench/current").read_bytes() == before


def test_only_the_engine_opens_connections_that_hold_data() -> None:
    """The limit, the spill folder and the time zone are settings of `engine.connect`."""
    opening = {
        path.relative_to(PACKAGE).as_posix()
        for path in PACKAGE.rglob("*.py")
        if re.search(r"duckdb\.connect\(", path.read_text(encoding="utf-8"))
    }
    # They read the catalogue and the keywords of the engine.
    assert opening - {"engine.py"} == {"contract.py", "guess/profile.py"}
