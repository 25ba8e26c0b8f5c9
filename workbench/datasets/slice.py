"""A named choice of rows, as one frozen value."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from workbench import engine
from workbench.cleaners import parse_cleaner
from workbench.datasets.split import Split, parse_split
from workbench.errors import ConfigError, suggest
from workbench.query import Build
from workbench.samplers import SAMPLING_COLUMNS, draw, parse_sampler, random_number
from workbench.training_formats import TARGETS

#: What the project's configuration says of cleaning.
DEFAULT_CLEANERS = ("rules", "patterns")
_KEYS = ("feedback_id", "request_id")


@dataclass(frozen=True, kw_only=True)
class Slice:
    """Rows and columns of one relation of a build.

    Attributes
    ----------
    relation
        Relation of the build.
    where
        SQL condition over its columns, or None for all rows.
    columns
        Columns to take, in order; all when empty.
    limit
        Greatest number of rows; None for all. Without a sampler a uniform sample.
    sampler
        How rows are drawn, such as ``uncertainty(score='entropy')``; they then carry the columns
        of `workbench.samplers.SAMPLING_COLUMNS`. None adds no column.
    seed
        Seed of the random numbers. Equal builds, slices and seeds give equal rows.

    What follows is read where a training set is compiled.

    tokens
        Greatest number of tokens of prompts and answers together; None for any.
    target
        What an example teaches: ``label``, ``prediction`` or ``none``; None for the first that the
        training format can.
    clean
        Cleaners that are applied in order before rows are drawn, such as
        ``near_duplicates(threshold=0.9)``.
    split
        How the rows are split, or None for one split called ``train``.
    """

    relation: str = "enriched_inferences"
    where: str | None = None
    columns: tuple[str, ...] = ()
    limit: int | None = None
    sampler: str | None = None
    seed: int = 0
    tokens: int | None = None
    target: str | None = None
    clean: tuple[str, ...] = DEFAULT_CLEANERS
    split: Split | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "clean", tuple(str(parse_cleaner(text)) for text in self.clean))
        split: Any = self.split
        if isinstance(split, Mapping):
            object.__setattr__(self, "split", Split(**split))
        if self.target is not None and self.target not in TARGETS:
            raise ConfigError(
                f"The target cannot be {self.target!r}.", suggest(self.target, TARGETS)
            )
        object.__setattr__(self, "where", (self.where or "").strip() or None)
        object.__setattr__(self, "columns", tuple(self.columns))
        sampler = (self.sampler or "").strip()
        object.__setattr__(self, "sampler", str(parse_sampler(sampler)) if sampler else None)
        if self.limit is not None and self.limit < 0:
            raise ConfigError(
                f"A slice cannot have {self.limit} rows.", "Use a limit of 0 or more."
            )
        if self.tokens is not None and self.tokens < 0:
            raise ConfigError(
                f"A slice cannot have {self.tokens} tokens.", "Use a budget of 0 or more."
            )

    def to_json(self) -> str:
        """Canonical JSON: equal slices have equal text."""
        return json.dumps(asdict(self), sort_keys=True, ensure_ascii=False, separators=(",", ":"))

    @property
    def id(self) -> str:
        """Identity of the choice, whatever the build."""
        return hashlib.sha256(self.to_json().encode()).hexdigest()[:12]

    def to_params(self) -> dict[str, str]:
        """URL parameters; defaults are left out."""
        params = {"relation": self.relation}
        if self.where:
            params["where"] = self.where
        if self.columns:
            params["columns"] = json.dumps(list(self.columns), ensure_ascii=False)
        if self.limit is not None:
            params["limit"] = str(self.limit)
        if self.sampler:
            params["sampler"] = self.sampler
        if self.seed:
            params["seed"] = str(self.seed)
        if self.tokens is not None:
            params["tokens"] = str(self.tokens)
        if self.target:
            params["target"] = self.target
        if self.clean != DEFAULT_CLEANERS:
            params["clean"] = json.dumps(list(self.clean), ensure_ascii=False)
        if self.split:
            params["split"] = str(self.split)
        return params

    @classmethod
    def from_params(cls, params: Mapping[str, str]) -> Slice:
        """Read what `to_params` wrote.

        Raises
        ------
        ConfigError
            If a parameter cannot be read.
        """
        try:
            columns = _texts("columns", params.get("columns", "[]"))
            limit, tokens = params.get("limit"), params.get("tokens")
            clean = _texts("clean", params["clean"]) if "clean" in params else DEFAULT_CLEANERS
            return cls(
                relation=params.get("relation", "enriched_inferences"),
                where=params.get("where"),
                columns=columns,
                limit=None if limit is None else int(limit),
                sampler=params.get("sampler"),
                seed=int(params.get("seed", "0")),
                tokens=None if tokens is None else int(tokens),
                target=params.get("target"),
                clean=clean,
                split=parse_split(params["split"]) if "split" in params else None,
            )
        except ValueError as error:
            raise ConfigError(
                f"The link does not describe a slice: {error}.", "Choose it again on the page."
            ) from error

    def sql(self, build: Build, among: str | None = None) -> str:
        """Write the SELECT that returns the slice's rows.

        Parameters
        ----------
        build
            The build to read.
        among
            SQL condition on rows of the relation, of which those of the slice are taken; not where
            it `draws`.

        Raises
        ------
        NotFoundError
            If the build has no such relation.
        ConfigError
            If the relation has no such column.
        QueryError
            If `where` is not a condition over its columns.
        """
        known = build.columns(self.relation)
        for name in self.columns:
            if name not in known:
                raise ConfigError(f"{self.relation} has no column {name!r}.", suggest(name, known))
        if self.sampler or (self.draws and _key(known) and self.reads_texts(build)):
            key, drawn = self.drawn(build)
            rows = self.of_drawn(build, key, f"({drawn})")
            return f"{rows} ORDER BY d.random_number, d.{engine.identifier(key)}"
        where = build.expression(self.where) if self.where else None
        selected = ", ".join(engine.identifier(name) for name in self.columns) or "*"
        sql = f"SELECT {selected} FROM {self._source(build, where)}"
        conditions = [condition for condition in (where, among) if condition]
        if conditions:
            sql += f" WHERE {' AND '.join(conditions)}"
        if self.limit is not None:
            if own := _key(known):
                sql += f" ORDER BY {random_number(own, self.seed)}, {engine.identifier(own)}"
            sql += f" LIMIT {self.limit}"
        return sql

    def _source(self, build: Build, where: str | None) -> str:
        if not self.columns:
            return engine.identifier(self.relation)
        needed = [engine.identifier(name) for name in self.columns]
        return build.narrowest(self.relation, *needed, *filter(None, [where]))

    def reads_texts(self, build: Build) -> bool:
        """Whether its rows are not all in the build's own file."""
        where = build.expression(self.where) if self.where else None
        return not self._source(build, where).startswith("narrow.")

    @property
    def draws(self) -> bool:
        """Whether it takes a sample of its rows."""
        return self.limit is not None or self.sampler is not None

    def drawn(self, build: Build) -> tuple[str, str]:
        """The key, and SQL of those of its values that are drawn, with their random number.

        A sampler adds the other sampling columns.
        """
        key = _key(build.columns(self.relation))
        if key is None:
            raise ConfigError(
                f"Rows of {self.relation} cannot be sampled: they have no key.",
                "Sample enriched_inferences or enriched_feedback.",
            )
        plan = parse_sampler(self.sampler).plan(build.expression) if self.sampler else None
        where = build.expression(self.where) if self.where else None
        needed = filter(None, [*(plan.expressions if plan else ()), where])
        name = engine.identifier(key)
        source = build.narrowest(self.relation, name, *needed)
        if where:
            source = f"(SELECT * FROM {source} WHERE {where})"
        if plan:
            return key, draw(plan, source, key, self.limit, self.seed, build.arrow)
        return key, (
            f"SELECT {name}, {random_number(key, self.seed)} AS random_number FROM {source} "
            f"ORDER BY random_number, {name} LIMIT {self.limit}"
        )

    def of_drawn(self, build: Build, key: str, drawn: str) -> str:
        """SQL of the slice's rows, given a relation of what was `drawn`, which is called ``d``."""
        known = self.columns or tuple(build.columns(self.relation))
        # The weights of the sample replace those of the relation, which are about its rows as a
        # whole.
        added = SAMPLING_COLUMNS if self.sampler else ()
        columns = [engine.identifier(name) for name in known if name not in added]
        listed = [f"t.{name}" for name in columns] + [f"d.{name}" for name in added]
        name = engine.identifier(key)
        source = build.narrowest(self.relation, name, *columns)
        return f"SELECT {', '.join(listed)} FROM {source} t JOIN {drawn} d ON t.{name} = d.{name}"

    def count(self, build: Build) -> int:
        """Count the rows of the slice in `build`; raises like `sql`."""
        if self.sampler:
            return build.count(self.drawn(build)[1])
        conditions = [build.expression(self.where)] if self.where else []
        source = build.narrowest(self.relation, *conditions)
        where = f" WHERE {conditions[0]}" if conditions else ""
        rows = build.count(f"SELECT 1 AS one FROM {source}{where}")
        return rows if self.limit is None else min(rows, self.limit)


def _texts(name: str, given: str) -> tuple[str, ...]:
    """The texts of a JSON list in a link."""
    texts: Any = json.loads(given)
    if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
        raise ValueError(name)
    return tuple(texts)


def _key(columns: Mapping[str, str]) -> str | None:
    """Name of the column that identifies a row, where there is one."""
    return next((name for name in _KEYS if name in columns), None)
