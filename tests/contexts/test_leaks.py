"""The leak audit: what it proves, what it cannot, and that it sees a fact of the future."""

from __future__ import annotations

import json
from pathlib import Path

import duckdb
import pytest

import workbench as wb
from tests.cli.conftest import run
from tests.contexts.test_build import DEVICES, PROFILES, project
from workbench.errors import ExitCode, NotFoundError
from workbench.leaks import Audit


def audits(built: wb.Workbench) -> dict[str, Audit]:
    return {audit.context: audit for audit in built.leaks()}


def tamper(built: wb.Workbench, sql: str) -> None:
    manifest = json.loads((built.folder / ".workbench" / "current").read_text())
    with duckdb.connect(str(built.folder / ".workbench" / manifest["file"])) as connection:
        connection.execute(sql)


@pytest.fixture
def built(tmp_path: Path) -> wb.Workbench:
    made = project(tmp_path, PROFILES, DEVICES)
    made.build()
    return made


def test_what_has_a_time_is_proven_and_what_has_none_is_not(built: wb.Workbench) -> None:
    found = audits(built)
    profile, devices = found["profile"], found["device_facts"]
    assert (profile.verdict, profile.rows, profile.leaking) == ("proven", 3, 0)
    # r5 was asked at the very time from which its profile holds.
    assert profile.newest == 0.0
    assert any("3 facts were found again" in note for note in profile.notes)
    assert (devices.verdict, devices.newest) == ("unproven", None)
    assert any("nothing shows when" in note for note in devices.notes)


@pytest.mark.parametrize("what_the_join_said", ["kept", "forgotten"])
def test_a_fact_of_the_future_is_found_with_and_without_the_join(
    built: wb.Workbench, what_the_join_said: str
) -> None:
    tamper(
        built,
        "UPDATE narrow.enriched_inferences SET ts = ts - INTERVAL 10 DAY WHERE request_id = 'r5'",
    )
    if what_the_join_said == "forgotten":
        tamper(built, "UPDATE narrow.contexts SET profile__known = NULL")
    found = audits(built)["profile"]
    assert (found.verdict, found.leaking, found.examples) == ("leak", 1, ("r5",))


def test_a_fact_that_the_source_never_had_is_found(built: wb.Workbench) -> None:
    tamper(
        built,
        "UPDATE narrow.enriched_inferences SET profile = {'tier': 'platinum'} "
        "WHERE request_id = 'r6'",
    )
    assert audits(built)["profile"].examples == ("r6",)


def test_the_command_tells_and_fails_on_a_leak(built: wb.Workbench) -> None:
    told = run("doctor", "--leaks", "--json", "--project", built.folder)
    assert told.code == ExitCode.OK
    assert [row["verdict"] for row in json.loads(told.out)] == ["proven", "unproven"]
    tamper(built, "UPDATE narrow.enriched_inferences SET ts = ts - INTERVAL 10 DAY")
    told = run("doctor", "--leaks", "--project", built.folder)
    assert told.code == ExitCode.DATA
    assert "profile" in told.err


def test_a_context_that_was_configured_since_must_be_built_first(built: wb.Workbench) -> None:
    path = built.folder / "workbench.toml"
    path.write_text(path.read_text().replace("[context.profile]", "[context.person]"))
    with pytest.raises(NotFoundError, match="person"):
        wb.open(built.folder).leaks()
