"""The landing log: nothing is acknowledged that is not on the disk, and files appear whole."""

from __future__ import annotations

import errno
import json
import os
import re
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tests.receive.conftest import Client, call, event, landed, serving
from workbench.errors import LockedError
from workbench.receive.landing import Landing, published


class Disk:
    """Counts calls of fsync on files, and makes chosen ones fail."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.calls = 0
        self.full = False
        real = os.fsync

        def fsync(descriptor: int) -> None:
            self.calls += 1
            if self.full:
                raise OSError(errno.EIO, "Input/output error")
            real(descriptor)

        monkeypatch.setattr(os, "fsync", fsync)


def open_files(landing: Path) -> list[Path]:
    return sorted(landing.glob("*/.*.open"))


def test_requests_that_wait_together_share_an_fsync(
    client: Client, monkeypatch: pytest.MonkeyPatch
):
    client.post(event(1000))
    disk = Disk(monkeypatch)
    answers = client.together(*[event(n) for n in range(200)])
    assert {answer.status for answer in answers} == {202}
    assert 1 <= disk.calls <= 3
    assert len(landed(client.landing)) == 201


def test_a_failed_fsync_acknowledges_nothing_and_keeps_nothing(
    client: Client, monkeypatch: pytest.MonkeyPatch
):
    assert client.post(event(0)).status == 202
    disk = Disk(monkeypatch)
    disk.full = True
    answers = client.together(event(1), event(2), event(0), {"kind": "bad"})
    assert [answer.status for answer in answers] == [503, 503, 202, 503]
    assert "retry-after" in answers[0].headers
    assert client.get("/healthz").status == 503
    assert b"failed_commits_total 1\n" in client.get("/metrics").body
    assert [line["feedback_id"] for line in landed(client.landing)] == ["f0"]
    disk.full = False
    # The same again is not taken for a repetition.
    answers = client.together(event(1), event(2), event(0))
    assert [answer.json["accepted"] for answer in answers] == [1, 1, 0]
    assert client.get("/healthz").status == 200
    assert [line["feedback_id"] for line in landed(client.landing)] == ["f0", "f1", "f2"]


def test_a_duplicate_of_what_is_under_way_shares_its_fate(
    client: Client, monkeypatch: pytest.MonkeyPatch
):
    disk = Disk(monkeypatch)
    disk.full = True
    answers = client.together(event(0), event(0))
    assert [answer.status for answer in answers] == [503, 503]


def test_a_file_of_which_fsync_failed_is_not_written_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    landing = Landing(tmp_path)
    landing.commit({"feedback": [b'{"n":1}']})
    (first,) = open_files(tmp_path)
    disk = Disk(monkeypatch)
    disk.full = True
    with pytest.raises(OSError, match="Input/output"):
        landing.commit({"feedback": [b'{"n":2}'], "inferences": [b'{"n":3}']})
    disk.full = False
    landing.commit({"feedback": [b'{"n":4}']})
    assert first in open_files(tmp_path)
    assert first.read_bytes() == b'{"n":1}\n'
    landing.close()
    assert [path.read_bytes() for path in published(tmp_path, "feedback")] == [
        b'{"n":1}\n', b'{"n":4}\n',
    ]  # fmt: skip
    assert published(tmp_path, "inferences") == []
    assert open_files(tmp_path) == []


def test_a_file_is_published_when_it_is_old_or_large_and_at_the_end(tmp_path: Path):
    now = 0.0
    landing = Landing(tmp_path, max_bytes=100, max_age=5, clock=lambda: now)
    landing.commit({"feedback": [b"{}"]})
    now = 4.9
    landing.publish()
    assert published(tmp_path, "feedback") == []
    assert landing.seconds_to_publication() == pytest.approx(0.1)
    now = 5.0
    assert landing.seconds_to_publication() == 0
    landing.publish()
    assert len(published(tmp_path, "feedback")) == 1
    assert landing.seconds_to_publication() is None
    landing.commit({"feedback": [b'"' + b"x" * 100 + b'"']})
    assert len(published(tmp_path, "feedback")) == 2
    landing.commit({"feedback": [b"{}"], "traces": [b"{}"]})
    landing.close()
    assert len(published(tmp_path, "feedback")) == 3
    assert open_files(tmp_path) == []


def test_files_appear_while_the_service_runs(tmp_path: Path):
    import asyncio

    with serving(tmp_path, publish_after=0.05) as client:
        client.post(event())
        client._runner.run(asyncio.sleep(0.4))
        assert len(published(tmp_path, "feedback")) == 1


def test_one_process_receives_into_a_folder(tmp_path: Path):
    landing = Landing(tmp_path)
    with pytest.raises(LockedError, match="Another process"):
        Landing(tmp_path)
    landing.close()
    Landing(tmp_path).close()


def left_behind(folder: Path, pid: int, content: bytes, host: str | None = None) -> Path:
    """A file as a killed process leaves it."""
    own = re.sub(r"[^A-Za-z0-9.]", "_", socket.gethostname())
    path = folder / "feedback" / f".20260101T000000000000Z-{host or own}-{pid}-0.jsonl.open"
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(content)
    return path


@pytest.fixture(scope="module")
def dead() -> int:
    """The number of a process that has ended."""
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def test_whole_lines_of_a_killed_process_are_kept_and_the_cut_one_is_counted(
    tmp_path: Path, dead: int
):
    lines = json.dumps(event(0)) + "\n" + json.dumps(event(1)) + "\n"
    left_behind(tmp_path, dead, lines.encode() + b'{"feedback_id": "f2", "na')
    with serving(tmp_path) as client:
        metrics = client.get("/metrics").body
        assert b"recovered_files 1\n" in metrics
        assert b"cut_off_lines 1\n" in metrics
        assert [line["feedback_id"] for line in landed(tmp_path)] == ["f0", "f1"]
        answer = client.post([event(n) for n in range(3)])
        assert answer.json["accepted"] == 1


def test_a_file_with_nothing_but_a_cut_line_is_removed(tmp_path: Path, dead: int):
    path = left_behind(tmp_path, dead, b'{"feed')
    landing = Landing(tmp_path)
    assert (landing.recovered.files, landing.recovered.cut_off) == (0, 1)
    assert not path.exists()
    landing.close()


def test_a_cut_line_may_be_longer_than_what_is_read_at_once(tmp_path: Path, dead: int):
    left_behind(tmp_path, dead, b"{}\n" + b"x" * 200_000)
    landing = Landing(tmp_path)
    assert [path.read_bytes() for path in published(tmp_path, "feedback")] == [b"{}\n"]
    landing.close()


def test_a_file_that_another_process_writes_is_left_alone_until_it_rests(tmp_path: Path):
    alive = left_behind(tmp_path, os.getppid(), b"{}\n")
    elsewhere = left_behind(tmp_path, 1, b"{}\n", host="other-machine")
    own = left_behind(tmp_path, os.getpid(), b"{}\n")
    first = Landing(tmp_path)
    assert (alive.exists(), elsewhere.exists(), own.exists()) == (True, True, False)
    assert first.recovered.files == 1
    first.close()
    os.utime(alive, (0, 0))
    os.utime(elsewhere, (0, 0))
    second = Landing(tmp_path)
    assert (alive.exists(), elsewhere.exists()) == (False, False)
    assert second.recovered.files == 2
    second.close()


def test_a_stop_publishes_what_was_accepted(tmp_path: Path):
    with serving(tmp_path) as client:
        client.post([event(n) for n in range(3)])
        client.post(call(), "inferences")
        assert published(tmp_path, "feedback") == []
    assert len(published(tmp_path, "feedback")) == len(published(tmp_path, "inferences")) == 1
    assert open_files(tmp_path) == []
