"""Reading ``workbench.toml``: the whole of it is checked, and every problem is named at once."""

from __future__ import annotations

import hashlib
import json
import re
import tomllib
from collections.abc import Iterable, Mapping
from datetime import timedelta
from pathlib import Path
from types import MappingProxyType
from typing import Any

from workbench import contract
from workbench.errors import ConfigError, NotFoundError, suggest
from workbench.project import CONFIG_NAME, Context, Project, Signal, Source
from workbench.registry import Registry

SIGNAL_KINDS = (
    "binary",
    "rating",
    "label",
    "correction",
    "preference",
    "comment",
    "implicit",
    "outcome",
)
LABEL_POLICIES = ("latest", "mean", "majority", "latest_per_rater_then_mean")
FALLBACKS = ("session", "user")
CLOCKS = ("ts", "none")

_SOURCE_KEYS = ("source", "format", "columns", "sql", "clock", "storage")
_KEYS: dict[str, tuple[str, ...]] = {
    "project": ("name",),
    "inferences": (*_SOURCE_KEYS, "positive_class", "classes", "features"),
    "feedback": (*_SOURCE_KEYS, "spam", "signals"),
    "attribution": ("fallback", "window"),
    "labels": ("signals", "policy", "maturity"),
    "columns": ("protected",),
}
_SIGNAL_KEYS = ("kind", "scale", "positive")
_CONTEXT_KEYS = ("source", "format", "sql", "join", "on", "ts", "tolerance", "columns", "storage")
# Named, not imported: both packages stand above this module.
_JOINS: Registry[Any] = Registry("workbench.contexts", "context_join", label="join")
_IMPORTERS: Registry[Any] = Registry("workbench.importers", "importer", label="format")


_UNITS = {"ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, "w": 604800.0}


def load(folder: str | Path = ".") -> Project:
    """Read and check the project in `folder`.

    Raises
    ------
    NotFoundError
        If the folder has no ``workbench.toml``.
    ConfigError
        If anything in it is wrong; all problems are named at once.
    """
    root = Path(folder).expanduser().absolute()
    path = root / CONFIG_NAME
    if not path.is_file():
        raise NotFoundError(
            f"There is no {CONFIG_NAME} in {root}.",
            "Make one with: workbench init DIR --inferences PATH --feedback PATH, "
            "or name the folder with --project DIR.",
        )
    try:
        text = path.read_text(encoding="utf-8")
        data = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} is not valid TOML: {error}.", "Correct that line.") from error
    return _Reader(root, data).project()


def duration(text: str) -> timedelta:
    """Read a duration such as ``90s``, ``1h`` or ``7d``.

    Raises
    ------
    ValueError
        If `text` is not a number with a unit of ms, s, m, h, d or w.
    """
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*(ms|s|m|h|d|w)\s*", text)
    if not match:
        raise ValueError(text)
    return timedelta(seconds=float(match[1]) * _UNITS[match[2]])


class _Reader:
    """Reads a parsed configuration and collects every problem before it complains."""

    def __init__(self, root: Path, data: dict[str, Any]) -> None:
        self.root = root
        self.data = data
        self.problems: list[str] = []

    def project(self) -> Project:
        data = self.data
        self._unknown("", data, (*_KEYS, "context"))
        parts = {name: self._section(name) for name in _KEYS}
        for name, keys in _KEYS.items():
            self._unknown(name, parts[name], keys)
        fallback = self._list("attribution.fallback", parts["attribution"].get("fallback", []))
        for entry in fallback:
            self._one_of("attribution.fallback", entry, FALLBACKS)
        signals = self._signals(parts["feedback"].get("signals", {}))
        contexts = self._contexts(data.get("context", {}))
        features = self._features(parts["inferences"].get("features", {}))
        label_signals = self._list("labels.signals", parts["labels"].get("signals", []))
        policy = parts["labels"].get("policy", "latest_per_rater_then_mean")
        self._one_of("labels.policy", policy, LABEL_POLICIES)
        protected = self._list("columns.protected", parts["columns"].get("protected", []))
        self._check_protected(protected, contexts, features)
        project = Project(
            root=self.root,
            name=str(parts["project"].get("name", self.root.name)),
            inferences=self._source("inferences", parts["inferences"], features=features),
            feedback=self._source(
                "feedback", parts["feedback"], optional_request_id=bool(fallback)
            ),
            positive_class=_text(parts["inferences"].get("positive_class", "1")),
            classes=self._list("inferences.classes", parts["inferences"].get("classes", [])),
            spam=self._optional_text("feedback.spam", parts["feedback"].get("spam")),
            signals=MappingProxyType(signals),
            fallback=fallback,
            window=self._duration("attribution.window", parts["attribution"].get("window", "1h")),
            label_signals=label_signals,
            policy=str(policy),
            maturity=self._duration("labels.maturity", parts["labels"].get("maturity", "0s")),
            protected=protected,
            contexts=contexts,
            config_id=hashlib.sha256(
                json.dumps(data, sort_keys=True, default=str).encode()
            ).hexdigest()[:16],
        )
        if self.problems:
            count = len(self.problems)
            noun = "problem" if count == 1 else "problems"
            raise ConfigError(
                f"{self.root / CONFIG_NAME} has {count} {noun}:\n"
                + "\n".join(f"  - {problem}" for problem in self.problems),
                "Correct them and run the command again.",
            )
        return project

    def _section(self, name: str) -> dict[str, Any]:
        value = self.data.get(name, {})
        if not isinstance(value, dict):
            self.problems.append(f"[{name}] must be a table.")
            return {}
        return value

    def _unknown(self, where: str, given: Mapping[str, Any], known: Iterable[str]) -> None:
        for key in given:
            if key not in known:
                place = f" in [{where}]" if where else ""
                self.problems.append(f"unknown key {key!r}{place}. {suggest(key, known)}")

    def _one_of(self, where: str, value: object, choices: Iterable[str]) -> bool:
        if value in tuple(choices):
            return True
        self.problems.append(f"{where} = {value!r} is not known. {suggest(str(value), choices)}")
        return False

    def _list(self, where: str, value: object) -> tuple[str, ...]:
        if isinstance(value, str):
            return (value,)
        if isinstance(value, list):
            return tuple(_text(entry) for entry in value)
        self.problems.append(f"{where} must be a list of texts.")
        return ()

    def _optional_text(self, where: str, value: object) -> str | None:
        if value is None or (isinstance(value, str) and not value.strip()):
            return None
        if isinstance(value, str):
            return value
        self.problems.append(f"{where} must be a text.")
        return None

    def _duration(self, where: str, value: object) -> timedelta:
        try:
            return duration(str(value))
        except ValueError:
            self.problems.append(
                f"{where} = {value!r} is not a duration. Write a number and a unit: 90s, 1h, 7d."
            )
            return timedelta(0)

    def _source(
        self,
        section: str,
        given: Mapping[str, Any],
        *,
        table: str | None = None,
        features: Mapping[str, str] | None = None,
        optional_request_id: bool = False,
        shape: str = "",
    ) -> Source:
        patterns = self._list(f"{section}.source", given.get("source", []))
        if not patterns:
            self.problems.append(f"[{section}] has no source. Write: source = 'logs/*.parquet'.")
        form = given.get("format", "auto")
        self._one_of(f"{section}.format", form, ("auto", *_IMPORTERS.names()))
        clock = given.get("clock", "ts")
        self._one_of(f"{section}.clock", clock, CLOCKS)
        self._one_of(f"{section}.storage", given.get("storage", "copy"), ("copy",))
        columns: dict[str, str] = {}
        if table is None:
            columns = self._columns(section, given.get("columns", {}))
        return Source(
            table=table or section,
            patterns=patterns,
            format=str(form),
            columns=MappingProxyType(columns),
            sql=self._optional_text(f"{section}.sql", given.get("sql")),
            clock=str(clock),
            features=MappingProxyType(dict(features or {})),
            optional_request_id=optional_request_id,
            shape=shape,
        )

    def _columns(self, section: str, given: object) -> dict[str, str]:
        if not isinstance(given, dict):
            self.problems.append(f"{section}.columns must be a table: {{ request_id = 'id' }}.")
            return {}
        own = contract.OWN_FEEDBACK_COLUMNS if section == "feedback" else ("features",)
        known = [name for name in contract.table(section).columns if name not in own]
        self._unknown(f"{section}.columns", given, known)
        result: dict[str, str] = {}
        for name, expression in given.items():
            if not isinstance(expression, str) or not expression.strip():
                self.problems.append(
                    f"{section}.columns.{name} must be a column's name or an SQL expression, "
                    "as a text; a constant is written \"'v3'\"."
                )
            else:
                result[name] = expression.strip()
        return result

    def _features(self, given: object) -> dict[str, str]:
        if not isinstance(given, dict):
            self.problems.append("[inferences.features] must be a table: name = 'DOUBLE'.")
            return {}
        result = {}
        for name, dtype in given.items():
            if not isinstance(dtype, str) or not re.fullmatch(r"[A-Za-z][\w ,()\[\]]*", dtype):
                self.problems.append(
                    f"inferences.features.{name} = {dtype!r} is not a type. Use DOUBLE, BIGINT, "
                    "VARCHAR, BOOLEAN, TIMESTAMPTZ or another DuckDB type."
                )
            else:
                result[name] = dtype
        return result

    def _signals(self, given: object) -> dict[str, Signal]:
        if not isinstance(given, dict):
            self.problems.append("[feedback.signals] must hold one table per signal.")
            return {}
        result = {}
        for name, entry in given.items():
            where = f"feedback.signals.{name}"
            if not isinstance(entry, dict):
                self.problems.append(f"[{where}] must be a table.")
                continue
            self._unknown(where, entry, _SIGNAL_KEYS)
            kind = entry.get("kind")
            if not self._one_of(f"{where}.kind", kind, SIGNAL_KINDS):
                continue
            result[name] = Signal(
                name=name,
                kind=str(kind),
                scale=self._scale(where, str(kind), entry.get("scale")),
                positive=self._optional_text(f"{where}.positive", entry.get("positive")),
            )
        return result

    def _scale(self, where: str, kind: str, scale: object) -> tuple[float, float] | None:
        if scale is None:
            if kind == "rating":
                self.problems.append(f"[{where}] is a rating and needs a scale: scale = [1, 5].")
            return None
        numbers = isinstance(scale, list) and all(
            isinstance(entry, int | float) and not isinstance(entry, bool) for entry in scale
        )
        if isinstance(scale, list) and numbers and len(scale) == 2 and scale[0] < scale[1]:
            return float(scale[0]), float(scale[1])
        self.problems.append(f"{where}.scale must be [least, greatest], such as [1, 5].")
        return None

    def _contexts(self, given: object) -> tuple[Context, ...]:
        if not isinstance(given, dict):
            self.problems.append("[context] must hold one table per context.")
            return ()
        taken = {name for table in contract.tables().values() for name in table.columns}
        result = []
        for name, entry in given.items():
            where = f"context.{name}"
            if not isinstance(entry, dict):
                self.problems.append(f"[{where}] must be a table.")
                continue
            self._unknown(where, entry, _CONTEXT_KEYS)
            if name.lower() in taken or name.lower().startswith("feedback_"):
                self.problems.append(f"[{where}] is named like a column. Choose another name.")
            if not re.fullmatch(r"[A-Za-z]\w*", name):
                self.problems.append(f"[{where}]: a context's name is letters, digits and _.")
            join = entry.get("join", "lookup")
            self._one_of(f"{where}.join", join, _JOINS.names())
            ts = self._optional_text(f"{where}.ts", entry.get("ts"))
            if join == "as_of" and ts is None:
                self.problems.append(
                    f"[{where}] joins as_of and needs ts, the column of the time from which a "
                    "fact holds."
                )
            tolerance = entry.get("tolerance")
            result.append(
                Context(
                    name=name,
                    source=self._source(
                        where,
                        entry,
                        table=f"context_{name}",
                        shape=json.dumps([entry.get(key) for key in ("on", "ts", "columns")]),
                    ),
                    join=str(join),
                    on=self._on(where, entry.get("on")),
                    ts=ts,
                    columns=self._list(f"{where}.columns", entry.get("columns", [])),
                    tolerance=(
                        None
                        if tolerance is None
                        else self._duration(f"{where}.tolerance", tolerance)
                    ),
                )
            )
        return tuple(result)

    def _on(self, where: str, given: object) -> tuple[tuple[str, str], ...]:
        if isinstance(given, dict):
            pairs = tuple((str(left), str(right)) for left, right in given.items())
        else:
            names = self._list(f"{where}.on", [] if given is None else given)
            pairs = tuple((name, name) for name in names)
        if not pairs:
            self.problems.append(f"[{where}] needs on, the key: on = 'user_id'.")
        columns = contract.table("inferences").columns
        for left, _ in pairs:
            if left not in columns:
                self.problems.append(
                    f"{where}.on: inferences have no column {left!r}. {suggest(left, columns)}"
                )
            elif left in contract.WIDE_COLUMNS:
                self.problems.append(f"{where}.on: {left!r} cannot be a key.")
        return pairs

    def _check_protected(
        self,
        protected: tuple[str, ...],
        contexts: tuple[Context, ...],
        features: Mapping[str, str],
    ) -> None:
        known = {
            *contract.table("inferences").columns,
            *contract.table("feedback").columns,
            *contract.table("enriched").columns,
            *(f"features.{name}" for name in features),
            *(context.name for context in contexts),
            *(f"{context.name}.{column}" for context in contexts for column in context.columns),
        }
        open_contexts = {context.name for context in contexts if not context.columns}
        for name in protected:
            if name not in known and name.split(".")[0] not in open_contexts:
                self.problems.append(
                    f"columns.protected: there is no column {name!r}. {suggest(name, known)}"
                )


def _text(value: object) -> str:
    if isinstance(value, bool):
        return "1" if value else "0"
    return str(value)
