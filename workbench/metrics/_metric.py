"""What a metric is, and the two ways to declare one."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import ibis.expr.types as ir
import numpy as np

from workbench.guide import Guide as Guide
from workbench.guide import Param as Param
from workbench.guide import guide_of as guide_of
from workbench.registry import Registry

Better = Literal["higher", "lower", "none"]
Over = Literal["labelled", "all"]
Interval = Literal["wilson", "mean", "bootstrap", "normal", "none"]
RowFunction = Callable[[ir.Table], ir.Value]
State = Mapping[str, np.ndarray[Any, Any]]
StateFunction = Callable[..., ir.Table]
EstimateFunction = Callable[..., "Estimate"]

FAMILIES: Mapping[str, str] = {
    "coverage": "How much is known at all",
    "quality": "How good the answers were",
    "calibration": "Whether probabilities mean what they say",
    "groups": "Rates of a binary decision, for comparing groups",
    "uncertainty": "Whether the model knows when it is wrong",
    "skew": "Who is heard, and what that does to the numbers",
    "raters": "How far raters agree",
    "drift": "What to expect where there are no labels yet",
}
"""What a metric is for: the order and the headings of every list of metrics."""

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
    "few_effective",
)
"""Why a value is NULL.

``empty``: the group has no row that the metric is about, as a rule no labelled one.
``not_applicable``: it has such rows, but none with what the metric needs.
``no_positives``, ``no_negatives``, ``single_class``: the outcome that it compares with is absent.
``missing_column``: the table lacks a column that the metric needs.
``few_effective``: so few rows carry the weight that the value would say little.
"""


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


# Equal to itself only: what is compiled of a metric is kept by it.
@dataclass(frozen=True, kw_only=True, eq=False)
class Metric:
    """A number about a group of inferences.

    Parameters
    ----------
    name
        Name of its file, as scikit-learn or fairlearn spell it.
    family
        One of `FAMILIES`.
    guide
        What its docstring says.
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
    expressions
        Those of them that are, unless at their default, an SQL expression over the columns.
    expr
        Of a simple metric: the number of one row, whose mean is the value.
    base, undefined
        Of a simple metric that is about a part of the rows: those it could be about, and the reason
        where there are such rows but none in the part.
    state, estimate
        Of any other metric: what SQL sums up, and what Python makes of that.
    """

    name: str
    family: str
    guide: Guide
    needs: tuple[str, ...]
    better: Better
    over: Over
    interval: Interval
    params: Mapping[str, Param] = field(default_factory=dict)
    expressions: tuple[str, ...] = ()
    expr: RowFunction | None = None
    base: RowFunction | None = None
    undefined: str = "not_applicable"
    state: StateFunction | None = None
    estimate: EstimateFunction | None = None

    @property
    def about(self) -> str:
        """One sentence: tooltip, help text and table of metrics."""
        return self.guide.at_a_glance


def expression_column(text: str) -> str:
    """Name of the column with the values of an expression, which no column of a table has."""
    return f"= {text}"


metrics: Registry[Metric] = Registry("workbench.metrics", "metric", label="metric")


def _declaring_module() -> tuple[str, Guide]:
    """Name and guide of the module that declares the metric.

    Read from the calling frame, as ``collections.namedtuple`` does, so that neither is written
    twice in the file of a metric.
    """
    module = sys._getframe(2).f_globals
    return module["__name__"].rpartition(".")[2], guide_of(module.get("__doc__") or "")


def simple_metric(
    *,
    family: str,
    expr: RowFunction,
    needs: tuple[str, ...],
    better: Better,
    over: Over = "labelled",
    interval: Literal["wilson", "mean", "normal", "none"] = "mean",
    base: RowFunction | None = None,
    undefined: str = "not_applicable",
) -> Metric:
    """Declare a metric that is the mean of an expression; all of them share one scan.

    Parameters
    ----------
    family
        One of `FAMILIES`.
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
        ``wilson`` for a proportion, ``mean`` for values in [0, 1] (`formulas.mean_interval`),
        ``normal`` for any: mean +- z standard errors.
    base
        Of a metric that is about a part of the rows, such as the positives: whether a row could
        belong to the part. Where some could and none does, the reason is `undefined`.
    undefined
        One of `REASONS`.

    Returns
    -------
    Metric
        Named like the calling module.
    """
    name, guide = _declaring_module()
    return Metric(
        name=name,
        family=family,
        guide=guide,
        needs=needs,
        better=better,
        over=over,
        interval=interval,
        expr=expr,
        base=base,
        undefined=undefined,
    )


def state_metric(
    *,
    family: str,
    state: StateFunction,
    estimate: EstimateFunction,
    needs: tuple[str, ...],
    better: Better,
    over: Over = "labelled",
    interval: Interval = "bootstrap",
    params: Mapping[str, Param] | None = None,
    expressions: tuple[str, ...] = (),
) -> Metric:
    """Declare a metric in two steps: SQL sums the rows up, Python makes a number of the sums.

    Parameters
    ----------
    family
        One of `FAMILIES`.
    state
        ``(table, by, **params) -> Table``: the columns `by`, then the state of each group. The
        table has the columns in `needs`, the boolean ``labelled`` and ``weight``, which is 1 where
        nothing is weighted, and positive. Metrics that share a state function, with equal
        parameters of it, share its scan.
    estimate
        ``(state, **params) -> Estimate`` of one group; not called for a group without state.
    needs, better, over, interval
        As in `simple_metric`.
    params
        Parameters by name. `estimate` gets all of them as keywords, `state` those that it names.
    expressions
        Parameters that are, unless at their default, an SQL expression; the table then has its
        values in the column `expression_column`.

    Returns
    -------
    Metric
        Named like the calling module.
    """
    name, guide = _declaring_module()
    return Metric(
        name=name,
        family=family,
        guide=guide,
        needs=needs,
        better=better,
        over=over,
        interval=interval,
        params=dict(params or {}),
        expressions=expressions,
        state=state,
        estimate=estimate,
    )
