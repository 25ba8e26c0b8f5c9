"""Running the service: a socket, the landing log, and a graceful end."""

from __future__ import annotations

import ipaddress
import signal
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import uvicorn
from starlette.types import ASGIApp

from workbench.errors import ConfigError
from workbench.project import Project
from workbench.receive import app, check
from workbench.receive.counters import Counters
from workbench.receive.journal import Journal
from workbench.receive.keys import Key
from workbench.receive.landing import Landing, Recovered
from workbench.receive.limits import Rate
from workbench.receive.receiving import Service
from workbench.receive.seen import Seen

#: How long running requests may take after the service was told to stop.
_PATIENCE_SECONDS = 10


@dataclass(frozen=True, kw_only=True)
class Settings:
    """How the service runs.

    Attributes
    ----------
    landing
        Folder of the landing log.
    keys
        Who may send; everybody where there are none.
    origins
        Origins of web pages that may send.
    max_body
        Bytes of a body.
    rate
        Events per second of one sender.
    remember
        Identities of events that are known again, at least.
    publish_after
        Seconds after which landed events are visible to a build.
    optional_request_id
        The project attributes events without a ``request_id``.
    clocks
        Streams whose events must have a ``ts``.
    """

    landing: Path
    keys: tuple[Key, ...] = ()
    origins: tuple[str, ...] = ()
    max_body: int = 10_000_000
    rate: float = 20_000.0
    remember: int = 500_000
    publish_after: float = 5.0
    optional_request_id: bool = False
    clocks: tuple[str, ...] = ("feedback", "inferences")


def rules_of(project: Project) -> tuple[bool, tuple[str, ...]]:
    """What a project says of its events: `Settings.optional_request_id` and `Settings.clocks`."""
    sources = {source.table: source for source in project.sources}
    optional = "feedback" in sources and sources["feedback"].optional_request_id
    clocks = tuple(
        name
        for name in ("feedback", "inferences")
        if name not in sources or sources[name].clock != "none"
    )
    return optional, clocks


def application(settings: Settings) -> tuple[ASGIApp, Recovered]:
    """The service as an ASGI application, and what a killed run had left behind.

    Raises
    ------
    LockedError
        If another process receives into the same folder.
    """
    landing = Landing(settings.landing, max_age=settings.publish_after)
    seen = Seen(settings.remember)
    seen.read(settings.landing)
    counters = Counters()
    counters.recovered_files = landing.recovered.files
    counters.cut_off_lines = landing.recovered.cut_off
    service = Service(
        journal=Journal(landing, seen, counters),
        counters=counters,
        checks={
            "feedback": check.feedback(
                optional_request_id=settings.optional_request_id,
                clock="feedback" in settings.clocks,
            ),
            "inferences": check.inferences(clock="inferences" in settings.clocks),
        },
        known_keys=settings.keys,
        rate=Rate(settings.rate),
        max_body=settings.max_body,
    )
    return app.build(service, seen, origins=settings.origins), landing.recovered


def is_local(host: str) -> bool:
    """Whether only this machine can reach `host`."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def bind(host: str, port: int) -> socket.socket:
    """A socket that listens; port 0 takes a free one.

    Raises
    ------
    ConfigError
        If the address cannot be had.
    """
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        return socket.create_server((host, port), family=family, backlog=2048)
    except OSError as error:
        raise ConfigError(
            f"Cannot listen on {host}:{port}: {error.strerror or error}.",
            "Name another --port, or 0 for a free one.",
        ) from error


class _Server(uvicorn.Server):
    """A server that says when it is ready, and ends well on SIGTERM."""

    def __init__(self, config: uvicorn.Config, on_ready: Callable[[], None]) -> None:
        super().__init__(config)
        self._on_ready = on_ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets=sockets)
        self._on_ready()

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Stop on SIGTERM and SIGINT, without dying of the signal afterwards."""
        before = {
            number: signal.signal(number, self.handle_exit)
            for number in (signal.SIGTERM, signal.SIGINT)
        }
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


def run(served: ASGIApp, listening: socket.socket, on_ready: Callable[[], None]) -> None:
    """Serve until SIGTERM or Ctrl-C; what was accepted is published on return."""
    config = uvicorn.Config(
        served,
        access_log=False,
        log_level="warning",
        lifespan="on",
        ws="none",
        server_header=False,
        timeout_graceful_shutdown=_PATIENCE_SECONDS,
    )
    _Server(config, on_ready).run(sockets=[listening])
