"""A build that is made of the last one is the build of everything, whatever came late."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.build import history
from tests.build.equality import content, differences
from workbench import engine
from workbench.build import build, reach, sums
from workbench.configuration import load
from workbench.forget import forget
from workbench.query import open_build


@pytest.fixture(autouse=True)
def _refreshed_however_much_changed(monkeypatch: pytest.MonkeyPatch) -> None:
    """A small history changes in more than half of its rows, which a build would make anew."""
    monkeypatch.setattr(reach, "_MOST", 2.0)


def _cut(folder: Path, seed: int, n: int) -> list[str | None]:
    """Build a random history batch by batch; of each build, of which it was made."""
    folder.mkdir()
    history.write_config(folder, seed)
    made = []
    for number, batch in enumerate(history.batches(seed, n)):
        history.write(folder, number, batch)
        made.append(build(load(folder))["refreshed"])
    return made


def _whole(folder: Path, to: Path) -> Path:
    """The build of the same files from nothing."""
    shutil.rmtree(to, ignore_errors=True)
    shutil.copytree(folder, to, ignore=shutil.ignore_patterns(".workbench"))
    build(load(to))
    return to


@settings(
    max_examples=3, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(seed=st.integers(0, 10**6), n=st.integers(2, 4))
def test_a_history_cut_anywhere_gives_the_build_of_the_whole(
    tmp_path: Path, seed: int, n: int
) -> None:
    cut, whole = tmp_path / f"cut{seed}-{n}", tmp_path / f"whole{seed}-{n}"
    shutil.rmtree(cut, ignore_errors=True)
    made = _cut(cut, seed, n)
    assert None not in made[1:]
    assert differences(cut, _whole(cut, whole)) == []


def test_sums_of_large_groups_are_changed_and_stay_those_of_the_rows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # As if every group were large.
    monkeypatch.setattr(sums, "_LARGE", 1)
    made = _cut(tmp_path / "cut", 3, 3)
    assert None not in made[1:]
    # A difference leaves the rounding of what was larger before.
    assert differences(tmp_path / "cut", _whole(tmp_path / "cut", tmp_path / "whole"), 1e-9) == []


def test_an_erased_row_is_not_taken_over_from_the_last_build(tmp_path: Path) -> None:
    folder = tmp_path / "project"
    assert _cut(folder, 3, 2)[-1] is not None
    forget(load(folder), "u1")
    build(load(folder))
    with open_build(folder) as found:
        assert found.manifest["refreshed"] is None
        assert found.arrow("SELECT * FROM inferences WHERE user_id = 'u1'").num_rows == 0


def test_a_build_of_another_configuration_is_made_of_everything(tmp_path: Path) -> None:
    folder = tmp_path / "project"
    assert _cut(folder, 3, 2)[-1] is not None
    text = (folder / "workbench.toml").read_text()
    (folder / "workbench.toml").write_text(text.replace('maturity = "5h"', 'maturity = "6h"'))
    assert build(load(folder))["refreshed"] is None


def test_a_build_of_another_engine_is_made_of_everything(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "project"
    assert _cut(folder, 3, 2)[-1] is not None
    monkeypatch.setattr(engine, "VERSION", "another")
    assert build(load(folder))["refreshed"] is None


def test_the_last_build_is_not_touched_by_one_that_is_made_of_it(tmp_path: Path) -> None:
    folder = tmp_path / "project"
    folder.mkdir()
    history.write_config(folder, 11)
    first, second = history.batches(11, 2)
    history.write(folder, 0, first)
    build(load(folder))
    with open_build(folder) as before:
        was = content(before, "enriched_inferences")
        history.write(folder, 1, second)
        build(load(folder))
        assert content(before, "enriched_inferences").equals(was)
