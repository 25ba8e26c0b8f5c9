"""Mean over the classes of the calibration error of each class's probability (class-wise ECE).

What it shows
-------------
How far the probabilities of all classes are from what happened, not only those of the predicted
one.

How to read it
--------------
Far smaller than ``ece`` where there are many classes, since most probabilities are near 0 and right
to be: compare models with the same classes only. Beside a small ``ece`` of the prediction, a large
one says that the runners-up are off.

What to do
----------
Where decisions use the probabilities of several classes (a threshold per class, a shortlist),
recalibrate with all classes and watch this number.

Definition
----------
Mean over the classes k of the ECE of (probability of k, whether the label is k), over the rows
whose label is one of ``[inferences] classes`` (Kull et al. 2019). Row and classes have to be of one
length, and each probability in [0, 1]; other rows are left out. ``absent`` says what becomes of a
class that no row has as its label: ``include`` it, as its probabilities are then wrong to be above
0, or ``skip`` it. Bins are as those of ``ece``, of each class by itself.

The interval is the bootstrap of ``ece``, drawn for each class by itself and widened by ``sqrt(K /
(K - 1))`` for K classes, because their errors go together: with two they are the same.
"""

from __future__ import annotations

import math
from typing import Any

import ibis
import ibis.expr.types as ir
import numpy as np

from workbench.formulas import probability
from workbench.metrics._bins import binned, mean_probability, simulate
from workbench.metrics._bootstrap import Array, resample
from workbench.metrics._metric import Estimate, Param, State, state_metric
from workbench.metrics._pairs import BIN_PARAMS, cells, effective_size
from workbench.metrics.ece import ece


def class_cells(table: ir.Table, by: tuple[str, ...], /, *, bins: int, bin_rule: str) -> ir.Table:
    """Sums over the rows in each (class, bin, outcome) of each group; see `cells`."""
    ps = table.probabilities.cast("array<float64>")
    bad = ps.filter(lambda q: q.isnull() | q.isnan() | (q < 0.0) | (q > 1.0))
    rows = table.select(
        *by, "weight", ps=ps, bad=bad.length(), label=table.label_index.cast("int64")
    )
    rows = rows.filter((rows.bad == 0) & (rows.label >= 0) & (rows.label < rows.ps.length()))
    rows = rows.select(
        *by, "weight", "label", "ps", k=ibis.range(0, rows.ps.length().cast("int64")).unnest()
    )
    long = rows.select(
        *by,
        "weight",
        "k",
        calibration_p=probability(rows.ps[rows.k]),
        calibration_y=(rows.label == rows.k).cast("float64"),
    )
    return cells(long, (*by, "k"), bins=bins, bin_rule=bin_rule)


def estimate(state: State, /, *, absent: str, **_params: Any) -> Estimate:
    """Class-wise ECE and its interval out of the cells of all classes of one group."""
    classes = [
        {name: column[state["k"] == k] for name, column in state.items()}
        for k in np.unique(state["k"])
    ]
    rows = int(classes[0]["rows"].sum())
    if absent == "skip":
        classes = [part for part in classes if part["y"].any()]
    found = [_of_class(part, seed) for seed, part in enumerate(classes)]
    values, drawn, usual = (np.array(column) for column in zip(*found, strict=True))
    value = float(values.mean())
    if not np.isfinite(value):
        return Estimate(reason="not_applicable")
    if not np.ptp(drawn, axis=1).any():
        return Estimate(value=value, n=rows)
    count = len(classes)
    centre = drawn.mean(axis=1, keepdims=True)
    wider = math.sqrt(count / (count - 1)) if count > 1 else 1.0
    replicates = centre.mean() + wider * (drawn - centre).mean(axis=0)
    lower, upper = np.quantile(replicates, [0.025, 0.975])
    low, high = 2 * value - float(upper), 2 * value - float(lower)
    if value <= np.quantile(usual.mean(axis=0), 0.975):
        low = 0.0
    return Estimate(
        value=value, low=max(0.0, min(low, value)), high=min(1.0, max(high, value)), n=rows
    )


def _of_class(state: State, seed: int) -> tuple[float, Array, Array]:
    """ECE of one class, its replicates, and what perfect calibration would show."""
    counts, bins = binned(state)
    found, size = bins(counts), effective_size(state)
    drawn = ece(bins(resample(counts, size, seed=seed)))
    return float(ece(found)), drawn, simulate(found, ece, mean_probability, size, seed=seed)


metric = state_metric(
    family="calibration",
    state=class_cells,
    estimate=estimate,
    needs=("probabilities", "label_index"),
    better="lower",
    params={
        **BIN_PARAMS,
        "absent": Param(
            default="include",
            about="What becomes of a class that is no row's label.",
            choices=("include", "skip"),
        ),
    },
)
