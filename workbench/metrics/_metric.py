"""What a metric is, and the two ways to declare one."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import ibis.expr.types as ir
import numpy as np

from workbench.registry import Registry

Better = Literal["higher", "lower", "none"]
Over = Literal["labelled", "all"]
Interval = Literal["wilson", "mean", "bootstrap", "none"]
RowFunction = Callable[[ir.Table], ir.Value]
State = Mapping[str, np.ndarray[Any, Any]]
StateFunction = Callable[..., ir.Table]
EstimateFunction = Callable[..., "Estimate"]

REASONS = (
    "empty",
    "no_positives",
    "no_negatives",
    "single_class",
    "suppressed",
    "tie",
    "not_applicable",
    "missing_column",
    "no_clock",
)
"""Why a value is NULL.

``empty``: the group has no row that the metric is about, as a rule no labelled one.
``not_applicable``: it has such rows, but none with what the metric needs.
``missing_column``: the table lacks a column that the metric needs.
"""


@dataclass(frozen=True, kw_only=True)
class Param:
    """One parameter of a metric: its default and what it may be.

    Parameters
    ----------
    default
        The value where none is given; its type is the type of the parameter.
    about
        One sentence for help texts.
    choices
        The permitted values, if they are few.
    minimum, maximum
        The permitted range of a number.
    """

    default: Any
    about: str = ""
    choices: tuple[Any, ...] = ()
    minimum: float | None = None
    maximum: float | None = None


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """The value of a metric in one group.

    Parameters
    ----------
    value
        NULL where it is undefined; `reason` then says why.
    low, high
        95 % interval; NULL where there is none.
    n
        Number of rows in the value. NULL and NaN are not among them.
    reason
        One of `REASONS`, and only where `value` is NULL.
    """

    value: float | None = None
    low: float | None = None
    high: float | None = None
    n: int = 0
    reason: str | None = None


@dataclass(frozen=True, kw_only=True)
class Metric:
    """A number about a group of inferences.

    Parameters
    ----------
    name
        Name of its file, as scikit-learn or fairlearn spell it.
    about
        One sentence: tooltip, help text and table of metrics.
    needs
        Columns of `enriched_inferences` that it reads.
    better
        Which direction is an improvement.
    over
        Whether it is about labelled rows or about all.
    interval
        How `low` and `high` come about: see `simple_metric` and the file's docstring.
    params
        Parameters by name, with their defaults.
    expr
        Of a simple metric: the number of one row, whose mean is the value.
    state, estimate
        Of any other metric: what SQL sums up, and what Python makes of that.
    """

    name: str
    about: str
    needs: tuple[str, ...]
    better: Better
    over: Over
    interval: Interval
    params: Mapping[str, Param] = field(default_factory=dict)
    expr: RowFunction | None = None
    state: StateFunction | None = None
    estimate: EstimateFunction | None = None


metrics: Registry[Metric] = Registry("workbench.metrics", "metric", label="metric")


def _declaring_module() -> tuple[str, str]:
    """Name and first docstring line of the module that declares the metric.

    Read from the calling frame, as ``collections.namedtuple`` does, so that neither is written
    twice in the file of a metric.
    """
    module = sys._getframe(2).f_globals
    lines = inspect.cleandoc(module.get("__doc__") or "").splitlines()
    return module["__name__"].rpartition(".")[2], lines[0] if lines else ""


def simple_metric(
    *,
    expr: RowFunction,
    needs: tuple[str, ...],
    better: Better,
    over: Over = "labelled",
    interval: Literal["wilson", "mean", "none"] = "mean",
) -> Metric:
    """Declare a metric that is the mean of an expression; all of them share one scan.

    Parameters
    ----------
    expr
        From the rows to the number of each: ``lambda rows: rows.reward``. It may read the columns
        in `needs` and the boolean `labelled`. Rows where it is NULL, NaN or infinite are left out
        and not counted.
    needs
        The columns it reads.
    better
        Which direction is an improvement.
    over
        ``labelled`` if a row without label cannot have a value.
    interval
        ``wilson`` for a proportion, ``mean`` for values in [0, 1] (`formulas.mean_interval`).

    Returns
    -------
    Metric
        Named like the calling module.
    """
    name, about = _declaring_module()
    return Metric(
        name=name,
        about=about,
        needs=needs,
        better=better,
        over=over,
        interval=interval,
        expr=expr,
    )


def state_metric(
    *,
    state: StateFunction,
    estimate: EstimateFunction,
    needs: tuple[str, ...],
    better: Better,
    over: Over = "labelled",
    interval: Interval = "bootstrap",
    params: Mapping[str, Param] | None = None,
) -> Metric:
    """Declare a metric in two steps: SQL sums the rows up, Python makes a number of the sums.

    Parameters
    ----------
    state
        ``(table, by, **params) -> Table``: the columns `by`, then the state of each group.
    estimate
        ``(state, **params) -> Estimate`` of one group; not called for a group without state.
    needs, better, over, interval
        As in `simple_metric`.
    params
        Parameters by name; both functions get all of them as keywords.

    Returns
    -------
    Metric
        Named like the calling module.
    """
    name, about = _declaring_module()
    return Metric(
        name=name,
        about=about,
        needs=needs,
        better=better,
        over=over,
        interval=interval,
        params=dict(params or {}),
        state=state,
        estimate=estimate,
    )
