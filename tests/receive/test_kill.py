"""A service that is killed in the middle of the load has kept all that it acknowledged, once."""

from __future__ import annotations

import http.client
import json
import threading
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from tests.receive.conftest import event, landed, process

SENDERS = 6
#: Events of a request: single ones, and batches that are written in more than one piece.
SIZES = (1, 1, 200)


@dataclass
class Sender:
    """One client, which sends request after request and notes what was acknowledged."""

    name: int
    next: int = 0
    acknowledged: set[str] = field(default_factory=set)
    open: list[dict[str, object]] = field(default_factory=list)

    def request(self) -> list[dict[str, object]]:
        """The next request: what is not acknowledged goes first, as it was."""
        if not self.open:
            size = SIZES[self.next % len(SIZES)]
            ids = [f"{self.name}-{self.next}-{n}" for n in range(size)]
            self.open = [event(feedback_id=i, comment="x" * 300) for i in ids]
            self.next += 1
        return self.open

    def run(self, port: int, requests: int) -> None:
        """Send until the service is gone, or so many requests were acknowledged."""
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
        try:
            for _ in range(requests):
                rows = self.request()
                body = json.dumps(rows[0] if len(rows) == 1 else rows)
                connection.request(
                    "POST", "/v1/feedback", body, {"Content-Type": "application/json"}
                )
                answer = connection.getresponse()
                answer.read()
                assert answer.status == 202
                self.acknowledged |= {str(row["feedback_id"]) for row in rows}
                self.open = []
        except (OSError, http.client.HTTPException):
            return
        finally:
            connection.close()


def test_no_acknowledged_event_is_lost_and_none_doubled_after_the_retry(tmp_path: Path):
    senders = [Sender(n) for n in range(SENDERS)]

    def send(address: str, requests: int) -> list[threading.Thread]:
        port = int(address.rpartition(":")[2])
        threads = [threading.Thread(target=s.run, args=(port, requests)) for s in senders]
        for thread in threads:
            thread.start()
        return threads

    for wanted in (1500, 4000):
        with process(tmp_path, "--publish-after", "0.2") as (service, address):
            threads = send(address, 100_000)
            while sum(len(s.acknowledged) for s in senders) < wanted:
                assert any(thread.is_alive() for thread in threads)
                threads[0].join(0.02)
            service.kill()
            for thread in threads:
                thread.join()
        kept = Counter(str(row["feedback_id"]) for row in whole(tmp_path / "landing"))
        assert {i for s in senders for i in s.acknowledged} <= set(kept)
        assert max(kept.values()) == 1
        # Nobody who was cut off may have been in luck always, or nothing was tested.
        assert any(sender.open for sender in senders)
    with process(tmp_path) as (_, address):
        for thread in send(address, 2):
            thread.join()
    acknowledged = {i for s in senders for i in s.acknowledged}
    kept = Counter(str(row["feedback_id"]) for row in landed(tmp_path / "landing"))
    assert not any(sender.open for sender in senders)
    assert set(kept) == acknowledged
    assert max(kept.values()) == 1


def whole(landing: Path) -> list[dict[str, object]]:
    """What is on the disk, but for a last line that was cut off."""
    paths = sorted((landing / "feedback").iterdir())
    lines = [line for path in paths for line in path.read_bytes().splitlines(keepends=True)]
    return [json.loads(line) for line in lines if line.endswith(b"\n")]
