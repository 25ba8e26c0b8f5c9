"""How many events a second `workbench receive` makes durable on loopback, and how long one takes.

- `steady`: one event a request, 2,000 requests a second on a fixed timetable over many connections;
  a late answer delays no other request, so nothing hides in the timetable.
- `single`: one event a request, as fast as the connections allow.
- `batched`: 100 events a request, as fast as the connections allow.
- `otlp`: traces of 10 spans in protobuf.
- `wrk`: one event a request, from wrk, where that is installed (Debian's package wrk).

The server is a process of its own, and so is the client, which is part of the load of the machine.
Each 202 is counted, and afterwards every acknowledged event is looked for in the landing folder;
the process is then killed, so what is found had been written before. Prints one JSON line a part.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import uvloop
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

Body = Callable[[int], bytes]


def event(number: int) -> dict[str, Any]:
    return {
        "feedback_id": f"f-{number:012}",
        "request_id": f"r-{number % 5000:08}",
        "ts": "2026-03-01T12:00:00.123Z",
        "name": "thumb",
        "kind": "binary",
        "value": number % 2,
        "user_id": f"u{number % 97}",
        "session_id": f"s{number % 997}",
        "rater_kind": "human",
        "channel": "web",
        "comment": "The answer misses the point, but it is polite about it.",
    }


def one(number: int) -> bytes:
    return json.dumps(event(number)).encode()


def hundred(number: int) -> bytes:
    return json.dumps([event(number * 100 + n) for n in range(100)]).encode()


def spans(number: int) -> bytes:
    request = ExportTraceServiceRequest()
    scope = request.resource_spans.add().scope_spans.add()
    for n in range(10):
        span = scope.spans.add(name="chat", kind=3, start_time_unix_nano=1, end_time_unix_nano=9)
        span.trace_id = (number + 1).to_bytes(16, "big")
        span.span_id = (n + 1).to_bytes(8, "big")
    return request.SerializeToString()


class Connection(asyncio.Protocol):
    """One keep-alive connection with one request under way."""

    def __init__(self) -> None:
        self._buffer = b""
        self._waiting: asyncio.Future[int] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        head, found, body = self._buffer.partition(b"\r\n\r\n")
        if not found:
            return
        length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
        if len(body) >= length and self._waiting is not None:
            self._buffer = b""
            waiting, self._waiting = self._waiting, None
            waiting.set_result(int(head[9:12]))

    async def post(self, path: str, kind: str, body: bytes) -> int:
        self._waiting = asyncio.get_running_loop().create_future()
        self._transport.write(  # type: ignore[attr-defined]
            f"POST {path} HTTP/1.1\r\nhost: x\r\ncontent-type: {kind}\r\n"
            f"content-length: {len(body)}\r\n\r\n".encode()
            + body
        )
        return await self._waiting


async def load(
    port: int, path: str, kind: str, body: Body, numbers: range, connections: int, rate: float
) -> dict[str, Any]:
    """Send the requests `numbers`; at `rate` requests a second, or as fast as it goes for 0."""
    loop = asyncio.get_running_loop()
    free: asyncio.Queue[Connection] = asyncio.Queue()
    for _ in range(connections):
        _, connection = await loop.create_connection(Connection, "127.0.0.1", port)
        free.put_nowait(connection)
    bodies = [body(number) for number in numbers]
    seconds: list[float] = []
    statuses: list[int] = []

    async def send(connection: Connection, content: bytes, due: float) -> None:
        statuses.append(await connection.post(path, kind, content))
        seconds.append(time.perf_counter() - due)
        free.put_nowait(connection)

    started = time.perf_counter()
    tasks = []
    for n, content in enumerate(bodies):
        due = started + n / rate if rate else 0.0
        if rate and (wait := due - time.perf_counter()) > 0:
            await asyncio.sleep(wait)
        connection = await free.get()
        # On a timetable the time counts from when the request was due, not from when it was sent.
        tasks.append(asyncio.create_task(send(connection, content, due or time.perf_counter())))
    await asyncio.gather(*tasks)
    took = time.perf_counter() - started
    cuts = statistics.quantiles(seconds, n=100)
    return {
        "requests": len(bodies),
        "acknowledged": sum(status in (200, 202) for status in statuses),
        "requests_per_second": round(len(bodies) / took),
        "p50_ms": round(cuts[49] * 1000, 2),
        "p99_ms": round(cuts[98] * 1000, 2),
    }


def serve(folder: Path) -> tuple[subprocess.Popen[str], int]:
    command = [sys.executable, "-m", "workbench.cli.main", "receive", "--project", str(folder)]
    server = subprocess.Popen(
        [*command, "--port", "0", "--json", "--rate", "1e9"], stdout=subprocess.PIPE, text=True
    )
    assert server.stdout is not None
    return server, int(json.loads(server.stdout.readline())["address"].rpartition(":")[2])


def cpu_seconds(process: int) -> float:
    """CPU time of a process so far; 0 where there is no /proc."""
    stat = Path(f"/proc/{process}/stat")
    if not stat.exists():
        return 0.0
    return sum(map(int, stat.read_text().split()[13:15])) / os.sysconf("SC_CLK_TCK")


def landed(folder: Path, stream: str) -> Iterator[dict[str, Any]]:
    for path in (folder / "landing" / stream).iterdir():
        for line in path.read_bytes().splitlines():
            yield json.loads(line)


def measure(
    name: str, path: str, kind: str, body: Body, requests: int, size: int, args: argparse.Namespace,
    rate: float = 0.0,
) -> dict[str, Any]:  # fmt: skip
    folder = Path(tempfile.mkdtemp(dir=args.folder))
    server, port = serve(folder)
    try:
        warm = range(requests, requests + 200)
        uvloop.run(load(port, path, kind, body, warm, args.connections, 0))
        before = cpu_seconds(server.pid)
        found = uvloop.run(load(port, path, kind, body, range(requests), args.connections, rate))
        cpu = cpu_seconds(server.pid) - before
    finally:
        server.send_signal(signal.SIGKILL)
        server.wait()
    stream = path.rpartition("/")[2]
    lines = sum(1 for _ in landed(folder, stream))
    expected = (requests + 200) * (1 if stream == "traces" else size)
    shutil.rmtree(folder)
    return {
        "part": name,
        **found,
        "events_per_second": found["requests_per_second"] * size,
        "server_cpu_us_per_event": round(cpu / (requests * size) * 1e6, 1),
        "load_average": round(os.getloadavg()[0], 1),
        "every_acknowledged_event_on_disk": lines == expected,
    }


def by_wrk(args: argparse.Namespace) -> dict[str, Any]:
    """One event a request from wrk, as fast as its connections allow; then kill the server."""
    folder = Path(tempfile.mkdtemp(dir=args.folder))
    server, port = serve(folder)
    try:
        said = subprocess.run(
            ["wrk", "--threads", "1", "--connections", str(args.connections),
             "--duration", f"{args.seconds}s", "--script", str(Path(__file__).with_suffix(".lua")),
             f"http://127.0.0.1:{port}"],
            capture_output=True, text=True, check=True,
        ).stdout  # fmt: skip
    finally:
        server.send_signal(signal.SIGKILL)
        server.wait()
    found = json.loads(said.splitlines()[-1])
    ids = [row["feedback_id"] for row in landed(folder, "feedback")]
    shutil.rmtree(folder)
    return {
        "part": "wrk",
        **found,
        "events_per_second": round(found["acknowledged"] / found["seconds"]),
        "load_average": round(os.getloadavg()[0], 1),
        # Of those that were under way at the end, wrk did not wait for the answer.
        "every_acknowledged_event_on_disk": len(ids) >= found["acknowledged"],
        "none_twice": len(ids) == len(set(ids)),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=int, default=10, help="of the timetable")
    parser.add_argument("--connections", type=int, default=64)
    parser.add_argument("--folder", help="where to land; a disk, not a file system in memory")
    args = parser.parse_args()
    events, traces = "/v1/feedback", "/v1/traces"
    plain, packed = "application/json", "application/x-protobuf"
    print(json.dumps(measure("steady", events, plain, one, 2000 * args.seconds, 1, args, 2000)))
    print(json.dumps(measure("single", events, plain, one, 20_000, 1, args)))
    print(json.dumps(measure("batched", events, plain, hundred, 2_000, 100, args)))
    print(json.dumps(measure("otlp", traces, packed, spans, 5_000, 10, args)))
    if shutil.which("wrk"):
        print(json.dumps(by_wrk(args)))


if __name__ == "__main__":
    main()
