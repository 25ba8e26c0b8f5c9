"""Every importer of another system's exports keeps what it is given."""

from __future__ import annotations

import importlib
import json
from pathlib import Path

import pytest

from tests.importers import laws
from workbench.importers import _records, importers

VENDORS = sorted(importer.name for importer in importers if importer.holds is not None)


@pytest.mark.parametrize("name", VENDORS)
def test_nothing_is_lost(name: str, tmp_path: Path) -> None:
    samples = importlib.import_module(f"tests.importers.test_{name}").samples(tmp_path)
    assert samples, f"tests/importers/test_{name}.py has no samples"
    for sample in samples:
        laws.check(sample)


def test_records_taken_one_at_a_time_give_the_same_rows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    samples = importlib.import_module("tests.importers.test_tensorzero").samples(tmp_path)
    before = [laws.stage(sample.importer, sample.paths) for sample in samples]
    monkeypatch.setattr(_records, "_SLICE_BYTES", 1)
    assert [laws.stage(sample.importer, sample.paths) for sample in samples] == before
    assert any(len(outcome.records) > 1 for outcome in before)


def test_a_value_that_no_column_takes_is_noticed() -> None:
    record = {"id": "a1", "kept": {"deep": [7.25]}, "dropped": "of-value"}
    outcome = laws.Outcome(
        records={(0, 1): record},
        rows={
            "inferences": [((0, 1), {"request_id": "a1", "metadata": '{"kept":{"deep":[7.25]}}'})]
        },
        refused={},
    )
    with pytest.raises(AssertionError, match="of-value"):
        laws.no_leaf_is_lost(outcome)


def test_a_record_without_a_row_is_noticed() -> None:
    outcome = laws.Outcome(records={(0, 1): {"id": "a1"}}, rows={}, refused={})
    with pytest.raises(AssertionError, match="a1"):
        laws.rows_in_are_rows_out(laws.Sample(importer="x", paths=[]), outcome)


@pytest.mark.parametrize(
    ("source", "stored"),
    [
        ("1763391318786000000", "2025-11-17T14:55:18.786+00:00"),
        (1763391318786, "2025-11-17T14:55:18.786000+00:00"),
        ("2025-11-17T15:55:18.786+01:00", "2025-11-17T14:55:18.786Z"),
        ("AAECAwQFBgc=", "0001020304050607"),
        ("B7AD6B7169203331", "b7ad6b7169203331"),
        ("12", 12.0),
        (True, "true"),
    ],
)
def test_a_value_is_found_again_however_it_is_written(source: object, stored: object) -> None:
    assert laws.readings(source) & laws.readings(stored)
    assert not laws.readings(source) & laws.readings("something else")


def test_texts_of_json_are_looked_into() -> None:
    assert dict(laws.leaves({"a": json.dumps({"b": [1, "x"]})})) == {".a.b[0]": 1, ".a.b[1]": "x"}
