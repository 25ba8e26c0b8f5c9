"""Each event lands once, whatever is repeated, and an id never means two things."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.receive.conftest import Client, call, event, landed, serving
from workbench.receive.seen import Seen


def counts(answer: Any) -> tuple[int, int, int]:
    return tuple(answer.json[name] for name in ("accepted", "duplicates", "refused"))


@pytest.mark.parametrize(
    ("stream", "row", "other"),
    [("feedback", event(), event(value=1)), ("inferences", call(), call(output="b"))],
)
def test_a_repeated_id_lands_once_and_another_content_is_a_conflict(
    tmp_path: Path, stream: str, row: dict[str, Any], other: dict[str, Any]
):
    with serving(tmp_path) as client:
        assert counts(client.post(row, stream)) == (1, 0, 0)
        assert counts(client.post(dict(reversed(row.items())), stream)) == (0, 1, 0)
        assert client.post(other, stream).status == 409
    # And after a restart: what is known is read from the landing log.
    with serving(tmp_path) as client:
        assert counts(client.post(row, stream)) == (0, 1, 0)
        assert client.post(other, stream).status == 409
        assert counts(client.post([row, other], stream)) == (0, 1, 1)
    assert len(landed(tmp_path, stream)) == 1
    assert {row["reason"] for row in landed(tmp_path, "quarantine")} == {"conflict"}


def test_an_event_without_an_id_is_its_content(tmp_path: Path):
    bare = {name: value for name, value in event().items() if name != "feedback_id"}
    with serving(tmp_path) as client:
        assert counts(client.post([bare, bare])) == (1, 1, 0)
        assert counts(client.post({**bare, "value": 1})) == (1, 0, 0)
    with serving(tmp_path) as client:
        assert counts(client.post(bare)) == (0, 1, 0)
    assert all("feedback_id" not in line for line in landed(tmp_path))


def test_a_request_key_makes_the_same_press_twice_two_events(tmp_path: Path):
    bare = {name: value for name, value in event().items() if name != "feedback_id"}
    with serving(tmp_path) as client:
        assert counts(client.post(bare, idempotency_key="k1")) == (1, 0, 0)
        assert counts(client.post(bare, idempotency_key="k1")) == (0, 1, 0)
        assert counts(client.post(bare, idempotency_key="k2")) == (1, 0, 0)
        assert counts(client.post([bare, bare], idempotency_key="k3")) == (2, 0, 0)
    ids = [line["feedback_id"] for line in landed(tmp_path)]
    assert ids == ["k1", "k2", "k3.0", "k3.1"]


def test_a_request_key_with_another_body_is_a_conflict_even_after_a_restart(tmp_path: Path):
    with serving(tmp_path) as client:
        assert client.post(event(0), idempotency_key="k").status == 202
        answer = client.post(event(1), idempotency_key="k")
        assert (answer.status, answer.faults) == (409, [(0, "Idempotency-Key", "conflict")])
    with serving(tmp_path) as client:
        assert client.post(event(1), idempotency_key="k").status == 409
        assert counts(client.post(event(0), idempotency_key="k")) == (0, 1, 0)
        assert client.post(call(3), "inferences", idempotency_key="k").status == 409
        assert client.post(event(1)).status == 202
    assert [line["feedback_id"] for line in landed(tmp_path)] == ["f0", "f1"]


def test_a_request_that_was_refused_whole_does_not_use_up_its_key(client: Client):
    assert client.post(event(kind="thumbs"), idempotency_key="k").status == 422
    assert client.post(event(), idempotency_key="k").status == 202


@pytest.mark.parametrize("key", ["", " ", "x" * 256, "größe"])
def test_a_request_key_that_names_nothing_is_refused(client: Client, key: str):
    assert client.post(event(), idempotency_key=key).status == 400


def test_requests_that_are_under_way_together_land_an_event_once(client: Client):
    answers = client.together(*[event() for _ in range(20)], *[event(value=1)] * 2)
    assert [answer.status for answer in answers] == [202] * 20 + [409] * 2
    assert sorted(map(counts, answers))[-2:] == [(0, 1, 0), (1, 0, 0)]
    assert len(landed(client.landing)) == 1


def test_what_another_process_logged_into_the_folder_is_known(tmp_path: Path):
    folder = tmp_path / "feedback"
    folder.mkdir()
    (folder / "20260101T000000Z-app-7-0.jsonl").write_text(
        json.dumps(event(0)) + "\nnot json\n7\n" + json.dumps(event(1)) + "\n"
    )
    with serving(tmp_path) as client:
        assert counts(client.post([event(0), event(1), event(2)])) == (1, 2, 0)


def test_memory_is_bounded_and_the_newest_are_known(tmp_path: Path):
    with serving(tmp_path, remember=50) as client:
        for start in range(0, 300, 30):
            client.post([event(n) for n in range(start, start + 30)])
        assert counts(client.post([event(n) for n in range(250, 300)])) == (0, 50, 0)
        assert b"remembered_events 100\n" in client.get("/metrics").body
    with serving(tmp_path, remember=50) as client:
        assert counts(client.post([event(n) for n in range(250, 300)])) == (0, 50, 0)
        assert counts(client.post(event(0))) == (1, 0, 0)


def test_what_is_seen_is_at_most_two_generations():
    seen = Seen(10)
    for n in range(1000):
        seen.add(b"%d" % n, b"x")
        assert len(seen) <= 20
        assert all(seen.get(b"%d" % m) for m in range(max(0, n - 9), n + 1))
