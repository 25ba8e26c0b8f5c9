"""The enriched views: each inference with its label, its uncertainty and its contexts."""

from __future__ import annotations

import ibis
import ibis.expr.types as ir

from workbench import formulas

#: Bins of ``prob_bin``.
PROB_BINS = 10


def uncertainty(inferences: ir.Table) -> ir.Table:
    """`inferences` with ``least_confidence``, ``margin`` and ``entropy``."""
    probabilities, confidence = inferences["probabilities"], inferences["confidence"]
    return inferences.mutate(
        least_confidence=formulas.least_confidence(probabilities, confidence),
        margin=formulas.margin(probabilities, confidence),
        entropy=formulas.entropy(probabilities, confidence),
    )


def event_counts(events: ir.Table, attribution: ir.Table, credits: ir.Table) -> ir.Table:
    """How many events judge each inference, of whatever kind.

    Parameters
    ----------
    events
        Accepted events.
    attribution
        The result of `workbench.attribution.attribute`.
    credits
        The result of `workbench.attribution.credits`.

    Returns
    -------
    ir.Table
        ``request_id`` and ``n_events`` of the inferences that have any. An event on several
        inferences counts for each of them, a preference for both of its sides; one that was
        withdrawn does not count, nor does its withdrawal.
    """
    counted = attribution.filter(
        (attribution["status"] == "attributed") & ~attribution["retracted"].fill_null(False)
    ).anti_join(events.filter(events["retracts"].notnull()), "feedback_id")
    sides = [
        counted.select("feedback_id", request_id=counted[f"{side}_request_id"])
        for side in ("chosen", "rejected")
    ]
    judged = credits.semi_join(counted, "feedback_id").select("feedback_id", "request_id")
    judged = judged.union(*sides, distinct=True)
    judged = judged.filter(judged["request_id"].notnull())
    return judged.group_by("request_id").agg(n_events=judged.count())


def with_labels(
    inferences: ir.Table, labels: ir.Table, *, positive_class: str, unlabelled: ir.StringValue
) -> ir.Table:
    """Each inference with its label, labelled or not, and the calibration pair.

    Parameters
    ----------
    inferences
        Inferences, one row per ``request_id``.
    labels
        The result of `workbench.labels.resolve`.
    positive_class
        The class that ``score`` is the probability of.
    unlabelled
        Why an inference without a row in `labels` has no label, as an expression over
        `inferences`.

    Returns
    -------
    ir.Table
        As many rows as `inferences`, with ``reward``, ``label``, ``label_reason``, ``correct``,
        ``label_delay``, ``n_feedback``, ``n_raters``, ``agreement``, ``selected``,
        ``calibration_p``, ``calibration_y`` and ``prob_bin``.

    Notes
    -----
    The calibration pair is (``score``, label is the positive class) where ``score`` is there,
    else (``confidence``, ``correct``), else (``confidence``, label is 1).
    """
    inferences = inferences.mutate(__unlabelled=unlabelled)
    facts = labels.rename({"__id": "request_id", "label_kind": "kind"})
    joined = inferences.left_join(facts, inferences["request_id"] == facts["__id"])
    positive = formulas.canonical(ibis.literal(positive_class))
    predicted = formulas.canonical(joined["prediction"])
    correct = ibis.ifelse(
        joined["label_kind"] == "label", joined["label"] == predicted, ibis.null("boolean")
    )
    label = joined["label"]
    outcome = ibis.cases(
        (joined["score"].notnull(), label == positive),
        (correct.notnull(), correct),
        else_=label == "1",
    )
    joined = joined.mutate(
        correct=correct,
        selected=predicted == positive,
        calibration_p=ibis.coalesce(joined["score"], joined["confidence"]),
        calibration_y=outcome.cast("float64"),
        label_reason=ibis.ifelse(
            joined["__id"].isnull(), joined["__unlabelled"], joined["label_reason"]
        ),
        n_feedback=joined["n_feedback"].fill_null(0),
        n_raters=joined["n_raters"].fill_null(0),
    )
    return joined.mutate(
        prob_bin=formulas.bin_index(joined["calibration_p"], PROB_BINS).cast("int32")
    ).drop("__id", "__unlabelled", "label_kind")


def feedback_view(events: ir.Table, attribution: ir.Table, enriched: ir.Table) -> ir.Table:
    """Each attributed event with everything that is known of its inference.

    Parameters
    ----------
    events
        Accepted events with their ``reward``.
    attribution
        The result of `workbench.attribution.attribute`.
    enriched
        The enriched inferences.

    Returns
    -------
    ir.Table
        One row per attributed event. An event's column that is called like an inference's gets
        the prefix ``feedback_``.
    """
    own = {
        (f"feedback_{name}" if name in enriched.columns and name != "reward" else name): name
        for name in events.columns
        if name != "request_id"
    }
    found = attribution.filter(attribution["status"] == "attributed").drop("status")
    found = found.rename({"__event": "feedback_id", "__found": "request_id"}).drop("reason")
    joined = events.select(**{new: events[old] for new, old in own.items()})
    joined = joined.inner_join(found, joined["feedback_id"] == found["__event"])
    facts = enriched.drop("reward")
    joined = joined.left_join(facts, joined["__found"] == facts["request_id"])
    return joined.drop("__event", "__found")
