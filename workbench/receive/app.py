"""The routes of the service."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from functools import cache
from pathlib import Path
from typing import Any

import orjson
from google.protobuf.json_format import MessageToDict
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from workbench.receive import counters, otlp, receiving
from workbench.receive.openapi import document
from workbench.receive.problems import (
    ProblemError,
    json_answer,
    on_fault,
    on_http_error,
    on_problem,
    problem,
)
from workbench.receive.receiving import Service
from workbench.receive.seen import Seen

PROTOBUF = "application/x-protobuf"


def build(service: Service, seen: Seen, *, origins: Sequence[str] = ()) -> ASGIApp:
    """The service as an ASGI application; its lifespan runs the journal.

    Parameters
    ----------
    service
        What requests are answered with.
    seen
        Whose size is shown among the metrics.
    origins
        Origins of web pages that may send feedback; ``*`` for all.
    """

    async def feedback(request: Request) -> Response:
        return await receiving.events(service, request, "feedback")

    async def inferences(request: Request) -> Response:
        return await receiving.events(service, request, "inferences")

    async def traces(request: Request) -> Response:
        return await _traces(service, request)

    async def schema(request: Request) -> Response:
        return _schema(service, request)

    async def healthz(_: Request) -> Response:
        failed = service.journal.failed
        if failed is None:
            return json_answer({"status": "ok"})
        detail = f"The last write failed: {failed.strerror or failed}."
        return problem(503, "disk", detail, retry_after=5)

    async def metrics(_: Request) -> Response:
        text = service.counters.text(remembered=len(seen), healthy=service.journal.failed is None)
        return Response(text, media_type=counters.CONTENT_TYPE)

    async def openapi(_: Request) -> Response:
        return json_answer(document(service.checks, secured=bool(service.known_keys)))

    async def widget(_: Request) -> Response:
        return Response(
            widget_script(),
            media_type="text/javascript; charset=utf-8",
            headers={"Cache-Control": "max-age=3600"},
        )

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        running = asyncio.create_task(service.journal.run())
        running.add_done_callback(_end_with)
        yield
        service.journal.close()
        await running

    routes = [
        Route("/v1/feedback", feedback, methods=["POST"]),
        Route("/v1/inferences", inferences, methods=["POST"]),
        Route("/v1/traces", traces, methods=["POST"]),
        Route("/v1/schema/{stream}", schema),
        Route("/healthz", healthz),
        Route("/metrics", metrics),
        Route("/openapi.json", openapi),
        Route("/widget.js", widget),
    ]
    middleware = [Middleware(_Counting, service=service, paths={route.path for route in routes})]
    if origins:
        middleware.append(
            Middleware(
                CORSMiddleware,
                allow_origins=list(origins),
                allow_methods=["POST", "GET"],
                allow_headers=["Authorization", "Content-Type", "Idempotency-Key", "X-API-Key"],
                expose_headers=["Retry-After"],
                max_age=3600,
            )
        )
    handlers: Any = {
        ProblemError: on_problem,
        HTTPException: on_http_error,
        Exception: on_fault,
    }
    return Starlette(
        routes=routes, middleware=middleware, exception_handlers=handlers, lifespan=lifespan
    )


def _end_with(running: asyncio.Task[None]) -> None:
    """End the service when its journal has failed: nothing would ever be answered again."""
    if not running.cancelled() and running.exception() is not None:
        signal.raise_signal(signal.SIGTERM)


class _Counting:
    """Counts answers by route and status."""

    def __init__(self, app: ASGIApp, service: Service, paths: set[str]) -> None:
        self._app = app
        self._service = service
        self._paths = paths

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def counted(message: Message) -> None:
            if message["type"] == "http.response.start":
                route = scope["path"]
                if route.startswith("/v1/schema/"):
                    route = "/v1/schema/{stream}"
                # An unknown path would let anyone fill the memory with labels.
                known = route if route in self._paths else "other"
                self._service.counters.answered(known, message["status"])
            await send(message)

        await self._app(scope, receive, counted)


@cache
def widget_script() -> bytes:
    """The script that puts thumbs, stars and a correction on a web page."""
    return Path(__file__).with_name("widget.js").read_bytes()


def _schema(service: Service, request: Request) -> Response:
    check = service.checks.get(request.path_params["stream"])
    if check is None:
        known = ", ".join(service.checks)
        return problem(404, "schema", f"There are schemas of: {known}.")
    asked = request.query_params.get("version", str(check.newest))
    versions = {str(version): schema for version, schema in check.by_version.items()}
    if asked not in versions:
        return problem(404, "version", f"There are the versions: {', '.join(versions)}.")
    return Response(orjson.dumps(versions[asked]), media_type="application/schema+json")


async def _traces(service: Service, request: Request) -> Response:
    kind = receiving.content_type(request)
    binary = kind == PROTOBUF
    if not binary and kind not in receiving.JSON:
        return receiving.unsupported(kind, f"{PROTOBUF} or application/json")
    sender, content = await receiving.admit(service, request, "traces")
    try:
        found = otlp.from_protobuf(content) if binary else orjson.loads(content)
        if not isinstance(found, dict):
            raise ValueError("an export request is an object")
    except ValueError as error:
        await receiving.unreadable(service, "traces", content, sender, "not_otlp", str(error))
        return problem(400, "not-otlp", f"The body cannot be read: {error}.")
    kept, spans, refused = otlp.separate(found)
    await receiving.documents(service, kept, spans, refused, sender)
    message = f"{refused[0][1].field}: {refused[0][1].detail}" if refused else ""
    answer = otlp.answer(len(refused), message)
    # OTLP has senders repeat what is not answered with 200.
    if binary:
        return Response(answer.SerializeToString(), media_type=PROTOBUF)
    return json_answer(MessageToDict(answer))
