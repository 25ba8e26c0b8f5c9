"""A project folder and its configuration, as frozen values."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

CONFIG_NAME = "workbench.toml"
STATE_NAME = ".workbench"


@dataclass(frozen=True, kw_only=True)
class Source:
    """Where the rows of one lake table come from and how they are mapped.

    Attributes
    ----------
    table
        Lake table that the rows go to.
    patterns
        Files, globs or folders, relative to the project.
    formats
        Importer names, or ``auto``: the first that claims a file reads it.
    columns
        Contract field to source column or SQL expression.
    sql
        Query over the relation ``source`` that reshapes it before the mapping.
    database_table
        Of a database, the table that holds the rows; None where it has only one.
    clock
        ``none`` permits rows without time.
    features
        Feature name to DuckDB type; inferences only.
    storage
        ``copy`` into the lake, or ``in_place``: the rows are read where they are.
    optional_request_id
        Feedback without a request_id may be attributed by a fallback.
    shape
        What else the stored rows depend on: of a context its keys, its time and its columns.
    """

    table: str
    patterns: tuple[str, ...]
    formats: tuple[str, ...] = ("auto",)
    columns: Mapping[str, str] = field(default_factory=dict)
    sql: str | None = None
    database_table: str | None = None
    clock: str = "ts"
    storage: str = "copy"
    features: Mapping[str, str] = field(default_factory=dict)
    optional_request_id: bool = False
    shape: str = ""

    @property
    def in_place(self) -> bool:
        """Whether the rows stay where they are."""
        return self.storage == "in_place"

    @property
    def mapping_id(self) -> str:
        """Identity of the mapping: files are read again when it changes."""
        parts = [
            self.formats[0] if len(self.formats) == 1 else list(self.formats),
            sorted(self.columns.items()),
            self.sql,
            self.clock,
            list(self.features.items()),
            self.optional_request_id,
            self.shape,
        ]
        if self.database_table is not None:
            parts.append(["table", self.database_table])
        if self.in_place:
            parts.append(self.storage)
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:16]


@dataclass(frozen=True, kw_only=True)
class Signal:
    """How the events of one name become rewards.

    Attributes
    ----------
    kind
        One of `workbench.configuration.SIGNAL_KINDS`.
    scale
        Least and greatest value of a rating.
    positive
        SQL condition over ``value`` and the other columns of an event: reward 1 where true.
    """

    name: str
    kind: str
    scale: tuple[float, float] | None = None
    positive: str | None = None


@dataclass(frozen=True, kw_only=True)
class Aggregate:
    """A number over several facts.

    Attributes
    ----------
    name
        Field of the context's struct.
    function
        Name of the function.
    column
        Fact that the function is of; None for those that count facts.
    """

    name: str
    function: str
    column: str | None


@dataclass(frozen=True, kw_only=True)
class Context:
    """Facts to join to each inference as one struct column.

    Attributes
    ----------
    join
        Name of the join, a module of ``workbench.contexts``.
    source
        Where the facts are; None where they come from `log`, or where there are none.
    log
        ``inferences`` or ``feedback``, for facts that are already here.
    on
        Pairs of (inference column, source column).
    columns
        Source columns to take; when empty, what the join takes by itself.
    times
        Option to source column, for the join's options of kind ``time``.
    mandatory
        Those of `times` without which a row is refused.
    needed
        Source columns that other options name.
    options
        The join's other options, read.
    """

    name: str
    source: Source | None
    join: str
    log: str | None = None
    on: tuple[tuple[str, str], ...] = ()
    columns: tuple[str, ...] = ()
    times: Mapping[str, str] = field(default_factory=dict)
    mandatory: tuple[str, ...] = ()
    needed: tuple[str, ...] = ()
    options: Mapping[str, Any] = field(default_factory=dict)

    @property
    def table(self) -> str:
        """Lake table of the facts."""
        return f"context_{self.name}"


@dataclass(frozen=True, kw_only=True)
class CleaningRule:
    """A condition under which an inference gives no training example.

    Attributes
    ----------
    where
        SQL condition over the columns of ``enriched_inferences``.
    """

    name: str
    where: str


@dataclass(frozen=True, kw_only=True)
class CleaningPattern:
    """What may not stand in the texts of a training example.

    Attributes
    ----------
    pattern
        Regular expression (RE2).
    action
        ``mask`` replaces each match, ``drop`` leaves out the example.
    replace
        The text in place of a match.
    columns
        The texts that are searched: ``prompt``, ``answer``.
    """

    name: str
    pattern: str
    action: str
    replace: str
    columns: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Cleaning:
    """What a project says of the cleaning of training examples, in the order of its file."""

    rules: tuple[CleaningRule, ...] = ()
    patterns: tuple[CleaningPattern, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Project:
    """A project folder and what its configuration says.

    Attributes
    ----------
    root
        The project folder, absolute.
    license
        Licence under which training sets may be used; None where it is not stated.
    window
        Greatest time from an inference to an event that is attributed by a fallback.
    credit, discount
        How an event on a session or trace is credited; see `workbench.attribution.credits`.
    clock_skew
        ``correct``: events are dated by the corrected clocks of their senders.
    aliases
        Other names of inferences and traces.
    maturity
        Age from which on an inference's label counts, measured to the build's ``as_of``.
    """

    root: Path
    name: str
    inferences: Source
    feedback: Source
    license: str | None = None
    positive_class: str = "1"
    classes: tuple[str, ...] = ()
    spam: str | None = None
    signals: Mapping[str, Signal] = field(default_factory=dict)
    fallback: tuple[str, ...] = ()
    window: timedelta = timedelta(hours=1)
    credit: str = "last"
    discount: float = 0.9
    clock_skew: str = "report"
    aliases: Source | None = None
    label_signals: tuple[str, ...] = ()
    policy: str = "latest_per_rater_then_mean"
    maturity: timedelta = timedelta(0)
    protected: tuple[str, ...] = ()
    contexts: tuple[Context, ...] = ()
    cleaning: Cleaning = field(default_factory=Cleaning)
    config_id: str = ""

    @property
    def state(self) -> Path:
        """Folder of all that the program writes."""
        return self.root / STATE_NAME

    @property
    def sources(self) -> tuple[Source, ...]:
        """All sources, in the order in which they are read."""
        facts = (context.source for context in self.contexts)
        others = (self.aliases, *facts)
        return (
            self.inferences,
            self.feedback,
            *(source for source in others if source is not None),
        )
