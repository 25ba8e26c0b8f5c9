"""What is known so far about one table: its mapping, and what has to be asked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import duckdb

from workbench import contract
from workbench.guess.files import quote
from workbench.guess.names import Evidence, evidence
from workbench.guess.profile import Column, Sample


@dataclass(frozen=True)
class Line:
    """One mapping, and why it is one."""

    expression: str
    why: str = ""


@dataclass(frozen=True)
class Ask:
    """One field that a person has to decide, with the mappings that it could be."""

    options: tuple[str, ...]
    question: str


@dataclass(frozen=True)
class Signal:
    """How one signal becomes a reward; `question` where that is not certain."""

    name: str
    kind: str
    scale: tuple[int, int] | None = None
    positive: str | None = None
    question: str = ""


@dataclass
class Draft:
    """The mapping of one table while it is being made."""

    table: str
    sample: Sample
    columns: dict[str, Line] = field(default_factory=dict)
    mapped: dict[str, Column] = field(default_factory=dict)
    asks: dict[str, Ask] = field(default_factory=dict)
    settings: dict[str, str] = field(default_factory=dict)
    sql: str | None = None
    features: dict[str, str] = field(default_factory=dict)
    signals: list[Signal] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    asked: set[tuple[str, ...]] = field(default_factory=set)

    def map(
        self, name: str, column: Column, *, expression: str | None = None, why: str = ""
    ) -> None:
        """Map the contract field `name` to `column`."""
        self.columns[name] = Line(expression or column.mapping, why)
        self.mapped[name] = column

    def ask(
        self,
        name: str,
        options: Sequence[Column | str],
        question: str,
        *,
        about: Sequence[Column] = (),
    ) -> None:
        """Leave the field `name` to a person; `about` are columns that options express."""
        self.asked.update(o.path for o in (*options, *about) if isinstance(o, Column))
        written = tuple(o.mapping if isinstance(o, Column) else o for o in options)
        self.asks[name] = Ask(written, question)

    def note(self, text: str) -> None:
        """Say something that a person should know."""
        self.notes.append(f"[{self.table}] {text}")

    @property
    def exported(self) -> bool:
        """Whether an importer knows what the columns mean."""
        return self.sample.group.vendor

    @property
    def used(self) -> set[tuple[str, ...]]:
        """Paths of the columns that are mapped."""
        return {column.path for column in self.mapped.values()}

    @property
    def free(self) -> list[Column]:
        """Columns with values that are not mapped, nor lie below one that is."""
        used = self.used
        return [
            column
            for column in self.sample.columns
            if column.filled
            and not any(column.path[: len(path)] == path for path in used)
            and not any(path[: len(column.path)] == column.path for path in used)
        ]

    def named(self, name: str, *, least: Evidence = Evidence.SYNONYM) -> list[Column]:
        """Free columns that are called like the field `name`, the best names first."""
        found = [(evidence(name, column.path), column) for column in self.free]
        found = [(level, column) for level, column in found if level >= least]
        return [column for _, column in sorted(found, key=lambda pair: -pair[0])]

    def fits(self, name: str, column: Column) -> bool:
        """Whether every value of the sample casts to the field's type and passes its check."""
        target = contract.table(self.table).columns[name]
        value = f"nullif(trim({column.text_sql}), '')"
        cast = f"TRY_CAST({column.sql} AS {target.type})"
        if column.nested and target.type == "VARCHAR":
            return True
        failed = f"{quote(name)} IS NULL"
        if target.check:
            failed += f" OR NOT coalesce(({target.check}), true)"
        try:
            (bad,) = self.sample.ask(
                f"SELECT count(*) FROM (SELECT {value} AS given, {cast} AS {quote(name)} "
                f"FROM {self.sample.view}) WHERE given IS NOT NULL AND ({failed})"
            )
        except duckdb.Error:
            return False
        return bad == 0


def choose(draft: Draft, name: str, what: str, *, proven: bool = True) -> Column | None:
    """Map an optional field to the one column that is called like it and fits the contract.

    Parameters
    ----------
    what
        The field in words, for the question.
    proven
        Whether the content that was looked at supports the name; if not, two names ask.
    """
    called = draft.named(name)
    fitting = [column for column in called if draft.fits(name, column)]
    exact = [c for c in fitting if evidence(name, c.path) is Evidence.EXACT]
    pick = exact or fitting
    if len(pick) == 1 and proven:
        draft.map(name, pick[0])
        return pick[0]
    if pick:
        draft.ask(name, pick, f"which column is {what}?")
    elif called:
        draft.ask(
            name,
            called,
            f"{called[0].name} is called like {what}, but its values are not: "
            "what is it? It stays unmapped.",
        )
    return None


def block_namesakes(draft: Draft) -> None:
    """Keep columns with a contract field's name from being mapped to it without a reason."""
    own = (*contract.OWN_FEEDBACK_COLUMNS, "features")
    for name, column in contract.table(draft.table).columns.items():
        if name in draft.columns or name in own or draft.sql is not None:
            continue
        same = draft.sample.find(name)
        if same is None or not same.filled:
            continue
        if column.required and name != "ts" and name in draft.asks:
            continue
        if name == "ts" and draft.settings.get("clock") != "none":
            continue
        mapped_elsewhere = [field for field, c in draft.mapped.items() if c.path == same.path]
        if mapped_elsewhere:
            why = f"the column of this name is the {mapped_elsewhere[0]}"
        elif name in draft.features:
            why = "the column of this name is a feature"
        elif name in draft.asks:
            why = "the column of this name is not certain to be it"
        elif not draft.fits(name, same):
            why = "the values of the column of this name are something else"
            draft.note(
                f"{same.name} has the name of a field, but its values do not fit it: "
                "it goes to metadata."
            )
        else:
            draft.map(name, same)
            continue
        draft.columns[name] = Line("NULL", why)
