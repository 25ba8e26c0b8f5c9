"""How likely it is that an inference gets a label, and the weight that makes up for it.

What it shows
-------------
``response_propensity`` of each inference: how often ones like it are labelled. ``sample_weight`` of
each labelled one: how many inferences like it stand behind it, so that a label out of a silent
group counts for more.

How to read it
--------------
The AUC says how far labels depend on what is known of an inference: at 0.5 they come at random, and
weights change nothing. The largest weight and the effective sample size say what the weights cost;
where few labels carry a silent group, their number is what counts. Weights make up for what the
columns tell apart and for nothing else: among inferences that are alike in them, those that were
labelled have to be like those that were not.

What to do
----------
Pin it, build, and compare ``workbench metrics --weighted`` with what was observed. Where the
effective size is small, ask the silent group for feedback; no weight replaces it. Add columns that
drive who answers with ``columns``.

Definition
----------
Logistic regression with an L2 penalty (scikit-learn, C = 1) of "has a label or a reward" on
indicators of the values of each column and of pairs of columns (Rosenbaum and Rubin 1983). A
missing value is a value of its own; beyond the commonest ones the rest are one. Where no columns
are named, those with few values are tried, without what is known only after the inference, and the
ones stay whose labelled shares differ by a chi-square statistic that chance exceeds once in a
hundred, divided by the number of columns. A pair is taken in where the sums over its cells differ
from those that the columns alone predict, likewise at once in a thousand.

It is cross-fitted: ``md5(request_id)`` puts each inference into one of ``folds`` parts, and its
probability comes from the model of the other parts. Which columns and pairs there are is decided on
all. ``sample_weight`` is the share of labelled inferences over the probability (the stabilised
weight of Robins et al. 2000), and NULL without a label.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import ibis
import ibis.expr.types as ir

from workbench import response
from workbench.artefacts import _propensity as model
from workbench.artefacts._kind import Fitted, Rows, artefact_kind
from workbench.errors import DataError
from workbench.guide import Param
from workbench.project import Project

#: Fewer than these of either kind are no population to fit.
_LEAST = 50
_REST, _ABSENT = "rest", "absent"


def names_of(params: Mapping[str, Any]) -> tuple[str, ...]:
    """The columns that were asked for; none where they are to be found."""
    return tuple(name.strip() for name in params["columns"].split(",") if name.strip())


def fit(rows: Rows, params: Mapping[str, Any]) -> Fitted:
    """Fit on how many inferences of each combination of values there are, and have a label."""
    most = params["levels"]
    asked = names_of(params)
    later = {context.name for context in rows.project.contexts if context.join == "within"}
    response.check(asked, later)
    columns = asked or response.candidates(rows.table, rows.execute, most, later=later)
    if not columns:
        raise DataError(
            "No column has few values, so nothing tells inferences apart.",
            'Name columns: --param "columns=device, user.tier".',
        )
    values = {name: response.value_of(rows.table, name) for name in columns}
    if not asked:
        columns = model.telling(rows.table, values, rows.execute)
        values = {name: values[name] for name in columns}
    levels = model.levels(rows.table, values, rows.execute, most)
    coded = rows.table.select(
        fold=fold_of(rows.table.request_id, params["folds"]),
        labelled=rows.table.labelled,
        **{f"c{i}": position(levels[name], values[name]) for i, name in enumerate(columns)},
    )
    keys = ["fold", *(f"c{i}" for i in range(len(columns)))]
    counted = coded.group_by(keys).agg(n=coded.count(), k=coded.count(where=coded.labelled))
    cells = rows.execute(counted.order_by(keys))
    found = model.Cells.of(cells, [len(levels[name]) + 1 for name in columns])
    if min(found.k.sum(), (found.n - found.k).sum()) < _LEAST:
        raise DataError(
            f"{int(found.k.sum()):,} of {int(found.n.sum()):,} inferences have a label: too few "
            "with one, or too few without one, to say what they depend on.",
            f"At least {_LEAST} of each are needed.",
        )
    fitted = model.cross_fit(found, params["folds"])
    terms: list[dict[str, Any]] = [
        {
            "columns": [columns[i] for i in term],
            "coefficients": [[float(b) for b in fold] for fold in coefficients],
        }
        for term, coefficients in zip(fitted.terms, fitted.coefficients, strict=True)
    ]
    return Fitted(
        state={
            "folds": params["folds"],
            "rate": float(found.k.sum() / found.n.sum()),
            "levels": levels,
            "intercepts": [float(b) for b in fitted.intercepts],
            "terms": terms,
        },
        n=int(found.n.sum()),
        figures={
            **model.figures(found, fitted.probability),
            "coefficients": {
                " x ".join(term["columns"]): _by_level(term, levels) for term in terms
            },
        },
    )


def _by_level(term: Mapping[str, Any], levels: Mapping[str, list[str]]) -> dict[str, float]:
    """Mean coefficient over the folds of each value, or combination of values, of a term."""
    named = [""]
    for column in term["columns"]:
        words = [*(_word(level) for level in levels[column]), _REST]
        named = [f"{before}, {word}" if before else word for before in named for word in words]
    folds = term["coefficients"]
    means = [sum(values) / len(folds) for values in zip(*folds, strict=True)]
    return {name: mean for name, mean in zip(named, means, strict=True) if mean}


def _word(level: str) -> str:
    return _ABSENT if level == response.MISSING else level[1:]


def fold_of(request_id: ir.StringValue, folds: int) -> ir.IntegerValue:
    """The part to which an inference belongs, the same in every build."""
    digits = request_id.hexdigest("md5").substr(0, 8)
    return ("0x" + digits).cast("int64") % folds


def position(levels: Sequence[str], value: ir.StringValue) -> ir.IntegerValue:
    """Place of a value among the levels, from 0; their number for any other value."""
    listed = ibis.literal(list(levels), "array<string>")
    found = listed.index(value).cast("int64")
    return (found.fill_null(-1) < 0).ifelse(len(levels), found)


def apply(rows: ir.Table, state: Mapping[str, Any]) -> dict[str, ir.Value]:
    """Look the coefficients of each row up by its fold and its values, and add them."""
    levels = state["levels"]
    fold = fold_of(rows.request_id, state["folds"])
    places = {name: position(levels[name], response.value_of(rows, name)) for name in levels}
    logit = _looked_up([[b] for b in state["intercepts"]], fold, ibis.literal(0))
    for term in state["terms"]:
        place: ir.IntegerValue = ibis.literal(0)
        for name in term["columns"]:
            place = place * (len(levels[name]) + 1) + places[name]
        logit = logit + _looked_up(term["coefficients"], fold, place)
    propensity = 1.0 / (1.0 + (0.0 - logit).exp())
    known = rows.label.notnull() | rows.reward.notnull()
    weight = ibis.ifelse(known, state["rate"] / propensity, ibis.null("float64"))
    return {"response_propensity": propensity, "sample_weight": weight}


def _looked_up(
    by_fold: Sequence[Sequence[float]], fold: ir.IntegerValue, place: ir.IntegerValue
) -> ir.FloatingValue:
    """Value at `place` of the row of `fold`."""
    flat = [float(value) for row in by_fold for value in row]
    return ibis.literal(flat, "array<float64>")[fold * len(by_fold[0]) + place]


def _roots(names: Sequence[str]) -> list[str]:
    return list(dict.fromkeys(response.root_of(name) for name in names))


def _usual(params: Mapping[str, Any], project: Project) -> tuple[str, ...]:
    """Where columns are to be found: those that matter in any project, features and contexts."""
    if names_of(params):
        return ()
    return (*response.USUAL, "features", *(context.name for context in project.contexts))


artefact = artefact_kind(
    columns=("response_propensity", "sample_weight"),
    fit=fit,
    needs=lambda params: ("request_id", *_roots(names_of(params))),
    wants=_usual,
    reads=lambda state: ("request_id", "label", "reward", *_roots(list(state["levels"]))),
    apply=apply,
    params={
        "columns": Param(
            default="",
            about="Columns with few values, such as 'device, user.tier, hour(ts)'; found where "
            "none are given.",
        ),
        "folds": Param(default=5, about="Parts of the cross-fit.", minimum=2, maximum=20),
        "levels": Param(
            default=20, about="Values of a column that are told apart.", minimum=2, maximum=100
        ),
    },
)
