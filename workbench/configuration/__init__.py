"""Reading ``workbench.toml``: the whole of it is checked, and every problem is named at once."""

from __future__ import annotations

import hashlib
import json
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from workbench import contract
from workbench.configuration._checks import Checks, as_text, duration
from workbench.configuration._cleaning import BUILTINS
from workbench.configuration._cleaning import read as read_cleaning
from workbench.configuration._contexts import read as read_contexts
from workbench.errors import ConfigError, NotFoundError, suggest
from workbench.project import CONFIG_NAME, Context, Project, Signal, Source
from workbench.registry import Registry

__all__ = ["BUILTINS", "FALLBACKS", "LABEL_POLICIES", "SIGNAL_KINDS", "duration", "load"]

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
LABEL_POLICIES = ("latest", "mean", "majority", "latest_per_rater_then_mean", "rater_weighted")
FALLBACKS = ("session", "user")
CREDIT_RULES = ("last", "uniform", "discounted")
CLOCK_SKEWS = ("report", "correct")
CLOCKS = ("ts", "none")
STORAGES = ("copy", "in_place")

_SOURCE_KEYS = ("source", "format", "table", "columns", "sql", "clock", "storage")
_KEYS: dict[str, tuple[str, ...]] = {
    "project": ("name", "license"),
    "inferences": (*_SOURCE_KEYS, "positive_class", "classes", "features"),
    "feedback": (*_SOURCE_KEYS, "spam", "signals"),
    "attribution": ("fallback", "window", "credit", "discount", "clock_skew"),
    "aliases": _SOURCE_KEYS,
    "labels": ("signals", "policy", "maturity"),
    "columns": ("protected",),
    "cleaning": ("rules", "patterns"),
}
_SIGNAL_KEYS = ("kind", "scale", "positive")
# Named, not imported: the package stands above this module.
_IMPORTERS: Registry[Any] = Registry("workbench.importers", "importer", label="format")


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


class _Reader(Checks):
    """Reads a parsed configuration and collects every problem before it complains."""

    def __init__(self, root: Path, data: dict[str, Any]) -> None:
        super().__init__(root)
        self.data = data

    def project(self) -> Project:
        data = self.data
        self.unknown("", data, (*_KEYS, "context"))
        parts = {name: self._section(name) for name in _KEYS}
        for name, keys in _KEYS.items():
            self.unknown(name, parts[name], keys)
        fallback = self.texts("attribution.fallback", parts["attribution"].get("fallback", []))
        for entry in fallback:
            self.one_of("attribution.fallback", entry, FALLBACKS)
        credit, clock_skew = self._crediting(parts["attribution"])
        signals = self._signals(parts["feedback"].get("signals", {}))
        contexts = read_contexts(self, data.get("context", {}), self._source)
        features = self._features(parts["inferences"].get("features", {}))
        label_signals = self.texts("labels.signals", parts["labels"].get("signals", []))
        policy = parts["labels"].get("policy", "latest_per_rater_then_mean")
        self.one_of("labels.policy", policy, LABEL_POLICIES)
        protected = self.texts("columns.protected", parts["columns"].get("protected", []))
        self._check_protected(protected, contexts, features)
        project = Project(
            root=self.root,
            name=str(parts["project"].get("name", self.root.name)),
            license=self.optional_text("project.license", parts["project"].get("license")),
            inferences=self._source("inferences", parts["inferences"], features=features),
            feedback=self._source(
                "feedback", parts["feedback"], optional_request_id=bool(fallback)
            ),
            positive_class=as_text(parts["inferences"].get("positive_class", "1")),
            classes=self.texts("inferences.classes", parts["inferences"].get("classes", [])),
            spam=self.optional_text("feedback.spam", parts["feedback"].get("spam")),
            signals=MappingProxyType(signals),
            fallback=fallback,
            window=self.duration("attribution.window", parts["attribution"].get("window", "1h")),
            credit=credit,
            discount=self._discount(parts["attribution"].get("discount", 0.9)),
            clock_skew=clock_skew,
            aliases=self._source("aliases", parts["aliases"]) if "aliases" in data else None,
            label_signals=label_signals,
            policy=str(policy),
            maturity=self.duration("labels.maturity", parts["labels"].get("maturity", "0s")),
            protected=protected,
            contexts=contexts,
            cleaning=read_cleaning(self, parts["cleaning"]),
            # What is cleaned for training makes no other build.
            config_id=hashlib.sha256(
                json.dumps(
                    {name: part for name, part in data.items() if name != "cleaning"},
                    sort_keys=True,
                    default=str,
                ).encode()
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
        patterns = self.texts(f"{section}.source", given.get("source", []))
        if not patterns:
            self.problems.append(f"[{section}] has no source. Write: source = 'logs/*.parquet'.")
        form = given.get("format", "auto")
        forms = self.texts(f"{section}.format", form)
        for one in forms:
            self.one_of(f"{section}.format", one, ("auto", *_IMPORTERS.names()))
        if len(forms) > 1 and given.get("sql"):
            self.problems.append(
                f"{section}.sql is about the columns of one format, but format lists several."
            )
        clock = given.get("clock", "ts")
        self.one_of(f"{section}.clock", clock, CLOCKS)
        storage = self._storage(section, given)
        columns: dict[str, str] = {}
        if table is None:
            columns = self._columns(section, given.get("columns", {}))
        return Source(
            table=table or section,
            patterns=patterns,
            formats=forms or ("auto",),
            columns=MappingProxyType(columns),
            sql=self.optional_text(f"{section}.sql", given.get("sql")),
            database_table=self.optional_text(f"{section}.table", given.get("table")),
            clock=str(clock),
            storage=storage,
            features=MappingProxyType(dict(features or {})),
            optional_request_id=optional_request_id,
            shape=shape,
        )

    def _storage(self, section: str, given: Mapping[str, Any]) -> str:
        """Whether rows are copied into the lake; only a log of inferences may stay where it is."""
        storage = given.get("storage", "copy")
        if section != "inferences" and storage == "in_place":
            self.problems.append(f'{section}.storage: only [inferences] may be "in_place".')
        elif (
            self.one_of(f"{section}.storage", storage, STORAGES)
            and storage == "in_place"
            and given.get("sql")
        ):
            self.problems.append(
                "inferences.sql cannot reshape rows that stay in_place: map them with "
                '[inferences.columns], or set storage = "copy".'
            )
        return str(storage)

    def _columns(self, section: str, given: object) -> dict[str, str]:
        if not isinstance(given, dict):
            self.problems.append(f"{section}.columns must be a table: {{ request_id = 'id' }}.")
            return {}
        own = contract.OWN_FEEDBACK_COLUMNS if section == "feedback" else ("features",)
        known = [name for name in contract.table(section).columns if name not in own]
        self.unknown(f"{section}.columns", given, known)
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

    def _crediting(self, given: Mapping[str, Any]) -> tuple[str, str]:
        """The rule of credit, and what becomes of clocks that are off."""
        credit, clock_skew = given.get("credit", "last"), given.get("clock_skew", "report")
        self.one_of("attribution.credit", credit, CREDIT_RULES)
        self.one_of("attribution.clock_skew", clock_skew, CLOCK_SKEWS)
        return str(credit), str(clock_skew)

    def _discount(self, given: object) -> float:
        if isinstance(given, int | float) and not isinstance(given, bool) and 0 < given <= 1:
            return float(given)
        self.problems.append(
            f"attribution.discount = {given!r} must be a number above 0 and at most 1, such as 0.9."
        )
        return 0.9

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
            self.unknown(where, entry, _SIGNAL_KEYS)
            kind = entry.get("kind")
            if not self.one_of(f"{where}.kind", kind, SIGNAL_KINDS):
                continue
            result[name] = Signal(
                name=name,
                kind=str(kind),
                scale=self._scale(where, str(kind), entry.get("scale")),
                positive=self.optional_text(f"{where}.positive", entry.get("positive")),
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
            *contract.table("fitted").columns,
            *(f"features.{name}" for name in features),
            *(context.name for context in contexts),
            *(f"{context.name}.{column}" for context in contexts for column in context.columns),
        }
        # What a context's struct holds beside its columns, or without any, shows in the build only.
        open_contexts = {c.name for c in contexts if not c.columns or "aggregates" in c.options}
        for name in protected:
            if name not in known and name.split(".")[0] not in open_contexts:
                self.problems.append(
                    f"columns.protected: there is no column {name!r}. {suggest(name, known)}"
                )
