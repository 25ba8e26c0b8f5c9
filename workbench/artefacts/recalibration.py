"""Corrects probabilities that are too high or too low, by what happened on earlier inferences.

What it shows
-------------
The column `calibrated_p`: what the model's probability should have been, judging by earlier cases
with the same score. The figures compare calibration before and after, on later inferences that the
correction has not seen.

How to read it
--------------
It is worth having where the error after is below the error before and the two intervals are apart.
It changes what a probability means but not which case ranks first: `temperature` and `beta` keep
the order of the scores, `isotonic` makes some of them equal, and only `platt` can turn them round.

What to do
----------
Begin with `beta` or `platt`; take `isotonic` where there are thousands of labelled rows. Fit anew
when the model changes. Where one group is off in another direction than the rest, one correction
for all makes it worse: look at the groups first.

Definition
----------
Fitted on the calibration pairs (p, y) of the earlier slice by maximum likelihood, where
``logit(p) = ln p - ln(1 - p)`` and a logarithm is never below ln(2.2e-16).

- ``platt``: ``sigmoid(a logit(p) + b)``, with Platt's targets (n1 + 1) / (n1 + 2) for y = 1 and
  1 / (n0 + 2) for y = 0 (Platt 1999).
- ``temperature``: ``sigmoid(logit(p) / T)`` (Guo et al. 2017). On `probabilities` it is
  ``p^(1/T) / sum of p_j^(1/T)``, with T fitted to the probability of the label among all classes;
  that needs `[inferences] classes`.
- ``beta``: ``sigmoid(a ln p - b ln(1 - p) + c)`` with a, b >= 0; one that would be negative is 0,
  and the others are fitted again (Kull et al. 2017).
- ``isotonic``: the rising function of least squared error over pooled equal scores, linear between
  its steps and constant beyond its ends (scikit-learn's with ``out_of_bounds="clip"``).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import ibis
import ibis.expr.types as ir
import numpy as np

from workbench import formulas
from workbench.artefacts._kind import Fitted, Rows, artefact_kind
from workbench.artefacts._lookup import exact, piecewise
from workbench.artefacts._newton import logistic, minimise
from workbench.artefacts._pairs import known
from workbench.errors import ConfigError, DataError
from workbench.guide import Param

#: A logged score may be rounded beside the probabilities that it is one of.
_SAME = 1e-6


def fit(rows: Rows, params: Mapping[str, Any]) -> Fitted:
    """Fit one of the methods."""
    method, on = params["method"], params["on"]
    if on == "probabilities" and method != "temperature":
        raise ConfigError(
            f"The method {method} is not for probabilities of all classes.",
            "Use --method temperature, or leave --param on=probabilities out.",
        )
    pairs = rows.table.mutate(
        p=formulas.probability(rows.table.calibration_p),
        y=rows.table.calibration_y.cast("float64"),
    )
    n, positives = _counts(rows, pairs)
    if positives in (0, n):
        raise DataError(
            f"All {n:,} outcomes to fit on are {1 if positives else 0}.",
            "Fit on rows of which some came true and some did not: see --since, --until, --where.",
        )
    if on == "probabilities":
        state, n = _temperature_of_classes(rows, pairs)
    else:
        state = _METHODS[method](rows, pairs, n, positives)
    return Fitted(state={"method": method, "on": on, **state}, n=n)


def _counts(rows: Rows, pairs: ir.Table) -> tuple[int, int]:
    found = rows.execute(pairs.aggregate(n=pairs.count(), y=pairs.y.sum().cast("int64")))
    row = found.to_pylist()[0]
    return int(row["n"]), int(row["y"])


def _platt(rows: Rows, pairs: ir.Table, n: int, positives: int) -> dict[str, Any]:
    high, low = (positives + 1.0) / (positives + 2.0), 1.0 / (n - positives + 2.0)
    table = pairs.select(
        one=ibis.literal(1.0),
        x=formulas.logit(pairs.p),
        t=(pairs.y == 1.0).ifelse(exact(high), exact(low)),
    )
    b, a = logistic(table, rows.execute, ("one", "x"), "t", (0.0, 1.0))
    return {"a": a, "b": b}


def _temperature(rows: Rows, pairs: ir.Table, _n: int, _positives: int) -> dict[str, Any]:
    table = pairs.select(x=formulas.logit(pairs.p), t=pairs.y)
    (slope,) = logistic(table, rows.execute, ("x",), "t", (1.0,))
    return {"temperature": _positive(slope)}


def _positive(slope: float) -> float:
    """The temperature of a slope."""
    if slope <= 0.0:
        raise DataError(
            "The higher the score, the less often it came true: no temperature corrects that.",
            "Check positive_class and the mapping of score; --method platt turns the scale round.",
        )
    return 1.0 / slope


def _beta(rows: Rows, pairs: ir.Table, _n: int, _positives: int) -> dict[str, Any]:
    table = pairs.select(
        one=ibis.literal(1.0),
        a=formulas.log_probability(pairs.p),
        b=0.0 - formulas.log_probability(1.0 - pairs.p),
        t=pairs.y,
    )
    names: Sequence[str] = ("a", "b")
    found: dict[str, float] = {}
    while True:
        fitted = logistic(table, rows.execute, ("one", *names), "t", (0.0, *(1.0 for _ in names)))
        found = dict(zip(("c", *names), fitted, strict=True))
        below = [name for name in names if found[name] < 0.0]
        if not below:
            return {"a": 0.0, "b": 0.0, **found}
        names = [name for name in names if name != min(below, key=found.__getitem__)]


def _isotonic(rows: Rows, pairs: ir.Table, _n: int, _positives: int) -> dict[str, Any]:
    from sklearn.isotonic import IsotonicRegression

    cells = rows.execute(
        pairs.group_by("p").agg(n=lambda t: t.count(), y=lambda t: t.y.sum()).order_by("p")
    )
    n = cells["n"].to_numpy().astype(np.float64)
    regression = IsotonicRegression(y_min=0.0, y_max=1.0, out_of_bounds="clip")
    regression.fit(cells["p"].to_numpy(), cells["y"].to_numpy() / n, sample_weight=n)
    return {"x": regression.X_thresholds_.tolist(), "y": regression.y_thresholds_.tolist()}


_METHODS = {
    "beta": _beta,
    "isotonic": _isotonic,
    "platt": _platt,
    "temperature": _temperature,
}


# -- temperature over all classes ------------------------------------------------------------------


def _temperature_of_classes(rows: Rows, pairs: ir.Table) -> tuple[dict[str, Any], int]:
    classes = [formulas.canonical(ibis.literal(name)) for name in rows.project.classes]
    if not classes:
        raise ConfigError(
            "The classes that the probabilities are of have no names.",
            'Name them in their order: [inferences] classes = ["...", "..."], then build.',
        )
    q = pairs.probabilities
    usable = formulas.entropy(q, ibis.null("float64")).notnull() & (q.length() == len(classes))
    labelled = pairs.mutate(
        q=usable.ifelse(q, ibis.null(q.type())),
        own=ibis.cases(*((pairs.label == name, q[i]) for i, name in enumerate(classes)),
                       else_=ibis.null("float64")),
    )  # fmt: skip
    labelled = labelled.filter(labelled.q.notnull() & labelled.own.notnull())
    labelled = labelled.mutate(
        strange=~_one_of(labelled.p, labelled.q),
        best=formulas.log_probability(labelled.q.maxs()),
        own=formulas.log_probability(labelled.own),
    )
    n, strange = rows.execute(
        labelled.aggregate(n=labelled.count(), strange=labelled.strange.sum())
    ).to_pylist()[0].values()  # fmt: skip
    if not n:
        raise DataError(
            "No labelled row has a probability of each class.",
            "Map probabilities, or leave --param on=probabilities out.",
        )
    if strange:
        raise DataError(
            f"The score of {strange:,} of {n:,} rows is none of their probabilities.",
            "Leave --param on=probabilities out.",
        )

    def loss(
        table: ir.Table, at: Sequence[ir.FloatingValue]
    ) -> tuple[ir.FloatingValue, list[ir.FloatingValue], list[list[ir.FloatingValue]]]:
        def away(v: ir.FloatingValue) -> ir.FloatingValue:
            return formulas.log_probability(v) - table.best

        total = table.q.map(lambda v: (at[0] * away(v)).exp()).sums()
        mean = table.q.map(lambda v: away(v) * (at[0] * away(v)).exp()).sums() / total
        square = table.q.map(lambda v: away(v) * away(v) * (at[0] * away(v)).exp()).sums() / total
        own = table.own - table.best
        return total.ln() - at[0] * own, [mean - own], [[square - mean * mean]]

    (slope,) = minimise(labelled.select("q", "own", "best"), rows.execute, (1.0,), loss)
    return {"temperature": _positive(slope)}, int(n)


def _one_of(p: ir.FloatingValue, probabilities: ir.ArrayValue) -> ir.BooleanValue:
    return probabilities.filter(lambda v: (v - p).abs() <= _SAME).length() > 0


# -- applied ---------------------------------------------------------------------------------------


def apply(rows: ir.Table, state: Mapping[str, Any]) -> dict[str, ir.Value]:
    """The corrected probability; NULL where there is none to correct."""
    p = formulas.probability(rows.calibration_p)
    if state["on"] == "probabilities":
        found = _softened(p, rows.probabilities, 1.0 / state["temperature"])
    else:
        found = _APPLIED[state["method"]](p, state)
    return {"calibrated_p": p.notnull().ifelse(found, ibis.null("float64"))}


def _apply_platt(p: ir.FloatingValue, state: Mapping[str, Any]) -> ir.FloatingValue:
    return formulas.sigmoid(exact(state["a"]) * formulas.logit(p) + exact(state["b"]))


def _apply_temperature(p: ir.FloatingValue, state: Mapping[str, Any]) -> ir.FloatingValue:
    return formulas.sigmoid(formulas.logit(p) * exact(1.0 / state["temperature"]))


def _apply_beta(p: ir.FloatingValue, state: Mapping[str, Any]) -> ir.FloatingValue:
    rising = exact(state["a"]) * formulas.log_probability(p)
    falling = exact(state["b"]) * formulas.log_probability(1.0 - p)
    return formulas.sigmoid(rising - falling + exact(state["c"]))


def _apply_isotonic(p: ir.FloatingValue, state: Mapping[str, Any]) -> ir.FloatingValue:
    x, y = state["x"], state["y"]

    def piece(i: int) -> ir.FloatingValue:
        if i in (0, len(x)) or y[i - 1] == y[i]:
            return exact(y[max(i - 1, 0)])
        slope = (y[i] - y[i - 1]) / (x[i] - x[i - 1])
        return exact(slope) * (p - exact(x[i - 1])) + exact(y[i - 1])

    return piecewise(p, x, piece)


_APPLIED = {
    "beta": _apply_beta,
    "isotonic": _apply_isotonic,
    "platt": _apply_platt,
    "temperature": _apply_temperature,
}


def _softened(p: ir.FloatingValue, probabilities: ir.ArrayValue, slope: float) -> ir.FloatingValue:
    """Softmax at another temperature, of that class whose probability is `p`."""
    best = formulas.log_probability(probabilities.maxs())

    def power(v: ir.FloatingValue) -> ir.FloatingValue:
        return (exact(slope) * (formulas.log_probability(v) - best)).exp()

    usable = formulas.entropy(probabilities, ibis.null("float64")).notnull()
    usable = usable & _one_of(p, probabilities)
    return usable.ifelse(power(p) / probabilities.map(power).sums(), ibis.null("float64"))


def _needs(params: Mapping[str, Any]) -> tuple[str, ...]:
    pair = ("calibration_p", "calibration_y")
    return (*pair, "probabilities") if params["on"] == "probabilities" else pair


def _reads(state: Mapping[str, Any]) -> tuple[str, ...]:
    return tuple(name for name in _needs(state) if name != "calibration_y")


artefact = artefact_kind(
    columns=("calibrated_p",),
    fit=fit,
    needs=_needs,
    reads=_reads,
    apply=apply,
    about=known,
    holds_out=True,
    replaces={"calibration_p": "calibrated_p"},
    judged_by=("ece", "brier_score", "log_loss"),
    params={
        "method": Param(default="beta", about="Form of the correction.", choices=(*_METHODS,)),
        "on": Param(
            default="score",
            about="What temperature is applied to.",
            choices=("score", "probabilities"),
        ),
    },
)
