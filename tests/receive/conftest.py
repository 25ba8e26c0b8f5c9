"""The service in this process, asked without a socket, and as a process of its own."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from workbench.receive import server
from workbench.receive.keys import Key

ROOT = Path(__file__).resolve().parents[2]
NOW = "2026-03-01T12:00:00Z"


def event(number: int = 0, **fields: Any) -> dict[str, Any]:
    """One thumb."""
    row = {"feedback_id": f"f{number}", "request_id": f"r{number}", "ts": NOW}
    return {**row, "name": "thumb", "value": number % 2, **fields}


def call(number: int = 0, **fields: Any) -> dict[str, Any]:
    """One logged model call."""
    return {"request_id": f"r{number}", "ts": NOW, "model_version": "v1", **fields}


@dataclass(frozen=True)
class Answer:
    """What the service answered."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """The body, read."""
        return json.loads(self.body)

    @property
    def faults(self) -> list[tuple[int, str | None, str]]:
        """Place, field and reason of each error of a problem."""
        return [(e["index"], e["field"], e["reason"]) for e in self.json["errors"]]


class Client:
    """Asks an ASGI application."""

    def __init__(self, app: Any, runner: asyncio.Runner, landing: Path) -> None:
        self._app = app
        self._runner = runner
        self.landing = landing

    def ask(self, method: str, path: str, body: bytes = b"", **headers: str) -> Answer:
        """Send one request; underscores in names of headers are dashes."""
        return self._runner.run(self._ask(method, path, body, headers))

    def together(self, *bodies: Any) -> list[Answer]:
        """Send feedback in requests that are all under way at once."""

        async def all_of_them() -> list[Answer]:
            asked = [self._ask("POST", "/v1/feedback", _bytes(body), {}) for body in bodies]
            return await asyncio.gather(*asked)

        return self._runner.run(all_of_them())

    def post(self, body: Any, stream: str = "feedback", **headers: str) -> Answer:
        """Send events; what is not bytes is sent as JSON."""
        return self.ask("POST", f"/v1/{stream}", _bytes(body), **headers)

    def get(self, path: str, **headers: str) -> Answer:
        """Read something."""
        return self.ask("GET", path, **headers)

    async def _ask(self, method: str, path: str, body: bytes, headers: Mapping[str, str]) -> Answer:
        given = {"content-type": "application/json"} if body else {}
        given |= {name.replace("_", "-").lower(): value for name, value in headers.items()}
        where, _, query = path.partition("?")
        scope = {
            "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": method,
            "scheme": "http", "path": where, "raw_path": where.encode(),
            "query_string": query.encode(), "root_path": "",
            "headers": [(n.encode(), v.encode("latin-1")) for n, v in given.items()],
            "client": ("10.0.0.7", 1), "server": ("127.0.0.1", 80),
        }  # fmt: skip
        sent: list[dict[str, Any]] = []
        pieces = [body[i : i + 1000] for i in range(0, len(body), 1000)] or [b""]
        messages = [
            {"type": "http.request", "body": piece, "more_body": n + 1 < len(pieces)}
            for n, piece in enumerate(pieces)
        ]

        async def receive() -> dict[str, Any]:
            return messages.pop(0) if messages else {"type": "http.disconnect"}

        async def send(message: dict[str, Any]) -> None:
            sent.append(message)

        await self._app(scope, receive, send)
        content = b"".join(message.get("body", b"") for message in sent[1:])
        head = {n.decode(): v.decode() for n, v in sent[0]["headers"]}
        return Answer(sent[0]["status"], head, content)


def _bytes(body: Any) -> bytes:
    return body if isinstance(body, bytes) else json.dumps(body).encode()


@contextmanager
def serving(landing: Path, **settings: Any) -> Iterator[Client]:
    """A service in this process; at the end it stops as on SIGTERM."""
    chosen = replace(server.Settings(landing=landing), **settings)
    app, _ = server.application(chosen)
    with asyncio.Runner() as runner:
        started, stopping, stopped = asyncio.Event(), asyncio.Event(), asyncio.Event()

        async def receive() -> dict[str, str]:
            if not started.is_set():
                return {"type": "lifespan.startup"}
            await stopping.wait()
            return {"type": "lifespan.shutdown"}

        async def send(message: dict[str, str]) -> None:
            assert message["type"] in ("lifespan.startup.complete", "lifespan.shutdown.complete")
            (stopped if started.is_set() else started).set()

        async def start() -> asyncio.Task[None]:
            task = asyncio.create_task(app({"type": "lifespan"}, receive, send))
            await started.wait()
            return task

        async def stop(task: asyncio.Task[None]) -> None:
            stopping.set()
            await task

        running = runner.run(start())
        try:
            yield Client(app, runner, landing)
        finally:
            runner.run(stop(running))


@pytest.fixture
def client(tmp_path: Path) -> Iterator[Client]:
    """A service of its own for each test."""
    with serving(tmp_path / "landing") as found:
        yield found


def landed(landing: Path, stream: str = "feedback") -> list[dict[str, Any]]:
    """All lines of a stream, of files that are still being written too, in the order of arrival."""
    paths = sorted((landing / stream).iterdir(), key=lambda path: path.name.lstrip("."))
    return [json.loads(line) for path in paths for line in path.read_bytes().splitlines()]


def key(name: str, **fields: Any) -> Key:
    """A key whose text is its name."""
    import hashlib

    only = fields.get("only", ("feedback", "inferences", "traces"))
    return Key(name, hashlib.sha256(name.encode()).hexdigest(), only)


@contextmanager
def process(
    folder: Path, *arguments: str, port: int = 0
) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A service as a process of its own, and its address."""
    command = [sys.executable, "-m", "workbench.cli.main", "receive", "--project", str(folder)]
    service = subprocess.Popen(
        [*command, "--port", str(port), "--json", *arguments],
        cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert service.stdout is not None
    assert service.stderr is not None
    try:
        line = service.stdout.readline()
        assert line, service.stderr.read()
        yield service, json.loads(line)["address"]
    finally:
        service.kill()
        service.wait()
        service.stdout.close()
        service.stderr.close()
