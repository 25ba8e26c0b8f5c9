"""The enriched views: each inference with its label, its uncertainty and its contexts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import ibis
import ibis.expr.types as ir

from workbench import formulas

#: Bins of ``prob_bin``.
PROB_BINS = 10


#: What each column that `uncertainty` adds is made of; of nothing it is NULL.
MADE_OF: Mapping[str, Sequence[str]] = {
    **dict.fromkeys(("least_confidence", "margin", "entropy"), ("probabilities", "confidence")),
    **dict.fromkeys(("mutual_information", "vote_entropy", "disagreement"), ("ensemble",)),
    **dict.fromkeys(
        ("sum_logprob", "mean_logprob", "min_logprob", "perplexity"), ("token_logprobs",)
    ),
}


def uncertainty(inferences: ir.Table) -> ir.Table:
    """`inferences` with how unsure the model was: by class, by ensemble member and by token."""
    probabilities, confidence = inferences["probabilities"], inferences["confidence"]
    ensemble, tokens = inferences["ensemble"], inferences["token_logprobs"]
    return inferences.mutate(
        least_confidence=formulas.least_confidence(probabilities, confidence),
        margin=formulas.margin(probabilities, confidence),
        entropy=formulas.entropy(probabilities, confidence),
        mutual_information=formulas.mutual_information(ensemble),
        vote_entropy=formulas.vote_entropy(ensemble),
        disagreement=formulas.disagreement(ensemble),
        sum_logprob=formulas.sum_logprob(tokens),
        mean_logprob=formulas.mean_logprob(tokens),
        min_logprob=formulas.min_logprob(tokens),
        perplexity=formulas.perplexity(tokens),
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
    inferences: ir.Table,
    labels: ir.Table,
    *,
    positive_class: str,
    unlabelled: ir.StringValue,
    classes: Sequence[str] = (),
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
    classes
        The classes in the order of ``probabilities``.

    Returns
    -------
    ir.Table
        As many rows as `inferences`, with ``reward``, ``label``, ``label_reason``, ``label_index``,
        ``correct``, ``label_delay``, ``n_feedback``, ``n_raters``, ``agreement``, ``selected``,
        ``positive``, ``calibration_p``, ``calibration_y`` and ``prob_bin``.

    Notes
    -----
    The calibration pair is (``score``, ``positive``) where ``score`` is there, else
    (``confidence``, ``correct``), else (``confidence``, label is 1).

    ``positive`` is about the label alone: a class that people named is compared with
    `positive_class`; a label that comes from rewards is 1 or 0 whatever the classes are called.
    """
    inferences = inferences.mutate(__unlabelled=unlabelled)
    facts = labels.rename({"__id": "request_id", "label_kind": "kind"})
    joined = inferences.left_join(facts, inferences["request_id"] == facts["__id"])
    joined = joined.mutate(
        __unlabelled=joined["__id"].isnull().ifelse(joined["__unlabelled"], None)
    )
    joined = joined.drop("__id")
    return labelled(joined, positive_class=positive_class, classes=classes)


def labelled(joined: ir.Table, *, positive_class: str, classes: Sequence[str] = ()) -> ir.Table:
    """`with_labels` of inferences to which the labels are joined already.

    Parameters
    ----------
    joined
        Inferences with the columns of labels, whose ``kind`` is called ``label_kind``, and
        ``__unlabelled``: why there is no label, NULL where there is one.
    positive_class, classes
        As of `with_labels`.
    """
    positive = formulas.canonical(ibis.literal(positive_class))
    predicted = formulas.canonical(joined["prediction"])
    correct = ibis.ifelse(
        joined["label_kind"] == "label", joined["label"] == predicted, ibis.null("boolean")
    )
    label = joined["label"]
    is_positive = ibis.ifelse(joined["label_kind"] == "label", label == positive, label == "1")
    outcome = ibis.cases(
        (joined["score"].notnull(), is_positive),
        (correct.notnull(), correct),
        else_=label == "1",
    )
    # A label that comes from rewards is 1 or 0 and names no class.
    places = [
        ((joined["label_kind"] == "label") & (label == formulas.canonical(ibis.literal(name))), i)
        for i, name in enumerate(classes)
    ]
    index = ibis.cases(*places, else_=None) if places else ibis.null("int32")
    joined = joined.mutate(
        label_index=index.cast("int32"),
        correct=correct,
        selected=predicted == positive,
        positive=is_positive,
        calibration_p=ibis.coalesce(joined["score"], joined["confidence"]),
        calibration_y=outcome.cast("float64"),
        label_reason=ibis.coalesce(joined["__unlabelled"], joined["label_reason"]),
        n_feedback=joined["n_feedback"].fill_null(0),
        n_raters=joined["n_raters"].fill_null(0),
    )
    return joined.mutate(
        prob_bin=formulas.bin_index(joined["calibration_p"], PROB_BINS).cast("int32")
    ).drop("__unlabelled", "label_kind")


def event_column(name: str, enriched: ir.Table) -> str:
    """What an event's column is called beside those of the inference that it judges."""
    return f"feedback_{name}" if name in enriched.columns and name != "reward" else name


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
    return with_inference(attributed(events, attribution, enriched), enriched)


def attributed(events: ir.Table, attribution: ir.Table, enriched: ir.Table) -> ir.Table:
    """`feedback_view` without the inferences, whose id is ``__found``."""
    own = {event_column(n, enriched): n for n in events.columns if n != "request_id"}
    found = attribution.filter(attribution["status"] == "attributed").drop("status")
    found = found.rename({"__event": "feedback_id", "__found": "request_id"}).drop("reason")
    joined = events.select(**{new: events[old] for new, old in own.items()})
    return joined.inner_join(found, joined["feedback_id"] == found["__event"]).drop("__event")


def with_inference(judging: ir.Table, enriched: ir.Table) -> ir.Table:
    """`feedback_view` of what is `attributed`, and the inferences or those of them in question."""
    facts = enriched.drop("reward")
    return judging.left_join(facts, judging["__found"] == facts["request_id"]).drop("__found")
