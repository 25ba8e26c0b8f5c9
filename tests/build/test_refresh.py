"""A build that is made of the last one is the build of everything, whatever came late."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.build import history
from tests.build.equality import differences
from workbench.build import build, refresh
from workbench.configuration import load


def _cut(folder: Path, seed: int, n: int) -> list[str | None]:
    """Build a random history batch by batch; of each build, of which it was made."""
    folder.mkdir()
    history.write_config(folder, seed)
    made = []
    for number, batch in enumerate(history.batches(seed, n)):
        history.write(folder, number, batch)
        made.append(build(load(folder))["refreshed"])
    return made


@settings(max_examples=3, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 10**6), n=st.integers(2, 4))
def test_a_history_cut_anywhere_gives_the_build_of_the_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int, n: int
) -> None:
    monkeypatch.setattr(refresh, "_MOST", 2.0)
    cut, whole = tmp_path / f"cut{seed}-{n}", tmp_path / f"whole{seed}-{n}"
    shutil.rmtree(cut, ignore_errors=True)
    made = _cut(cut, seed, n)
    assert None not in made[1:]
    shutil.rmtree(whole, ignore_errors=True)
    shutil.copytree(cut, whole, ignore=shutil.ignore_patterns(".workbench"))
    build(load(whole))
    assert differences(cut, whole) == []
