"""What a kind of artefact is, and how to declare one."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import ibis.expr.types as ir
import pyarrow as pa

from workbench.guide import Guide, Param, guide_of
from workbench.project import Project
from workbench.registry import Registry

Names = tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Rows:
    """What an artefact is fitted on.

    Parameters
    ----------
    table
        The rows: ``request_id``, ``ts``, ``model_version``, the boolean ``labelled``, and what the
        kind needs. Those that are held out are not among them.
    execute
        Runs an expression over `table`; sums belong there, not in Python.
    project
        The project's configuration.
    votes
        What raters say of inferences, for a kind that weighs it: ``request_id``, ``rater_id``,
        ``name`` and ``side``.
    """

    table: ir.Table
    execute: Callable[[ir.Table], pa.Table]
    project: Project
    votes: ir.Table | None = None


@dataclass(frozen=True, kw_only=True)
class Fitted:
    """What was fitted.

    Parameters
    ----------
    state
        What `ArtefactKind.apply` needs, as JSON can hold it.
    n
        Number of rows that it was fitted on.
    table
        ``request_id`` and one value per row of each column of the kind, or of what `apply` makes
        them from.
    figures
        Anything else worth showing, as JSON can hold it.
    """

    state: Mapping[str, Any]
    n: int
    table: pa.Table | None = None
    figures: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class ArtefactKind:
    """A kind of thing that is fitted over a population.

    Parameters
    ----------
    name
        Name of its file.
    guide
        What its docstring says.
    columns
        Columns of the enriched views that it fills; table ``fitted`` of ``sql/schema.sql``
        declares them.
    fit
        From `Rows` and the parameters to what was fitted. It refuses in words what it cannot fit.
    needs
        Columns of ``enriched_inferences`` that `fit` reads, by the parameters.
    wants
        Columns that it reads too where the build has them, by the parameters and the project.
    reads
        Columns of ``enriched_inferences`` that `apply` reads, by the state.
    apply
        The columns as expressions over rows that have those. The values of a table stand in the
        rows as ``fitted_NAME``; a row that was not fitted on has NULL there.
    params
        Parameters by name, with their defaults.
    about
        Which rows it is about; all of them when None.
    holds_out
        Fitted on the earlier of those rows, so that it can be judged by the later ones.
    replaces
        Column that metrics read, to the column that does better: for figures before and after.
    judged_by
        Those metrics.
    weighs_votes
        Fitted on `Rows.votes`; it fills no column, labels are resolved with its weights.
    """

    name: str
    guide: Guide
    columns: Names
    fit: Callable[[Rows, Mapping[str, Any]], Fitted]
    needs: Callable[[Mapping[str, Any]], Names]
    reads: Callable[[Mapping[str, Any]], Names]
    wants: Callable[[Mapping[str, Any], Project], Names] = lambda *_: ()
    apply: Callable[[ir.Table, Mapping[str, Any]], dict[str, ir.Value]] | None = None
    params: Mapping[str, Param] = field(default_factory=dict)
    about: Callable[[ir.Table], ir.BooleanValue] | None = None
    holds_out: bool = False
    replaces: Mapping[str, str] = field(default_factory=dict)
    judged_by: Names = ()
    weighs_votes: bool = False

    def values(self, rows: ir.Table, state: Mapping[str, Any]) -> dict[str, ir.Value]:
        """The columns of the kind as expressions over `rows`."""
        if self.apply is None:
            return {name: rows[f"fitted_{name}"] for name in self.columns}
        return self.apply(rows, state)


artefacts: Registry[ArtefactKind] = Registry(
    "workbench.artefacts", "artefact", label="kind of artefact"
)


def artefact_kind(
    *,
    columns: Names,
    fit: Callable[[Rows, Mapping[str, Any]], Fitted],
    needs: Names | Callable[[Mapping[str, Any]], Names],
    wants: Callable[[Mapping[str, Any], Project], Names] = lambda *_: (),
    reads: Names | Callable[[Mapping[str, Any]], Names] = (),
    apply: Callable[[ir.Table, Mapping[str, Any]], dict[str, ir.Value]] | None = None,
    params: Mapping[str, Param] | None = None,
    about: Callable[[ir.Table], ir.BooleanValue] | None = None,
    holds_out: bool = False,
    replaces: Mapping[str, str] | None = None,
    judged_by: Names = (),
    weighs_votes: bool = False,
) -> ArtefactKind:
    """Declare a kind of artefact, named like the calling module; see `ArtefactKind`.

    `needs` and `reads` are column names, or functions of the parameters and of the state.
    """
    module = sys._getframe(1).f_globals
    return ArtefactKind(
        name=module["__name__"].rpartition(".")[2],
        guide=guide_of(module.get("__doc__") or ""),
        columns=columns,
        fit=fit,
        needs=needs if callable(needs) else lambda _: needs,
        wants=wants,
        reads=reads if callable(reads) else lambda _: reads,
        apply=apply,
        params=dict(params or {}),
        about=about,
        holds_out=holds_out,
        replaces=dict(replaces or {}),
        judged_by=judged_by,
        weighs_votes=weighs_votes,
    )
