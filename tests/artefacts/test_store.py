"""What is kept is whole, is what it says, and is found again."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pytest

from workbench import artefacts
from workbench.artefacts import Artefact
from workbench.errors import DataError, NotFoundError

TABLE = pa.table({"request_id": ["b", "a"], "density": [0.25, None]})


def made(**changed: object) -> Artefact:
    facts = {
        "kind": "gap", "build": "b1", "params": {"bins": 10}, "where": None, "since": None,
        "until": None, "n": 3, "fitted_from": None, "fitted_to": None, "versions": ("v1",),
        "held_out": None, "meaning": {"score": "p"}, "state": {"gaps": {"0": 0.1}},
    }  # fmt: skip
    return Artefact(**{**facts, **changed})  # type: ignore[arg-type]


def test_what_is_kept_is_found_again(tmp_path: Path) -> None:
    one = artefacts.save(tmp_path, made(figures={"x": 0.1 + 0.2}), TABLE)
    assert artefacts.load(tmp_path, one.id) == one
    assert artefacts.kept(tmp_path) == [one]
    assert one.id.startswith("gap-")


def test_the_id_is_of_what_was_fitted_on_what(tmp_path: Path) -> None:
    one = artefacts.save(tmp_path, made())
    same = [
        made(build="b2"),
        made(figures={"other": 1}),
        made(state={"gaps": {"0": 0.1 + 1e-17}}),
    ]
    assert {artefacts.save(tmp_path, other).id for other in same} == {one.id}
    others = [
        made(kind="recalibration"), made(params={"bins": 9}), made(where="score > 0"), made(n=4),
        made(since="2026-01-01"), made(until="2026-01-01"), made(fitted_to="2026-01-01"),
        made(versions=("v2",)), made(held_out="ts > 1"), made(meaning={"score": "q"}),
        made(state={"gaps": {"0": 0.1000001}}),
    ]  # fmt: skip
    ids = {artefacts.save(tmp_path, other).id for other in others}
    tables = [TABLE, TABLE.set_column(1, "density", pa.array([0.2500001, None]))]
    ids |= {artefacts.save(tmp_path, made(), table).id for table in tables}
    assert len(ids | {one.id}) == len(others) + 3


def test_the_order_of_the_rows_of_a_table_does_not_count(tmp_path: Path) -> None:
    one = artefacts.save(tmp_path, made(), TABLE)
    assert artefacts.save(tmp_path, made(), TABLE.take([1, 0])).id == one.id


def test_two_values_of_one_row_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="several values for one request_id"):
        artefacts.save(tmp_path, made(), pa.concat_tables([TABLE, TABLE]))
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_was_changed_is_refused(tmp_path: Path) -> None:
    one = artefacts.save(tmp_path, made())
    path = tmp_path / f"{one.id}.json"
    content = json.loads(path.read_text())
    for changed in ({"state": {"gaps": {"0": 0.2}}}, {"n": 30}, {"id": "gap-1"}, {"format": 2}):
        path.write_text(json.dumps(content | changed))
        with pytest.raises(DataError, match=r"is not what was fitted|cannot be read"):
            artefacts.load(tmp_path, one.id)
    path.write_text("{")
    with pytest.raises(DataError, match="cannot be read"):
        artefacts.load(tmp_path, one.id)


def test_a_lost_table_is_missed(tmp_path: Path) -> None:
    one = artefacts.save(tmp_path, made(), TABLE)
    artefacts.table_path(tmp_path, one.id).unlink()
    with pytest.raises(DataError, match="has lost its table"):
        artefacts.load(tmp_path, one.id)
    artefacts.save(tmp_path, made(), TABLE)
    assert artefacts.load(tmp_path, one.id) == one


def test_an_unknown_id_names_the_nearest(tmp_path: Path) -> None:
    one = artefacts.save(tmp_path, made())
    with pytest.raises(NotFoundError, match=f"Did you mean '{one.id}'"):
        artefacts.load(tmp_path, one.id[:-1])


def test_a_broken_list_of_pins_is_no_empty_list(tmp_path: Path) -> None:
    artefacts.pin(tmp_path, "gap", "gap-1")
    assert artefacts.pinned(tmp_path) == {"gap": "gap-1"}
    (tmp_path / "pinned.json").write_text("")
    with pytest.raises(DataError, match="cannot be read"):
        artefacts.pinned(tmp_path)


_KILLED = """
import os, sys
from pathlib import Path
from tests.artefacts.test_store import TABLE, made
from workbench import artefacts

left = int(sys.argv[2])

def dying(function):
    def die(*arguments, **options):
        global left
        left -= 1
        if left < 0:
            os._exit(9)
        return function(*arguments, **options)
    return die

os.replace, os.fsync = dying(os.replace), dying(os.fsync)
folder = Path(sys.argv[1])
one = artefacts.save(folder, made(), TABLE)
artefacts.pin(folder, "gap", one.id)
"""


def test_a_fit_that_is_killed_leaves_nothing_half_written(tmp_path: Path) -> None:
    root = Path(__file__).parents[2]
    steps = 6
    for step in range(steps + 1):
        folder = tmp_path / str(step)
        command = [sys.executable, "-c", _KILLED, str(folder), str(step)]
        done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
        assert done.returncode == (0 if step == steps else 9), done.stderr
        # A table without its JSON is not yet an artefact.
        assert len(artefacts.kept(folder)) == (step >= 4)
        assert len(artefacts.pinned(folder)) == (step == steps)
        one = artefacts.save(folder, made(), TABLE)
        artefacts.pin(folder, "gap", one.id)
        assert artefacts.load(folder, artefacts.pinned(folder)["gap"]) == one
