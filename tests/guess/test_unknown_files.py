"""Files that the heuristics were not written for: never a wrong mapping without a question.

Each case states every mapping that would be right. Whatever else is mapped is wrong.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.importers import otlp_files as otlp
from workbench.errors import DataError, NotFoundError

from .conftest import Proposal, write_csv, write_jsonl
from .rows import moment, only, prose, token

Propose = Callable[..., Proposal]


def test_an_id_that_names_the_user_is_not_the_key(propose: Propose, tmp_path: Path) -> None:
    logs = [
        {
            "id": token("u", n % 30),
            "call_ref": token("c", n),
            "asked": prose(n),
            "created_at": moment(n * 60),
        }
        for n in range(300)
    ]
    events = [
        {
            "id": token("u", n % 30),
            "call_ref": token("c", n * 2),
            "helpful": n % 3 == 0,
            "created_at": moment(n * 60 + 9),
        }
        for n in range(120)
    ]
    found = propose(
        write_jsonl(tmp_path / "l.jsonl", logs), write_jsonl(tmp_path / "f.jsonl", events)
    )
    only(found, "inferences", {"request_id": "call_ref", "ts": "created_at", "user_id": "id"})
    only(
        found,
        "feedback",
        {"request_id": "call_ref", "ts": "created_at", "value": "helpful", "user_id": "id"},
    )
    assert found.columns("inferences")["request_id"] == "call_ref"
    assert found.columns("feedback")["request_id"] == "call_ref"
    assert found.signal("helpful") == {"kind": "binary"}


def test_two_keys_that_both_match_are_asked(propose: Propose, tmp_path: Path) -> None:
    logs = [{"handle": token("a", n), "vorgang": token("b", n), "ts": moment(n)} for n in range(50)]
    events = [
        {"handle": token("a", n), "vorgang": token("b", n), "thumb": n % 2, "ts": moment(n)}
        for n in range(0, 50, 2)
    ]
    found = propose(
        write_jsonl(tmp_path / "l.jsonl", logs), write_jsonl(tmp_path / "f.jsonl", events)
    )
    assert "request_id" not in found.mapped("inferences")
    assert "request_id" not in found.mapped("feedback")
    question = found.asks("inferences.request_id")
    assert "handle" in question
    assert "vorgang" in question
    assert found.asks("feedback.request_id")


def test_counted_ids_of_two_tables_are_not_a_join(propose: Propose, tmp_path: Path) -> None:
    """Both tables number their own rows; the true link is the session."""
    logs = [
        {"id": n, "session_id": token("s", n // 4), "prompt": prose(n), "ts": moment(n * 30)}
        for n in range(1, 401)
    ]
    events = [
        {"id": n, "session_id": token("s", n % 90), "liked": bool(n % 2), "ts": moment(n * 31)}
        for n in range(1, 101)
    ]
    found = propose(
        write_jsonl(tmp_path / "l.jsonl", logs), write_jsonl(tmp_path / "f.jsonl", events)
    )
    only(
        found, "inferences",
        {"request_id": "id", "session_id": "session_id", "input": "prompt", "ts": "ts"},
    )  # fmt: skip
    only(
        found, "feedback",
        {"feedback_id": "id", "session_id": "session_id", "value": "liked", "ts": "ts"},
    )  # fmt: skip
    assert found.asks("feedback.request_id")


def test_created_and_updated_times(propose: Propose, tmp_path: Path) -> None:
    logs = [
        {
            "request_id": token("r", n),
            "created": moment(n),
            "updated": moment(n + 50),
            "output": prose(n),
        }
        for n in range(60)
    ]
    events = [
        {
            "request_id": token("r", n),
            "updated": moment(n + 60),
            "closed": moment(n + 90),
            "rating": 1 + n % 5,
        }
        for n in range(60)
    ]
    found = propose(
        write_jsonl(tmp_path / "l.jsonl", logs), write_jsonl(tmp_path / "f.jsonl", events)
    )
    assert found.columns("inferences")["ts"] == "created"
    assert any("not updated" in note for note in found.guess.notes)
    assert "ts" not in found.columns("feedback")
    assert "updated" in found.asks("feedback.ts")
    assert "closed" in found.asks("feedback.ts")
    assert "clock" not in found.config["feedback"]
    assert found.signal("rating") == {"kind": "rating", "scale": [1, 5]}


def test_two_clocks_of_equal_standing_are_asked(propose: Propose, tmp_path: Path) -> None:
    logs = [
        {"request_id": token("r", n), "started_at": moment(n), "logged_at": moment(n + 2)}
        for n in range(60)
    ]
    events = [{"request_id": token("r", n), "thumb": n % 2} for n in range(60)]
    found = propose(
        write_jsonl(tmp_path / "l.jsonl", logs), write_jsonl(tmp_path / "f.jsonl", events)
    )
    assert "ts" not in found.columns("inferences")
    assert "started_at, logged_at" in found.asks("inferences.ts")
    assert found.config["feedback"]["clock"] == "none"


def test_nested_keys_and_epoch_milliseconds(propose: Propose, tmp_path: Path) -> None:
    logs = [
        {
            "meta": {"req": {"id": token("r", n)}, "user": {"id": token("u", n % 9)}, "select": n},
            "timestampMs": 1_741_000_000_000 + n * 1000,
            "llm": {"name": "gpt-x", "version": "2025-01"},
            "messages": [{"role": "user", "content": prose(n)}],
            "completion": prose(n),
        }
        for n in range(150)
    ]
    events = [
        {
            "payload": {"request": {"id": token("r", n)}, "verdict": ["up", "down"][n % 2]},
            "timestampMs": 1_741_000_100_000 + n * 1000,
        }
        for n in range(70)
    ]
    found = propose(
        write_jsonl(tmp_path / "l.jsonl", logs), write_jsonl(tmp_path / "f.jsonl", events)
    )
    only(
        found, "inferences",
        {
            "request_id": "meta.req.id", "user_id": "meta.user.id", "ts": "timestampMs",
            "model": "llm.name", "model_version": {"llm.name", "llm.version"},
            "input": "messages", "output": "completion",
        },
    )  # fmt: skip
    assert found.columns("inferences")["request_id"] == "meta.req.id"
    assert found.columns("inferences")["ts"] == "timestampMs"
    assert found.columns("feedback")["request_id"] == "payload.request.id"
    assert found.columns("feedback")["value"] == "payload.verdict"
    assert found.signal("verdict") == {"kind": "binary", "positive": "value = 'up'"}


def test_german_headers_and_dates(propose: Propose, tmp_path: Path) -> None:
    logs = [
        {"Zeitstempel": f"{1 + n % 28:02}.0{1 + n % 9}.2025 12:{n % 60:02}",
         "AnfrageNr": f"AN-{n:05}",
         "Kunde": f"K{n % 40}", "Modell": "m1", "Frage": prose(n), "Antwort": prose(n + 1),
         "Dauer": 100 + n}
        for n in range(200)
    ]  # fmt: skip
    events = [
        {"AnfrageNr": f"AN-{n:05}", "Bewertung (1-5)": 1 + n % 5, "Kommentar": "war sehr gut so"}
        for n in range(0, 200, 3)
    ]
    found = propose(
        write_csv(tmp_path / "l.csv", logs, ";"), write_csv(tmp_path / "f.csv", events, ";")
    )
    only(
        found, "inferences",
        {
            "request_id": "AnfrageNr", "user_id": "Kunde", "model": "Modell",
            "model_version": "Modell", "input": "Frage", "output": "Antwort",
            "ts": "strptime(\"Zeitstempel\", '%d.%m.%Y %H:%M')",
        },
    )  # fmt: skip
    assert {"request_id", "ts", "user_id", "input", "output"} <= set(found.mapped("inferences"))
    assert "milliseconds or in seconds" in found.asks("inferences.latency_ms")
    assert found.mapped("feedback") == {
        "request_id": "AnfrageNr", "value": "Bewertung (1-5)", "comment": "Kommentar",
    }  # fmt: skip
    assert found.signal("Bewertung (1-5)") == {"kind": "rating", "scale": [1, 5]}


def test_slashed_dates_ask_whether_day_or_month_comes_first(
    propose: Propose, tmp_path: Path
) -> None:
    logs = [{"req_id": f"q{n:04}", "datum": f"0{1 + n % 9}/0{1 + n % 8}/2025"} for n in range(50)]
    events = [{"req_id": f"q{n:04}", "ok": n % 2} for n in range(50)]
    found = propose(write_csv(tmp_path / "l.csv", logs), write_csv(tmp_path / "f.csv", events))
    assert "ts" not in found.columns("inferences")
    assert "%d/%m/%Y" in found.asks("inferences.ts")
    assert "%m/%d/%Y" in found.asks("inferences.ts")


def test_feedback_that_refers_to_traces(propose: Propose, tmp_path: Path) -> None:
    logs = [
        {
            "request_id": token("r", n),
            "trace_id": token("t", n // 5),
            "ts": moment(n),
            "step": n % 5,
        }
        for n in range(200)
    ]
    events = [
        {"target_id": token("t", n), "metric_name": "solved", "value": n % 2 == 0, "ts": moment(n)}
        for n in range(40)
    ]
    found = propose(
        write_jsonl(tmp_path / "l.jsonl", logs), write_jsonl(tmp_path / "f.jsonl", events)
    )
    assert found.columns("inferences")["request_id"] == "request_id"
    assert "request_id" not in found.mapped("feedback")
    assert found.columns("feedback")["trace_id"] == "target_id"
    assert found.columns("feedback")["scope"] == "'trace'"
    assert "whole trace" in found.asks("feedback.request_id")
    only(
        found, "feedback",
        {"trace_id": "target_id", "name": "metric_name", "value": "value", "ts": "ts"},
    )  # fmt: skip


def test_a_request_id_that_holds_traces_does_not_map_itself(
    propose: Propose, tmp_path: Path
) -> None:
    logs = [
        {"id": token("r", n), "trace_id": token("t", n // 5), "ts": moment(n)} for n in range(200)
    ]
    events = [{"request_id": token("t", n), "thumb": n % 2, "ts": moment(n)} for n in range(40)]
    found = propose(
        write_jsonl(tmp_path / "l.jsonl", logs), write_jsonl(tmp_path / "f.jsonl", events)
    )
    assert found.columns("feedback").get("request_id") in (None, "NULL")
    assert "whole trace" in found.asks("feedback.request_id")


def test_a_nameless_index_is_not_a_key(propose: Propose, tmp_path: Path) -> None:
    logs = tmp_path / "l.csv"
    logs.write_text(
        ",timestamp,item_id,position,click,propensity_score\n"
        + "".join(
            f"{n},{moment(n)},{n % 7},{n % 3 + 1},{int(n % 50 == 0)},0.0294\n" for n in range(300)
        )
    )
    found = propose(logs, logs)
    assert "column0" not in found.guess.toml
    assert found.config["inferences"]["sql"] == (
        "SELECT *, CAST(source_row AS VARCHAR) AS request_id FROM source"
    )
    assert found.signal("click") == {"kind": "binary"}
    assert any("only counts the rows" in note for note in found.guess.notes)


def test_two_files_numbered_by_row_are_asked(propose: Propose, tmp_path: Path) -> None:
    logs, events = tmp_path / "l.csv", tmp_path / "f.csv"
    logs.write_text(",text\n" + "".join(f"{n},case {n}\n" for n in range(100)))
    events.write_text(",thumb\n" + "".join(f"{n},{n % 2}\n" for n in range(60)))
    found = propose(logs, events)
    assert "request_id" not in found.mapped("inferences")
    assert found.asks("inferences.request_id")
    assert found.asks("feedback.request_id")


def test_padded_codes_stay_text(propose: Propose, tmp_path: Path) -> None:
    logs = [
        {
            "request_id": token("r", n),
            "prediction": "ab"[n % 2],
            "zip": f"0{n:04}",
            "n": n,
            "Größe (cm)": n / 2,
        }
        for n in range(100)
    ]
    events = [{"request_id": row["request_id"], "label": row["prediction"]} for row in logs]
    found = propose(write_csv(tmp_path / "l.csv", logs), write_csv(tmp_path / "f.csv", events))
    assert found.config["inferences"]["features"] == {
        "zip": "VARCHAR",
        "n": "BIGINT",
        "Größe (cm)": "DOUBLE",
    }


def test_values_that_do_not_fit_their_name_are_blocked(propose: Propose, tmp_path: Path) -> None:
    logs = [
        {"request_id": token("r", n), "ts": float(n), "model_version": "v1", "tags": {},
         "position": "top",
         "step": -1, "cost": "free", "user_id": f"u{n % 5}"}
        for n in range(60)
    ]  # fmt: skip
    events = [
        {
            "request_id": token("r", n),
            "kind": "explicit",
            "thumb": n % 2,
            "scope": "message",
            "rater_kind": "bot",
        }
        for n in range(60)
    ]
    found = propose(
        write_jsonl(tmp_path / "l.jsonl", logs), write_jsonl(tmp_path / "f.jsonl", events)
    )
    columns = found.columns("inferences")
    assert {columns[f] for f in ("ts", "tags", "position", "step", "cost")} == {"NULL"}
    assert columns["user_id"] == "user_id"
    assert found.config["inferences"]["clock"] == "none"
    assert {found.columns("feedback")[f] for f in ("kind", "scope", "rater_kind")} == {"NULL"}


def test_hostile_names_and_paths_give_valid_toml(propose: Propose, tmp_path: Path) -> None:
    folder = tmp_path / "my \"own\" 'logs' é"
    folder.mkdir()
    logs: list[dict[str, Any]] = [
        {'re"q\nid': token("r", n), "prediction": "ab"[n % 2], "x'''y\\": n, "# c = 1": n, "a.b": n}
        for n in range(80)
    ]
    events = [{'re"q\nid': row['re"q\nid'], 'y\'= "1"\n': row["prediction"]} for row in logs]
    found = propose(
        write_jsonl(folder / "l 1.jsonl", logs), write_jsonl(folder / "f.jsonl", events), folder
    )
    assert found.config["inferences"]["source"] == "l 1.jsonl"
    assert found.columns("feedback")["value"] == 'y\'= "1"\n'
    outside = propose(folder / "l 1.jsonl", folder / "f.jsonl", tmp_path / "project")
    assert outside.config["inferences"]["source"] == (folder / "l 1.jsonl").as_posix()


def test_a_series_of_files_and_a_mixed_folder(propose: Propose, tmp_path: Path) -> None:
    folder = tmp_path / "data"
    folder.mkdir()
    for day in range(3):
        write_jsonl(
            folder / f"calls-{day}.jsonl",
            [
                {"request_id": token("r", day * 100 + n), "ts": moment(n), "prompt": prose(n)}
                for n in range(50)
            ],
        )
    write_csv(
        folder / "votes.csv", [{"request_id": token("r", n), "vote": n % 2} for n in range(40)]
    )
    found = propose(folder, folder)
    assert found.config["inferences"]["source"] == "data/calls-*.jsonl"
    assert found.config["feedback"]["source"] == "data/votes.csv"
    alone = propose([folder / "calls-*.jsonl"], folder / "votes.csv")
    assert alone.config["inferences"]["source"] == "data/calls-*.jsonl"


def test_short_files_and_broken_lines(propose: Propose, tmp_path: Path) -> None:
    logs = write_jsonl(
        tmp_path / "l.jsonl",
        [{"request_id": f"req-{n}", "ts": moment(n), "output": "yes it is"} for n in range(3)],
    )
    logs.write_text(logs.read_text() + '{"broken\n')
    events = write_jsonl(
        tmp_path / "f.jsonl", [{"request_id": "req-1", "ts": moment(9), "thumb": 1}]
    )
    found = propose(logs, events)
    assert found.mapped("inferences").get("request_id") in ("request_id", None)
    only(found, "feedback", {"request_id": "request_id", "ts": "ts", "value": "thumb"})


def test_json_arrays_and_gzip(propose: Propose, tmp_path: Path) -> None:
    logs = [{"request_id": token("r", n), "ts": moment(n), "output": prose(n)} for n in range(60)]
    array = tmp_path / "logs.json"
    array.write_text(json.dumps(logs))
    packed = tmp_path / "votes.csv.gz"
    lines = "".join(f"{row['request_id']},{n % 2}\n" for n, row in enumerate(logs))
    packed.write_bytes(gzip.compress(f"request_id,vote\n{lines}".encode()))
    found = propose(array, packed)
    assert found.mapped("inferences") == {
        "request_id": "request_id",
        "ts": "ts",
        "output": "output",
    }
    assert found.mapped("feedback") == {"request_id": "request_id", "value": "vote"}


def test_unusable_paths_say_what_to_do(propose: Propose, tmp_path: Path) -> None:
    good = write_jsonl(tmp_path / "l.jsonl", [{"request_id": "a", "thumb": 1}])
    empty = tmp_path / "empty.csv"
    empty.write_bytes(b"")
    header = tmp_path / "header.csv"
    header.write_text("request_id,thumb\n")
    (tmp_path / "nothing").mkdir()
    for path, error in (
        (tmp_path / "absent.csv", NotFoundError),
        (tmp_path / "nothing", NotFoundError),
        (tmp_path / "*.parquet", NotFoundError),
        (empty, DataError),
        (header, DataError),
    ):
        with pytest.raises(error) as caught:
            propose(path, good)
        assert caught.value.hint
    with pytest.raises(DataError):
        propose([], good)


def test_an_export_goes_before_what_lies_beside_it(propose: Propose, tmp_path: Path) -> None:
    spans = [
        otlp.span(n, {"gen_ai.request.model": "m", "gen_ai.completion": prose(n),
                      "trace.annotations.0.annotation.name": "solved",
                      "trace.annotations.0.annotation.score": n % 2})
        for n in range(1, 9)
    ]  # fmt: skip
    otlp.write(tmp_path / "traces.jsonl", otlp.traces(*spans))
    beside = [{"input": prose(n), "output": prose(n + 1), "model": "m"} for n in range(20)]
    write_jsonl(tmp_path / "prompts.jsonl", beside)
    found = propose(tmp_path, tmp_path)
    assert [found.config[table]["format"] for table in ("inferences", "feedback")] == ["otlp"] * 2
    assert not found.asks("inferences.source")
    assert "prompts.jsonl is not used." in found.guess.notes
