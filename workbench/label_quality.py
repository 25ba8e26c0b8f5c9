"""Labels that the model's probabilities speak against: the confident joint (Northcutt et al. 2021).

A class has a threshold: the mean probability that the model gives it where it is the label. A row
is counted as the class whose threshold its probability reaches; of several, as the likeliest class
of all; of none, not at all. A label is suspected where its row is counted as another class and its
own is not the likeliest one. This is what cleanlab does for ``find_label_issues`` with
``filter_by="confident_learning"``.

The functions are expressions over a table with ``probabilities`` and ``label_index``; rows without
either, or with probabilities that are none, are left out.
"""

from __future__ import annotations

from collections.abc import Sequence

import ibis
import ibis.expr.types as ir

from workbench import formulas

#: By how much two probabilities must differ to count as different.
TOLERANCE = 1e-6
#: No threshold is lower than this, or a class of which the model never thinks would claim all rows.
LEAST_THRESHOLD = 2e-6


def counted(rows: ir.Table, by: Sequence[str] = (), weight: str | None = None) -> ir.Table:
    """The rows with a label and probabilities, and which class each is counted as.

    Parameters
    ----------
    rows
        With ``probabilities`` and ``label_index``.
    by
        Columns of groups, each with thresholds of its own.
    weight
        Column of weights, for the thresholds.

    Returns
    -------
    ir.Table
        Those rows, with ``suggested_index`` (NULL where no threshold is reached), ``label_issue``,
        ``self_confidence`` and ``normalized_margin``.
    """
    fit = formulas.labelled_distribution(rows.probabilities, rows.label_index)
    known = rows.filter(fit)
    known = known.mutate(
        self_confidence=formulas.self_confidence(known.probabilities, known.label_index),
        normalized_margin=formulas.normalized_margin(known.probabilities, known.label_index),
        __p=known.probabilities.cast("array<float64>"),
        __label=known.label_index.cast("int64"),
        __weight=known[weight] if weight else ibis.literal(1.0),
    )
    thresholds = _thresholds(known, by)
    same = [known[key].identical_to(thresholds[f"__{key}"]) for key in by]
    joined = known.inner_join(thresholds, same) if by else known.cross_join(thresholds)
    p, limits = joined["__p"], joined["__limits"]
    reached = ibis.range(0, ibis.least(p.length(), limits.length()).cast("int64")).filter(
        lambda k: p[k] >= limits[k] - TOLERANCE
    )
    joined = joined.mutate(__reached=reached, __likeliest=p.index(p.maxs()).cast("int64"))
    found = ibis.cases(
        (joined["__reached"].length() > 1, joined["__likeliest"]),
        (joined["__reached"].length() == 1, joined["__reached"].mins()),
        else_=ibis.null("int64"),
    )
    joined = joined.mutate(suggested_index=found)
    other = (joined.suggested_index != joined["__label"]).fill_null(False)
    behind = joined["__p"].maxs() > joined.self_confidence + TOLERANCE
    return joined.mutate(label_issue=other & behind).drop(
        *(name for name in joined.columns if name.startswith("__"))
    )


def _thresholds(known: ir.Table, by: Sequence[str]) -> ir.Table:
    """``__limits`` of each group: threshold of each class by its place; NULL if it is no label."""
    w = known["__weight"]
    means = known.aggregate(
        by=[*by, "__label"], __limit=(w * known.self_confidence).sum() / w.sum()
    )
    means = means.mutate(__limit=ibis.greatest(means["__limit"], LEAST_THRESHOLD))
    pair = ibis.struct({"label": means["__label"], "limit": means["__limit"]})
    listed = means.aggregate(by=list(by), __pairs=pair.collect(), __last=means["__label"].max())
    pairs = listed["__pairs"]
    limits = ibis.range(0, listed["__last"] + 1).map(
        lambda k: pairs.filter(lambda pair: pair["label"] == k).map(lambda p: p["limit"]).maxs()
    )
    return listed.select(**{f"__{key}": listed[key] for key in by}, __limits=limits)


def confident_joint(rows: ir.Table) -> ir.Table:
    """Number of rows by label and by the class that they are counted as.

    Parameters
    ----------
    rows
        With ``probabilities`` and ``label_index``.

    Returns
    -------
    ir.Table
        ``label_index``, ``suggested_index`` and ``n``; pairs that never occur are left out, except
        that each class is counted as itself at least once, as in cleanlab.
    """
    found = counted(rows)
    pairs = found.filter(found.suggested_index.notnull()).select(
        label_index=found.label_index.cast("int64"),
        suggested_index=found.suggested_index,
        n=ibis.literal(1, "int64"),
    )
    last = found.aggregate(classes=found.probabilities.length().max().cast("int64"))
    itself = last.select(label_index=ibis.range(0, last.classes).unnest())
    itself = itself.select(
        "label_index", suggested_index=itself.label_index, n=ibis.literal(0, "int64")
    )
    both = pairs.union(itself)
    summed = both.group_by("label_index", "suggested_index").agg(n=both.n.sum().cast("int64"))
    own = summed.label_index == summed.suggested_index
    return summed.mutate(n=ibis.greatest(summed.n, own.cast("int64")))


def label_issues(rows: ir.Table, classes: Sequence[str]) -> ir.Table:
    """The suspected labels, with the class that each is counted as.

    Parameters
    ----------
    rows
        With ``request_id``, ``label``, ``probabilities`` and ``label_index``.
    classes
        Names of the classes, in the order of ``probabilities``.

    Returns
    -------
    ir.Table
        ``request_id``, ``label``, ``suggested_label``, ``self_confidence`` and
        ``normalized_margin``. The labels of low self-confidence are the most suspicious.
    """
    found = counted(rows.select("request_id", "label", "probabilities", "label_index"))
    names = [(found.suggested_index == place, name) for place, name in enumerate(classes)]
    suggested = ibis.cases(*names, else_=None) if names else ibis.null("string")
    return found.filter(found.label_issue).select(
        "request_id",
        "label",
        suggested_label=suggested,
        self_confidence=found.self_confidence,
        normalized_margin=found.normalized_margin,
    )
