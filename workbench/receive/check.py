"""What is wrong with an event, field by field, in the reasons that ingest gives."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

import jsonschema_rs

from workbench.contract import FEEDBACK_SCHEMA_VERSION
from workbench.receive import schemas

_EARLIEST = datetime(1990, 1, 1, tzinfo=UTC)
_LATEST = datetime(2100, 1, 1, tzinfo=UTC)
_REASONS = {
    "Required": "missing_value",
    "AnyOf": "missing_value",
    "Enum": "not_allowed",
    "Constant": "not_allowed",
    "Minimum": "out_of_range",
    "Maximum": "out_of_range",
    "Pattern": "missing_value",
}


@dataclass(frozen=True)
class Fault:
    """Why an event is refused.

    Attributes
    ----------
    field
        The field that is wrong, with the places inside of it: ``tags/1``.
    reason
        One of the reasons of ``docs/bad-input.md``, ``not_an_object``, ``conflict`` or
        ``unknown_version``.
    detail
        What a person should know.
    """

    field: str | None
    reason: str
    detail: str

    def as_dict(self) -> dict[str, Any]:
        """The fault as JSON can hold it."""
        return asdict(self)


@dataclass(frozen=True, kw_only=True)
class Check:
    """How the events of one stream are checked.

    Attributes
    ----------
    by_version
        Schema of each version that senders may follow, old ones too.
    newest
        The version that is meant where a sender names none.
    rules
        The conditions in ``allOf`` of the schemas, in their order.
    """

    by_version: Mapping[int, Mapping[str, Any]]
    newest: int
    rules: tuple[schemas.Rule, ...] = ()

    def __post_init__(self) -> None:
        compiled = {
            version: jsonschema_rs.Draft202012Validator(dict(schema), validate_formats=True)
            for version, schema in self.by_version.items()
        }
        object.__setattr__(self, "_compiled", compiled)

    def faults(self, event: Any) -> list[Fault]:
        """Everything that is wrong with `event`; nothing where it may land."""
        if not isinstance(event, dict):
            return [Fault(None, "not_an_object", "an event is a JSON object")]
        version = event.get("schema_version", self.newest)
        validator = self._compiled.get(version) if type(version) is int else None  # type: ignore[attr-defined]
        if validator is None:
            known = ", ".join(map(str, self.by_version))
            detail = f"the service knows the versions: {known}"
            return [Fault("schema_version", "unknown_version", detail)]
        if not validator.is_valid(event):
            found = dict.fromkeys(map(self._fault, validator.iter_errors(event)))
            # Of what is no time at all, the year is the lesser fault.
            return sorted(found, key=lambda fault: fault.reason == "ts_out_of_range")
        return list(_time_faults(event))

    def _fault(self, error: jsonschema_rs.ValidationError) -> Fault:
        kind = type(error.kind).__name__
        path = "/".join(map(str, error.instance_path))
        reason = _REASONS.get(kind, "bad_type")
        if path == "ts" and kind == "Pattern":
            return Fault("ts", "ts_out_of_range", "the year is not between 1990 and 2099")
        if kind == "Pattern":
            return Fault(path, reason, "nothing but blanks names nothing")
        if kind == "Required":
            name = error.kind.as_dict()["property"]
            return Fault(f"{path}/{name}".lstrip("/"), reason, "the field is missing")
        if kind == "AnyOf":
            return self._missing(list(error.schema_path), path)
        return Fault(path or None, reason, _short(error.message))

    def _missing(self, where: list[str | int], path: str) -> Fault:
        """Which rule of several fields was broken; its message would quote the whole event."""
        if where[:1] == ["allOf"] and isinstance(where[1], int) and where[1] < len(self.rules):
            rule = self.rules[where[1]]
            return Fault(rule.field, "missing_value", rule.detail)
        return Fault(
            path or "value",
            "missing_value",
            "an event has a name and a value, a corrected_output, or a chosen_id with a "
            "rejected_id; or it has retracts",
        )


def feedback(*, optional_request_id: bool = False, clock: bool = True) -> Check:
    """The check of feedback events."""
    schema = schemas.feedback(optional_request_id=optional_request_id, clock=clock)
    return Check(
        by_version={FEEDBACK_SCHEMA_VERSION: schema},
        newest=FEEDBACK_SCHEMA_VERSION,
        rules=schemas.feedback_rules(optional_request_id=optional_request_id),
    )


def inferences(*, clock: bool = True) -> Check:
    """The check of logged model calls."""
    return Check(by_version={1: schemas.inferences(clock=clock)}, newest=1)


def _time_faults(event: Mapping[str, Any]) -> Iterator[Fault]:
    """What a schema cannot say of a time: leap seconds, and years that a zone moves."""
    if "ts" not in event:
        return
    try:
        moment = datetime.fromisoformat(event["ts"].upper())
    except ValueError:
        yield Fault("ts", "bad_type", f"{_short(event['ts'])} is no time")
        return
    if not _EARLIEST <= moment < _LATEST:
        yield Fault("ts", "ts_out_of_range", "the time is not between 1990 and 2099")


def _short(text: str) -> str:
    return text if len(text) <= 200 else text[:200] + "..."
