"""What the service has done, in the text format of Prometheus."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)


class Counters:
    """Counts since the service started."""

    def __init__(self) -> None:
        self._requests: Counter[tuple[str, int]] = Counter()
        self._events: Counter[tuple[str, str]] = Counter()
        self._commits: Counter[float] = Counter()
        self._commit_seconds = 0.0
        self._lines = 0
        self._failed = 0
        self.recovered_files = 0
        self.cut_off_lines = 0

    def answered(self, path: str, status: int) -> None:
        """A request was answered."""
        self._requests[path, status] += 1

    def happened(self, stream: str, outcome: str, number: int = 1) -> None:
        """Events of a stream were accepted, duplicates, conflicts or refused."""
        self._events[stream, outcome] += number

    def committed(self, *, lines: int, seconds: float, failed: bool) -> None:
        """A group of lines was written, in one fsync per stream, or could not be."""
        if failed:
            self._failed += 1
            return
        bound = next((bound for bound in _SECONDS if seconds <= bound), float("inf"))
        self._commits[bound] += 1
        self._commit_seconds += seconds
        self._lines += lines

    def text(self, *, remembered: int, healthy: bool) -> str:
        """Render everything for a scrape."""
        name = "workbench_receive"
        events = [
            f'{name}_events_total{{stream="{stream}",outcome="{outcome}"}} {number}'
            for (stream, outcome), number in sorted(self._events.items())
        ]
        requests = [
            f'{name}_requests_total{{path="{path}",status="{status}"}} {number}'
            for (path, status), number in sorted(self._requests.items())
        ]
        commits, total = [], 0
        for bound in (*_SECONDS, float("inf")):
            total += self._commits[bound]
            label = "+Inf" if bound == float("inf") else f"{bound:g}"
            commits.append(f'{name}_commit_seconds_bucket{{le="{label}"}} {total}')
        commits += [
            f"{name}_commit_seconds_sum {self._commit_seconds:.6f}",
            f"{name}_commit_seconds_count {total}",
        ]
        families = [
            _family("events_total", "counter", "Events by what became of them.", events),
            _family("requests_total", "counter", "Requests by route and status.", requests),
            _family("commit_seconds", "histogram", "Time of a group commit.", commits),
            _single("committed_lines_total", "counter", "Lines made durable.", self._lines),
            _single("failed_commits_total", "counter", "Group commits that failed.", self._failed),
            _single("recovered_files", "gauge", "Files of a killed run.", self.recovered_files),
            _single("cut_off_lines", "gauge", "Unfinished lines of it.", self.cut_off_lines),
            _single("remembered_events", "gauge", "Known identities.", remembered),
            _single("healthy", "gauge", "1 when the last write succeeded.", int(healthy)),
        ]
        return "\n".join(line for family in families for line in family) + "\n"


def _family(name: str, kind: str, meaning: str, samples: Iterable[str]) -> list[str]:
    full = f"workbench_receive_{name}"
    return [f"# HELP {full} {meaning}", f"# TYPE {full} {kind}", *samples]


def _single(name: str, kind: str, meaning: str, value: int) -> list[str]:
    return _family(name, kind, meaning, [f"workbench_receive_{name} {value}"])
