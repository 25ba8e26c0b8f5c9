"""What is looked at: columns by name or expression, and what stands for inputs by default."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from workbench.configuration import load
from workbench.drift._chunks import RELATION
from workbench.drift._distances import OF_CELLS, OF_NUMBERS
from workbench.engine import identifier
from workbench.errors import ConfigError, suggest
from workbench.query import Build
from workbench.scratch import Scratch

#: Other names of methods.
ALIASES: Mapping[str, str] = {"psi": "psi_decile_floor"}
METHODS = (*OF_CELLS, *OF_NUMBERS)

#: Of the model: what it said and how sure it was.
_MODEL = (
    "prediction", "score", "confidence", "least_confidence", "margin", "entropy", "disagreement",
    "mutual_information", "vote_entropy", "mean_logprob", "density",
)  # fmt: skip
_INPUTS = ("device", "channel", "position", "input_tokens")
_KNOWN_AFTERWARDS = ("reward", "label")
_ANSWERED = "labelled"


@dataclass(frozen=True)
class Column:
    """One thing to follow over time.

    Attributes
    ----------
    name
        What it is called in the answer: as it was asked for.
    sql
        Its expression over the inferences.
    methods
        How it is compared.
    """

    name: str
    sql: str
    methods: tuple[str, ...]


def methods_of(names: Sequence[str]) -> tuple[str, ...]:
    """Full names of methods.

    Raises
    ------
    ConfigError
        If there is no such method.
    """
    known = [*METHODS, *ALIASES]
    for name in names:
        if name not in known:
            raise ConfigError(f"There is no drift method {name!r}.", suggest(name, known))
    return tuple(dict.fromkeys(ALIASES.get(name, name) for name in names))


def columns_of(
    build: Build, names: Sequence[str], methods: Sequence[str] = ()
) -> tuple[Column, ...]:
    """The columns to look at.

    Parameters
    ----------
    build
        The build to read.
    names
        SQL expressions over ``enriched_inferences``, or ``labelled`` for the response rate. When
        empty: the features, what the model said, and what people said.
    methods
        Names of `METHODS`; when empty, `jensen_shannon` for distributions and `mean` for rates.
    """
    chosen = methods_of(methods)
    schema = build.table(RELATION).schema()
    known = [f"({identifier(name)} IS NOT NULL)" for name in ("label", "reward") if name in schema]
    answered = " OR ".join(known) or "false"

    def column(name: str, default: tuple[str, ...], sql: str | None = None) -> Column:
        return Column(name, sql or identifier(name), chosen or default)

    if names:
        found = []
        for name in dict.fromkeys(names):
            if name == _ANSWERED:
                found.append(column(name, ("mean",), answered))
            else:
                default = ("mean",) if name in ("correct", "reward") else ("jensen_shannon",)
                found.append(column(name, default, build.expression(name)))
        return tuple(found)

    inputs: list[Column] = []
    # Without any in the configuration the column is there, and is always NULL.
    if "features" in schema and load(build.project_dir).inferences.features:
        inputs = [
            column(f"features.{field}", ("jensen_shannon",), f"features.{identifier(field)}")
            for field, dtype in schema["features"].items()
            if dtype.is_numeric() or dtype.is_string() or dtype.is_boolean()
        ]
    inputs += [column(name, ("jensen_shannon",)) for name in (*_INPUTS, *_MODEL) if name in schema]
    after = [column(name, ("jensen_shannon",)) for name in _KNOWN_AFTERWARDS if name in schema]
    if "correct" in schema:
        after.append(column("correct", ("mean",)))
    after.append(column(_ANSWERED, ("mean",), answered))
    return _with_values(build, (*inputs, *after))


def _with_values(build: Build, columns: tuple[Column, ...]) -> tuple[Column, ...]:
    """Without those that are NULL in every row."""
    counts: dict[str, int] = {}
    # Together they would all be read as the widest of them is.
    for wide in (False, True):
        part = [c for c in columns if c.sql.startswith("features.") is wide]
        if part:
            source = build.narrowest(RELATION, *(c.sql for c in part))
            listed = ", ".join(f"count({c.sql}) AS {identifier(c.name)}" for c in part)
            counts |= build.arrow(f"SELECT {listed} FROM {source}").to_pylist()[0]
    return tuple(c for c in columns if counts[c.name])


def attribution_means(rows: Scratch, name: str) -> dict[str, dict[int, dict[str, Any]]]:
    """Mean absolute attribution of each feature by chunk, by the name of the feature.

    Where there are several kinds (SHAP, attention), which have scales of their own, the kind is
    part of the name.
    """
    found = rows.run(
        f"WITH each AS (SELECT chunk, unnest({identifier(name)}) AS a FROM {rows.name}) "
        "SELECT chunk, CASE WHEN (SELECT count(DISTINCT coalesce(a.kind, '')) FROM each) > 1 "
        "THEN concat(a.feature, ' (', a.kind, ')') ELSE a.feature END AS feature, "
        "avg(abs(a.value)) AS value, count(a.value) AS n "
        "FROM each WHERE isfinite(a.value) GROUP BY ALL ORDER BY feature, chunk"
    ).to_pylist()
    result: dict[str, dict[int, dict[str, Any]]] = {}
    for row in found:
        by_chunk = result.setdefault(str(row["feature"]), {})
        by_chunk[row["chunk"]] = {"value": row["value"], "n": row["n"]}
    return result
