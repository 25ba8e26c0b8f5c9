"""What happens to a request that brings events, from its headers to its answer."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import orjson
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from workbench.contract import FEEDBACK_SCHEMA_VERSION
from workbench.receive import keys, limits
from workbench.receive.check import Check, Fault
from workbench.receive.counters import Counters
from workbench.receive.journal import Entry, Journal
from workbench.receive.keys import Key
from workbench.receive.problems import ProblemError, json_answer, problem
from workbench.receive.seen import IDENTITY, OWN_FIELDS, digest, identity, request_key

JSON = ("application/json",)
LINES = ("application/x-ndjson", "application/jsonl", "application/jsonlines")
#: Errors that an answer lists; all of them are in quarantine.
_LISTED = 100
#: Events that are handled before other requests have their turn.
_TURN = 200


@dataclass(frozen=True, kw_only=True)
class Service:
    """What requests are answered with.

    Attributes
    ----------
    checks
        How the events of each stream are checked.
    known_keys
        Who may send; everybody may where there are none.
    max_body
        Bytes that a body may have.
    """

    journal: Journal
    counters: Counters
    checks: Mapping[str, Check]
    known_keys: tuple[Key, ...]
    rate: limits.Rate
    max_body: int


@dataclass(frozen=True)
class Refused:
    """An event that does not land: its place in the request, its text, and what is wrong."""

    index: int
    raw: str
    faults: Sequence[Fault]


@dataclass(frozen=True, kw_only=True)
class Sums:
    """What became of the events of a request."""

    accepted: int
    duplicates: int
    refused: Sequence[Refused]


async def admit(service: Service, request: Request, stream: str) -> tuple[str, bytes]:
    """Let a request in: who sends it, and its body.

    Raises
    ------
    ProblemError
        If its key, its rate or its size does not permit it, or the service is behind.
    """
    sender = _sender(service, request, stream)
    wait = service.rate.wait(sender)
    if wait > 0:
        detail = "More events came than the rate permits; send the same again later."
        raise ProblemError(problem(429, "rate", detail, retry_after=wait))
    if service.journal.busy:
        detail = "More waits for the disk than may; send the same again later."
        raise ProblemError(problem(503, "busy", detail, retry_after=1))
    try:
        return sender, await limits.body(request, service.max_body)
    except limits.TooLargeError:
        detail = f"A body may have {service.max_body:,} bytes, unpacked; send fewer events."
        raise ProblemError(
            problem(413, "too-large", detail, headers={"Connection": "close"})
        ) from None
    except ValueError as error:
        raise ProblemError(problem(415, "encoding", f"Unreadable: {error}.")) from error
    except ClientDisconnect:
        raise ProblemError(problem(400, "cut-off", "The body did not arrive whole.")) from None


async def events(service: Service, request: Request, stream: str) -> Response:
    """Answer a request that brings feedback or inferences.

    Raises
    ------
    ProblemError
        If nothing of it is received.
    """
    key = _idempotency_key(request)
    kind = content_type(request)
    if kind not in JSON + LINES:
        raise ProblemError(unsupported(kind, "application/json or application/x-ndjson"))
    sender, content = await admit(service, request, stream)
    try:
        items, single = _parse(kind, content)
    except orjson.JSONDecodeError as error:
        await unreadable(service, stream, content, sender, "not_json", str(error))
        raise ProblemError(problem(400, "not-json", f"The body is not JSON: {error}.")) from error
    service.rate.charge(sender, max(1, len(items)))
    taken, refused = await _checked(service.checks[stream], items)
    now = _now()
    added: dict[str, Any] = {"received_at": now}
    if stream == "feedback":
        added["schema_version"] = FEEDBACK_SCHEMA_VERSION
    request_entry = None
    if key is not None:
        signed = digest(content)
        added |= {"idempotency_key": key, "request_digest": signed.hex()}
        request_entry = Entry(stream, request_key(key), signed, None)
    entries: list[tuple[int, Entry]] = []
    for index, event in taken:
        await _turn(index)
        event = _own(event)
        if key is not None and stream == "feedback" and "feedback_id" not in event:
            event["feedback_id"] = key if single else f"{key}.{index}"
        line = orjson.dumps({**added, **event})
        entries.append((index, Entry(stream, *identity(stream, event), line)))
    sums = await _land(service, stream, entries, refused, now, sender, request_entry)
    return _answer(sums)


async def documents(
    service: Service,
    document: Mapping[str, Any],
    size: int,
    faults: Sequence[tuple[Any, Fault]],
    sender: str,
) -> None:
    """Land one OTLP document of `size` spans, and what was taken out of it."""
    service.rate.charge(sender, max(1, size + len(faults)))
    refused = [
        Refused(n, orjson.dumps(entry).decode(), [fault]) for n, (entry, fault) in enumerate(faults)
    ]
    entries = []
    if size:
        line = orjson.dumps(document, option=orjson.OPT_SORT_KEYS)
        entries = [(0, Entry("traces", *identity("traces", document), line))]
    await _land(service, "traces", entries, refused, _now(), sender)


async def unreadable(
    service: Service, stream: str, content: bytes, sender: str, reason: str, detail: str
) -> None:
    """Put a body that cannot be read into quarantine; what is not text is kept in base64."""
    service.rate.charge(sender, 1)
    try:
        raw = content.decode()
    except UnicodeDecodeError:
        raw = "base64:" + base64.b64encode(content).decode()
    await _land(
        service, stream, [], [Refused(0, raw, [Fault(None, reason, detail)])], _now(), sender
    )


def content_type(request: Request) -> str:
    """The media type of a request, without parameters."""
    given = request.headers.get("content-type", "application/json")
    return given.partition(";")[0].strip().lower()


def unsupported(kind: str, supported: str) -> Response:
    """The answer to a body of another type."""
    return problem(415, "content-type", f"{kind or 'Nothing'} is not read; send {supported}.")


def _sender(service: Service, request: Request, stream: str) -> str:
    """Who sends: the name of the key, or the address where no keys are needed."""
    if not service.known_keys:
        return request.client.host if request.client else "unknown"
    scheme, _, given = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer":
        given = request.headers.get("x-api-key", "")
    key = keys.find(service.known_keys, given.strip())
    if key is None:
        detail = "Send a key of this service: Authorization: Bearer KEY, or X-API-Key: KEY."
        raise ProblemError(
            problem(401, "key", detail, headers={"WWW-Authenticate": 'Bearer realm="receive"'})
        )
    if stream not in key.only:
        raise ProblemError(problem(403, "key", f"This key may write: {', '.join(key.only)}."))
    return key.name


def _idempotency_key(request: Request) -> str | None:
    key = request.headers.get("idempotency-key")
    if key is None:
        return None
    key = key.strip()
    if not (0 < len(key) <= 255 and key.isascii() and key.isprintable()):
        detail = "An Idempotency-Key has 1 to 255 printable ASCII characters."
        raise ProblemError(problem(400, "idempotency-key", detail))
    return key


def _parse(kind: str, content: bytes) -> tuple[list[tuple[Any, str | None]], bool]:
    """The events of a body, those that cannot be read as error and text; and if it is just one."""
    if kind in JSON:
        found = orjson.loads(content)
        if isinstance(found, list):
            return [(event, None) for event in found], False
        return [(found, None)], True
    items: list[tuple[Any, str | None]] = []
    for line in content.split(b"\n"):
        if line.strip():
            try:
                items.append((orjson.loads(line), None))
            except orjson.JSONDecodeError as error:
                items.append((str(error), line.decode("utf-8", "replace")))
    return items, False


async def _checked(
    check: Check, items: Sequence[tuple[Any, str | None]]
) -> tuple[list[tuple[int, dict[str, Any]]], list[Refused]]:
    """The events that may land, and the others."""
    taken: list[tuple[int, dict[str, Any]]] = []
    refused: list[Refused] = []
    for index, (event, text) in enumerate(items):
        await _turn(index)
        if text is not None:
            refused.append(Refused(index, text, [Fault(None, "not_json", event)]))
            continue
        if isinstance(event, dict):
            # As in a file, null is the same as leaving the field out.
            said = {name: value for name, value in event.items() if value is not None}
        faults = check.faults(said if isinstance(event, dict) else event)
        if faults:
            refused.append(Refused(index, orjson.dumps(event).decode(), faults))
        else:
            taken.append((index, said))
    return taken, refused


async def _turn(index: int) -> None:
    """Let other requests have their turn from time to time."""
    if index % _TURN == _TURN - 1:
        await asyncio.sleep(0)


def _own(event: dict[str, Any]) -> dict[str, Any]:
    """The event with what the sender says in the service's own fields under other names."""
    taken = [name for name in OWN_FIELDS if name in event and name != "schema_version"]
    for name in taken:
        event[f"sender_{name}"] = event.pop(name)
    return event


async def _land(
    service: Service,
    stream: str,
    entries: Sequence[tuple[int, Entry]],
    refused: Sequence[Refused],
    now: str,
    sender: str,
    request_entry: Entry | None = None,
) -> Sums:
    """Make everything durable, what is refused in quarantine.

    Raises
    ------
    ProblemError
        If that failed; nothing of the request is received then.
    """
    journal = service.journal
    failed = list(refused)
    if request_entry is not None and journal.contradicts(request_entry):
        fault = Fault("Idempotency-Key", "conflict", "it was sent with another body before")
        failed += [_refuse(index, entry, fault) for index, entry in entries]
        entries = []
    outcomes, batches = journal.enter([entry for _, entry in entries])
    if request_entry is not None and entries:
        batches |= journal.enter([request_entry])[1]
    fault = Fault(IDENTITY.get(stream), "conflict", "it was received with another content before")
    failed += [
        _refuse(index, entry, fault)
        for (index, entry), outcome in zip(entries, outcomes, strict=True)
        if outcome == "conflict"
    ]
    if failed:
        batches |= journal.quarantine(_quarantined(stream, one, now, sender) for one in failed)
    try:
        await journal.durable(batches)
    except OSError as error:
        detail = f"The disk did not take it: {error.strerror or error}. Send the same again later."
        raise ProblemError(problem(503, "disk", detail, retry_after=5)) from error
    sums = Sums(
        accepted=outcomes.count("accepted"),
        duplicates=outcomes.count("duplicate"),
        refused=sorted(failed, key=lambda one: one.index),
    )
    service.counters.happened(stream, "accepted", sums.accepted)
    service.counters.happened(stream, "duplicate", sums.duplicates)
    service.counters.happened(stream, "refused", len(failed))
    return sums


def _refuse(index: int, entry: Entry, fault: Fault) -> Refused:
    return Refused(index, (entry.line or b"").decode(), [fault])


def _quarantined(stream: str, one: Refused, now: str, sender: str) -> bytes:
    first = one.faults[0]
    line: bytes = orjson.dumps(
        {
            "received_at": now,
            "sender": sender,
            "table": stream,
            "reason": first.reason,
            "field": first.field,
            "errors": [fault.as_dict() for fault in one.faults],
            "raw": one.raw,
        }
    )
    return line


def _answer(sums: Sums) -> Response:
    counts: dict[str, Any] = {
        "accepted": sums.accepted,
        "duplicates": sums.duplicates,
        "refused": len(sums.refused),
    }
    if not sums.refused:
        return json_answer(counts, 202)
    errors = [
        {"index": one.index, **fault.as_dict()} for one in sums.refused for fault in one.faults
    ]
    conflicts = all(error["reason"] == "conflict" for error in errors)
    first = errors[0]
    where = f"{first['field']}: " if first["field"] else ""
    return problem(
        409 if conflicts else 422,
        "conflict" if conflicts else "invalid-event",
        f"{len(sums.refused)} of {sum(counts.values())} event(s) went to quarantine, the rest is "
        f"received. Event {first['index']}: {where}{first['detail']}.",
        **counts,
        errors=errors[:_LISTED],
    )


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
