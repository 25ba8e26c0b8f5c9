"""Answers in JSON: what went well, and problems as RFC 9457 describes them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

import orjson
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

PROBLEM = "application/problem+json"
_TYPE = "urn:feedback-workbench:problem:"


class ProblemError(Exception):
    """A request ends with this answer."""

    def __init__(self, response: Response) -> None:
        super().__init__(response.status_code)
        self.response = response


def json_answer(content: Any, status: int = 200) -> Response:
    """An answer in JSON."""
    return Response(orjson.dumps(content), status, media_type="application/json")


def problem(
    status: int,
    kind: str,
    detail: str,
    *,
    headers: Mapping[str, str] | None = None,
    retry_after: float | None = None,
    **more: Any,
) -> Response:
    """A problem document.

    Parameters
    ----------
    status
        HTTP status.
    kind
        Name of the problem; the same for every occurrence.
    detail
        What happened this time, and what to do.
    headers
        Further headers.
    retry_after
        Seconds after which the same request may succeed.
    **more
        Further members of the document.
    """
    document = {
        "type": _TYPE + kind,
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": detail,
        **more,
    }
    sent = dict(headers or {})
    if retry_after is not None:
        sent["Retry-After"] = str(max(1, math.ceil(retry_after)))
    return Response(orjson.dumps(document), status, media_type=PROBLEM, headers=sent)


async def on_problem(_: Request, error: Exception) -> Response:
    """Answer with the problem that was raised."""
    assert isinstance(error, ProblemError)
    return error.response


async def on_http_error(_: Request, error: Exception) -> Response:
    """Answer what the router refuses: an unknown path, another method."""
    assert isinstance(error, HTTPException)
    return problem(error.status_code, "http", error.detail, headers=error.headers)


async def on_fault(_: Request, error: Exception) -> Response:
    """Answer a fault of the service itself; the server logs it."""
    return problem(500, "fault", f"The service failed: {type(error).__name__}.")
