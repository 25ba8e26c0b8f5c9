"""Signals and scores that the heuristics were not written for: asked, or mapped rightly."""

from __future__ import annotations

import random
import uuid
from collections.abc import Callable
from pathlib import Path

import duckdb
import pytest

from .conftest import Proposal, write_csv, write_jsonl
from .rows import moment, prose, token

Propose = Callable[..., Proposal]


@pytest.mark.parametrize(
    ("stars", "sure"), [([1, 2, 3, 4, 5], True), ([3, 4, 5], False), ([1, 5], False)]
)
def test_a_rating_scale_is_asked_unless_all_of_it_occurs(
    propose: Propose, tmp_path: Path, stars: list[int], sure: bool
) -> None:
    logs = [{"request_id": token("r", n), "ts": moment(n)} for n in range(100)]
    events = [
        {"request_id": token("r", n), "stars": stars[n % len(stars)], "ts": moment(n)}
        for n in range(100)
    ]
    found = propose(write_jsonl(tmp_path / "l.jsonl", logs), write_csv(tmp_path / "f.csv", events))
    if sure:
        assert found.signal("stars") == {"kind": "rating", "scale": [1, 5]}
    else:
        assert found.signal("stars") is None
        assert "what is the scale" in found.asks("feedback.signals.stars")
        assert "# scale = [1, 5]" in found.guess.toml


def test_thumbs_on_a_yes_no_classifier_are_no_labels(propose: Propose, tmp_path: Path) -> None:
    rng = random.Random(7)
    logs = [
        {
            "uuid": str(uuid.UUID(int=rng.getrandbits(128))),
            "pred": rng.randint(0, 1),
            "ts": moment(n),
        }
        for n in range(400)
    ]
    thumbs = [{"uuid": r["uuid"], "thumbs_up": rng.randint(0, 1)} for r in logs]
    unclear = [{"uuid": r["uuid"], "flag": rng.randint(0, 1)} for r in logs]
    truth = [
        {"uuid": r["uuid"], "employed": r["pred"] if rng.random() < 0.9 else 1 - r["pred"]}
        for r in logs
    ]
    path = write_jsonl(tmp_path / "l.jsonl", logs)
    assert propose(path, write_jsonl(tmp_path / "a.jsonl", thumbs)).signal("thumbs_up") == {
        "kind": "binary"
    }
    asked = propose(path, write_jsonl(tmp_path / "b.jsonl", unclear))
    assert asked.signal("flag") is None
    assert asked.asks("feedback.signals.flag")
    assert propose(path, write_jsonl(tmp_path / "c.jsonl", truth)).signal("employed") == {
        "kind": "label"
    }


def test_several_signals_in_a_row_become_events(propose: Propose, tmp_path: Path) -> None:
    logs = [{"request_id": token("r", n), "ts": moment(n), "output": prose(n)} for n in range(100)]
    events = [
        {"event_id": token("e", n), "request_id": token("r", n), "ts": moment(n + 5),
         "thumb": [0, 1, None][n % 3], "stars": 1 + n % 5,
         "corrected_text": prose(n + 7) if n % 4 == 0 else None, "annotator": f"p{n % 6}"}
        for n in range(90)
    ]  # fmt: skip
    path = write_jsonl(tmp_path / "f.jsonl", events)
    found = propose(write_jsonl(tmp_path / "l.jsonl", logs), path)
    assert set(found.config["feedback"]["signals"]) == {"thumb", "stars", "correction"}
    assert any("please glance at this" in note for note in found.guess.notes)
    connection = duckdb.connect()
    connection.execute(
        f"CREATE VIEW source AS SELECT *, 'f' AS source_file, 1 AS source_row "
        f"FROM read_json('{path}')"
    )
    rows = connection.sql(found.config["feedback"]["sql"])
    assert set(rows.columns) >= {
        "feedback_id",
        "request_id",
        "ts",
        "rater_id",
        "name",
        "value",
        "corrected_output",
    }
    counts = connection.execute(
        "SELECT name, count(*), count(DISTINCT feedback_id) FROM rows GROUP BY name ORDER BY name"
    ).fetchall()
    assert counts == [("correction", 23, 23), ("stars", 90, 90), ("thumb", 60, 60)]


def test_a_label_whose_values_are_not_classes_is_asked(propose: Propose, tmp_path: Path) -> None:
    logs = [
        {"request_id": token("r", n), "prediction": "abc"[n % 3], "ts": moment(n)}
        for n in range(90)
    ]
    events = [{"request_id": token("r", n), "label": ["x", "y", "z"][n % 3]} for n in range(90)]
    found = propose(
        write_jsonl(tmp_path / "l.jsonl", logs), write_jsonl(tmp_path / "f.jsonl", events)
    )
    assert found.signal("label") is None
    assert found.asks("feedback.signals.label")


@pytest.mark.parametrize("name", ["complaint", "is_wrong", "thumbs_down", "escalated"])
def test_a_signal_whose_one_is_bad_is_asked(propose: Propose, tmp_path: Path, name: str) -> None:
    logs = [{"request_id": token("r", n), "ts": moment(n)} for n in range(60)]
    events = [{"request_id": token("r", n), "ts": moment(n), name: n % 2} for n in range(60)]
    found = propose(
        write_jsonl(tmp_path / "l.jsonl", logs), write_jsonl(tmp_path / "f.jsonl", events)
    )
    assert found.signal(name) is None
    assert "is 0 the success" in found.asks(f"feedback.signals.{name}")


def test_many_numbers_ask_for_a_threshold(propose: Propose, tmp_path: Path) -> None:
    logs = [{"request_id": token("r", n), "ts": moment(n)} for n in range(90)]
    events = [{"request_id": token("r", n), "ts": moment(n), "dwell": n * 1.7} for n in range(90)]
    found = propose(
        write_jsonl(tmp_path / "l.jsonl", logs), write_jsonl(tmp_path / "f.jsonl", events)
    )
    assert found.columns("feedback")["value"] == "dwell"
    assert found.signal("dwell") is None
    assert found.asks("feedback.signals.dwell")


def test_a_type_column_does_not_name_the_signal(propose: Propose, tmp_path: Path) -> None:
    logs = [{"request_id": token("r", n), "ts": moment(n)} for n in range(60)]
    events = [
        {
            "request_id": token("r", n),
            "type": ["chat", "code"][n % 2],
            "name": "Ann",
            "thumb": n % 2,
        }
        for n in range(60)
    ]
    found = propose(
        write_jsonl(tmp_path / "l.jsonl", logs), write_jsonl(tmp_path / "f.jsonl", events)
    )
    assert found.columns("feedback")["name"] == "'thumb'"
    assert found.config["feedback"]["signals"] == {"thumb": {"kind": "binary"}}


def test_probability_of_the_other_class_is_asked(propose: Propose, tmp_path: Path) -> None:
    rng = random.Random(3)
    logs = []
    for n in range(200):
        p = rng.random()
        logs.append(
            {
                "request_id": token("r", n),
                "prediction": int(p < 0.5),
                "probability": p,
                "amount": n / 7,
            }
        )
    events = [{"request_id": row["request_id"], "target": row["prediction"]} for row in logs]
    found = propose(write_csv(tmp_path / "l.csv", logs), write_csv(tmp_path / "f.csv", events))
    assert "score" not in found.mapped("inferences")
    assert "probability" in found.asks("inferences.score")
    assert found.config["inferences"]["features"] == {"amount": "DOUBLE"}


def test_a_score_in_percent_is_asked_and_kept_from_mapping_itself(
    propose: Propose, tmp_path: Path
) -> None:
    rng = random.Random(1)
    logs = [
        {"request_id": token("r", n), "ts": moment(n), "model_version": "v1",
         "prediction": rng.choice("AB"), "score": rng.randint(0, 100)}
        for n in range(200)
    ]  # fmt: skip
    events = [
        {"request_id": token("r", n), "ts": moment(n), "label": rng.choice("AB")} for n in range(80)
    ]
    found = propose(write_csv(tmp_path / "l.csv", logs), write_csv(tmp_path / "f.csv", events))
    assert found.columns("inferences")["score"] == "NULL"
    assert "0 to 100" in found.asks("inferences.score")
    assert '"score" / 100' in found.asks("inferences.score")
    assert found.signal("label") == {"kind": "label"}
    assert "features" not in found.config["inferences"]
