"""Counters that add up, in threads, whatever the policy, on a disk that fails; nothing raises."""

from __future__ import annotations

import errno
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.capture.landed import hidden, lines
from workbench import capture
from workbench.capture import _files
from workbench.errors import ConfigError


def adds_up(found: capture.Counters) -> bool:
    return found.accepted == found.written + found.dropped + found.pending + found.lost


def in_threads(n: int, work: Callable[[int], None]) -> None:
    threads = [threading.Thread(target=work, args=(i,)) for i in range(n)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


class Slow:
    """A value whose writing takes the writer a while."""

    def __str__(self) -> str:
        time.sleep(0.002)
        return "slow"


def test_what_is_logged_is_what_is_written(tmp_path: Path):
    with capture.open(tmp_path, model_version="v3", max_rows=40, flush_seconds=0.005) as log:
        ids = []
        for i in range(100):
            ids.append(log.inference(input=f"question {i}", user_id="u1"))
            log.feedback(request_id=ids[-1], name="thumb", value=i % 2)
            if i % 20 == 19:
                assert log.flush()
    rows, events = lines(tmp_path), lines(tmp_path, "feedback")
    assert [row["request_id"] for row in rows] == ids == sorted(ids)
    assert [row["input"] for row in rows] == [f"question {i}" for i in range(100)]
    assert {row["model_version"] for row in rows} == {"v3"}
    assert [event["request_id"] for event in events] == ids
    assert len({event["feedback_id"] for event in events}) == 100
    assert len(list((tmp_path / "inferences").iterdir())) > 1
    assert log.counters() == capture.Counters(accepted=200, written=200)
    found = capture.ledger(tmp_path)
    assert found["inferences"] == found["feedback"] == capture.Counters(accepted=100, written=100)
    assert not hidden(tmp_path)


@pytest.mark.parametrize("when_full", ["drop", "block", "spill"])
def test_the_counters_add_up_at_every_moment_in_threads(tmp_path: Path, when_full: Any):
    log = capture.open(
        tmp_path, model_version="v", when_full=when_full, max_pending=50, max_rows=70
    )
    slow, over = Slow(), threading.Event()
    moments = []

    def watch() -> None:
        while not over.is_set():
            moments.append((log.counters(), sum_of(capture.ledger(tmp_path))))
            time.sleep(0.003)

    watcher = threading.Thread(target=watch)
    watcher.start()

    def work(thread: int) -> None:
        for i in range(60):
            log.inference(request_id=f"{thread}-{i}", output=slow if i % 5 == 0 else "x")

    in_threads(4, work)
    over.set()
    watcher.join()
    assert log.close()
    last = log.counters()
    assert all(adds_up(found) for pair in [*moments, (last, last)] for found in pair)
    assert (last.accepted, last.pending, last.lost) == (240, 0, 0)
    assert (last.dropped > 0) == (when_full == "drop")
    ids = [row["request_id"] for row in lines(tmp_path)]
    assert len(ids) == len(set(ids)) == last.written
    assert sum_of(capture.ledger(tmp_path)) == last


def sum_of(found: dict[str, capture.Counters]) -> capture.Counters:
    return found["inferences"] + found["feedback"]


def test_no_more_rows_wait_than_may(tmp_path: Path):
    log = capture.open(tmp_path, max_pending=30, flush_seconds=60)
    for _ in range(200):
        log.feedback(name="n", value=1)
    found = log.counters()
    assert (found.accepted, found.dropped, found.pending) == (200, 170, 30)
    assert log.close()
    assert len(lines(tmp_path, "feedback")) == 30


def test_a_blocked_call_gives_up_in_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    release = threading.Event()
    write = os.write
    monkeypatch.setattr(
        _files.os, "write", lambda descriptor, data: (release.wait(), write(descriptor, data))[1]
    )
    log = capture.open(tmp_path, when_full="block", max_pending=1, block_seconds=0.02)
    for _ in range(3):
        log.feedback(name="n", value=1)
    assert log.counters().dropped == 2
    release.set()
    assert log.close()
    assert log.counters() == capture.Counters(accepted=3, written=1, dropped=2)


def test_what_the_caller_changes_afterwards_is_not_logged(tmp_path: Path):
    with capture.open(tmp_path, flush_seconds=60) as log:
        messages, vector, features = [{"role": "user"}], np.zeros(3), {"age": 41}
        log.inference(request_id="a", input=messages, embedding=vector, features=features)
        with log.call(request_id="b", input=messages) as call:
            messages.append({"role": "assistant"})
            call.add(output=messages)
            messages.clear()
        vector += 1
        features["age"] = 0
    first, second = lines(tmp_path)
    assert (first["input"], first["embedding"], first["age"]) == ([{"role": "user"}], [0, 0, 0], 41)
    assert second["input"] == [{"role": "user"}]
    assert second["output"] == [{"role": "user"}, {"role": "assistant"}]


@pytest.mark.parametrize("durability", ["batch", "fsync"])
@pytest.mark.parametrize("when_full", ["drop", "spill"])
def test_a_disk_that_is_full_for_a_while_costs_nothing_that_fits_in_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, durability: Any, when_full: Any
):
    full, write = threading.Event(), os.write

    def half(descriptor: int, data: Any) -> int:
        if full.is_set():
            write(descriptor, bytes(data)[: len(data) // 2])
            raise OSError(errno.ENOSPC, "No space left on device")
        return write(descriptor, data)

    monkeypatch.setattr(_files.os, "write", half)
    log = capture.open(
        tmp_path, durability=durability, when_full=when_full, max_pending=20, flush_seconds=0.002
    )
    log.feedback(name="n", value=0)
    assert log.flush()
    full.set()
    for value in range(1, 31):
        log.feedback(name="n", value=value)
    assert not log.flush(timeout=0.05)
    assert isinstance(log.last_error, OSError)
    found = log.counters()
    assert (found.written, found.pending, found.dropped) == (1, 20, 10)
    assert found.write_errors > 0
    full.clear()
    assert log.close()
    assert [row["value"] for row in lines(tmp_path, "feedback")] == list(range(21))


def test_a_row_that_survives_the_machine_is_in_a_file_that_its_folder_lists_durably(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    synced, sync = set(), os.fsync

    def recorded(descriptor: int) -> None:
        synced.add(os.fstat(descriptor).st_ino)
        sync(descriptor)

    log = capture.open(tmp_path, durability="fsync")
    monkeypatch.setattr(os, "fsync", recorded)
    log.feedback(name="n", value=1)
    assert log.flush()
    (path,) = (tmp_path / "feedback").iterdir()
    assert path.name in hidden(tmp_path)
    assert {path.stat().st_ino, path.parent.stat().st_ino} <= synced
    log.close()


def test_what_could_not_be_written_until_the_end_is_dropped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    log = capture.open(tmp_path)

    def broken(descriptor: int, data: Any) -> int:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(_files.os, "write", broken)
    log.feedback(name="n", value=1)
    assert not log.close(timeout=0.05)
    found = log.counters()
    assert (found.accepted, found.dropped, found.pending) == (1, 1, 0)


def test_after_the_end_rows_are_dropped_and_counted(tmp_path: Path):
    log = capture.open(tmp_path)
    log.feedback(name="n", value=1)
    log.close()
    log.feedback(name="n", value=2)
    assert log.counters() == capture.Counters(accepted=2, written=1, dropped=1)


def test_what_the_caller_gives_counts_more_than_what_is_made(tmp_path: Path):
    with capture.open(tmp_path) as log:
        assert log.inference(request_id="r1", ts="2026-03-01T00:00:00Z") == "r1"
        assert log.feedback(feedback_id="f1", name="n", value=1, ts="2026-03-02T00:00:00Z") == "f1"
        made = log.feedback(feedback_id=None, name="n", value=1)
    assert lines(tmp_path) == [{"ts": "2026-03-01T00:00:00Z", "request_id": "r1"}]
    events = lines(tmp_path, "feedback")
    assert [event["feedback_id"] for event in events] == ["f1", made]
    assert events[0]["ts"] == "2026-03-02T00:00:00Z"


def test_a_folder_that_cannot_be_used_is_no_reason_to_raise(tmp_path: Path):
    log = capture.open(tmp_path)
    for folder in ("inferences", "feedback"):
        (tmp_path / folder).rmdir()
        (tmp_path / folder).write_text("in the way")
    (tmp_path / ".capture").write_text("in the way")
    log.inference(input="x")
    log.feedback(name="n", value=1)
    assert not log.flush(timeout=0.05)
    assert log.last_error is not None
    for folder in ("inferences", "feedback"):
        (tmp_path / folder).unlink()
    assert log.close()
    assert len(lines(tmp_path)) == len(lines(tmp_path, "feedback")) == 1
    assert (log.counters().accepted, log.counters().written) == (2, 2)


def test_options_that_would_do_nothing_are_refused_all_at_once(tmp_path: Path):
    with pytest.raises(ConfigError) as error:
        capture.open(
            tmp_path,
            when_full="forget",  # type: ignore[arg-type]
            redact={"inputs": str},
            sample={"embedding": 2},
            max_age=0,
            modelversion="v3",
        )
    text = str(error.value)
    for part in (
        "'forget'",
        "Did you mean 'input'?",
        "embedding = 2",
        "max_age = 0",
        "model_version",
    ):
        assert part in text
