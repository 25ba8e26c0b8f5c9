"""How labels would change under each policy, and the votes that they are made from."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import ibis
import ibis.expr.types as ir

from workbench import artefacts, formulas, labels
from workbench.configuration import LABEL_POLICIES
from workbench.formulas import canonical
from workbench.metrics import wilson_of
from workbench.project import Project
from workbench.query import Build
from workbench.scratch import Scratch, held_table, scratch


def judged(build: Build) -> ir.Table:
    """The attributed events of a build with their rewards, as `labels.resolve` takes them."""
    feedback, attribution, credits, inferences = (
        build.table(name, narrow=True)
        for name in ("feedback", "attribution", "credits", "inferences")
    )
    events = labels.judged(feedback, attribution, credits, _same_output(build))
    return labels.rewarded(events, inferences)


def _same_output(build: Build) -> ir.Table:
    """Whether each correction equals the output; wide columns are read only if there are any."""
    kept = ("row_id", "feedback_id", "kind")
    corrections = build.table("feedback", narrow=True).select(*kept)
    corrections = corrections.filter(corrections.kind == "correction")
    if not build.execute(corrections.limit(1)).num_rows:
        return corrections.select(
            same_row="row_id",
            same_request=ibis.null("string"),
            same_output=ibis.null("boolean"),
        )
    corrected = build.table("feedback").select("feedback_id", "corrected_output")
    outputs = build.table("inferences").select("request_id", "output")
    credits = build.table("credits", narrow=True).select("feedback_id", "request_id")
    rows = corrections.inner_join(credits, "feedback_id").inner_join(corrected, "feedback_id")
    rows = rows.inner_join(outputs, "request_id")
    return rows.select(
        same_row=rows.row_id,
        same_request=rows.request_id,
        same_output=rows.corrected_output == rows.output,
    )


def votes(build: Build, project: Project) -> ir.Table:
    """What each rater says last of each inference under each deciding signal."""
    return labels.votes(judged(build), build.table("inferences", narrow=True), **_deciding(project))


def _deciding(project: Project) -> dict[str, Any]:
    return {
        "signals": project.label_signals,
        "class_signals": any(signal.kind == "label" for signal in project.signals.values()),
    }


def resolved(
    build: Build, project: Project, policy: str, weights: Mapping[str, Any] | None = None
) -> ir.Table:
    """The labels of a build under another policy; all else is as the project says.

    Parameters
    ----------
    build, project
        The build, and its project.
    policy
        One of `LABEL_POLICIES`.
    weights
        State of an artefact of kind ``raters``, for ``rater_weighted``.
    """
    rows = labels.deciding(
        judged(build), build.table("inferences", narrow=True), **_ripe(build, project)
    )
    return labels.decided(rows, policy, **_weights(build, weights))


def _ripe(build: Build, project: Project) -> dict[str, Any]:
    as_of = build.manifest["as_of"]
    return _deciding(project) | {
        "maturity": project.maturity,
        "as_of": None if as_of is None else ibis.timestamp(as_of).cast("timestamp('UTC')"),
    }


def _weights(build: Build, weights: Mapping[str, Any] | None) -> dict[str, Any]:
    if weights is None:
        return {}
    # It brings all that builds with it, which the first page of the dashboard does without.
    from workbench.build.artefacts import weights_query

    return {
        "rater_weights": build.query_table(weights_query(weights)),
        "other_weight": weights["other"],
    }


def pinned_weights(project: Project) -> Mapping[str, Any] | None:
    """State of the artefact of kind ``raters`` that is pinned, if one is."""
    place = artefacts.folder(project)
    identity = artefacts.pinned(place).get("raters")
    return None if identity is None else artefacts.load(place, identity).state


def compared(build: Build, project: Project, policy: str) -> ir.Table:
    """The labels of a build beside those under another policy.

    Returns
    -------
    ir.Table
        ``request_id``; ``label`` and ``reward`` in the build; ``other_label``, ``other_reason``,
        ``other_reward`` under the policy; ``changed``: whether the label is another one.
    """
    weights = pinned_weights(project) if policy == "rater_weighted" else None
    other = resolved(build, project, policy, weights).select(
        other_id="request_id", other_label="label", other_reason="label_reason",
        other_reward="reward",
    )  # fmt: skip
    now = build.table("labels", narrow=True).select("request_id", "label", "reward")
    both = now.inner_join(other, now.request_id == other.other_id).drop("other_id")
    return both.mutate(changed=~both.label.identical_to(both.other_label))


def policies(build: Build, project: Project) -> list[dict[str, Any]]:
    """How labels would change under each policy.

    Parameters
    ----------
    build, project
        The build, and its project.

    Returns
    -------
    list of dict
        For each policy ``policy``; ``configured``: whether it is the build's; ``n`` inferences with
        deciding events; ``n_labelled``; ``n_changed`` whose label is another one than in the build
        or is gone, ``share_changed`` with its Wilson interval ``low``, ``high``; ``n_tie``,
        ``share_tie``; ``reward_mean`` with its interval ``reward_low``, ``reward_high``;
        ``reason``: ``no_weights`` where no artefact ``raters`` is pinned.
    """
    found = []
    with scratch(build, build.sql_of(_held(build, project))) as rows:
        events = held_table(rows)
        for policy in LABEL_POLICIES:
            row: dict[str, Any] = dict.fromkeys(_COLUMNS)
            weights = pinned_weights(project) if policy == "rater_weighted" else None
            if policy == "rater_weighted" and weights is None:
                row["reason"] = "no_weights"
            else:
                row |= _sums(rows, _beside(events, policy, _weights(build, weights)))
            found.append(row | {"policy": policy, "configured": policy == project.policy})
    return found


_READ = ("feedback_id", "request_id", "name", "rater_id", "ts", "weight", "reward", "class")


def _held(build: Build, project: Project) -> ir.Table:
    """The deciding events of labelled inferences, by the number of the inference.

    Returns
    -------
    ir.Table
        What `labels.decided` takes, without the delay; ``now``, the label in the build; ``alone``:
        whether no other event is known of the inference.
    """
    inferences = build.table("inferences", narrow=True)
    if not build.once("shared credits", lambda: _has_shares(build)):
        events = _whole(build)
        rows = labels.deciding(events, **_ripe(build, project))
    else:
        rows = labels.deciding(judged(build), inferences, **_ripe(build, project))
        facts = build.table("enriched_inferences", narrow=True)
        facts = facts.select("label", "n_events", "n_feedback", of="row_id", __id="request_id")
        rows = rows.inner_join(facts, rows["request_id"] == facts["__id"])
        rows = rows.mutate(request_id=rows["of"])
    rows = rows.filter(rows["n_feedback"] > 0)
    return rows.select(*_READ, now="label", alone=rows["n_events"] == 1)


def _has_shares(build: Build) -> bool:
    """Whether an event is credited to several inferences."""
    credits = build.table("credits", narrow=True)
    return bool(build.execute(credits.filter(credits.weight != 1.0).limit(1)).num_rows)


def _whole(build: Build) -> ir.Table:
    """What `judged` says where each event is credited to one inference: that of its row.

    It needs no join, and has the label of the build beside it.
    """
    rows = build.table("enriched_feedback", narrow=True)
    named = ibis.ifelse(rows.kind == "label", canonical(rows.value), ibis.null("string"))
    return rows.select(
        "feedback_id", "name", "kind", "rater_id", "reward", "retracted", "label", "n_events",
        "n_feedback", request_id="row_id", ts="feedback_ts", weight=ibis.literal(1.0), __ts="ts",
        **{"class": named},
    )  # fmt: skip


def _beside(events: ir.Table, policy: str, weights: Mapping[str, Any]) -> ir.Table:
    """As `compared`, of what `_held` gives; without the rewards of the build."""
    parts = []
    for alone in (True, False):
        rows = events.filter(events.alone == alone)
        rows = rows.select(*_READ, "now", __delay=ibis.null("float64"))
        parts.append(labels.decided(rows, policy, **weights, alone=alone, kept=("now",)))
    both = ibis.union(*parts).select(
        "request_id", label="now", other_label="label", other_reason="label_reason",
        other_reward="reward",
    )  # fmt: skip
    return both.mutate(changed=~both.label.identical_to(both.other_label))


_COLUMNS = (
    "policy", "configured", "n", "n_labelled", "n_changed", "share_changed", "low", "high",
    "n_tie", "share_tie", "reward_mean", "reward_low", "reward_high", "reason",
)  # fmt: skip


def _sums(held: Scratch, rows: ir.Table) -> dict[str, Any]:
    counts = rows.aggregate(
        n=rows.count(),
        n_labelled=rows.other_label.count(),
        n_changed=rows.count(where=rows.changed),
        n_tie=rows.count(where=rows.other_reason == "tie"),
        n_rewarded=rows.other_reward.count(),
        reward_mean=rows.other_reward.mean(),
        spread=rows.other_reward.var(),
    )
    ends = formulas.normal_interval(counts.reward_mean, counts.spread, counts.n_rewarded)
    counts = counts.mutate(reward_low=ends[0], reward_high=ends[1]).drop("n_rewarded", "spread")
    (row,) = held.run(counts).to_pylist()
    n = row["n"]
    if not n:
        return {**row, "reason": "empty"}
    # To plan the formula takes the engine longer than this.
    changed = row["n_changed"] / n
    low, high = wilson_of(changed, n)
    return {
        **row, "share_changed": changed, "low": low, "high": high, "share_tie": row["n_tie"] / n,
    }  # fmt: skip
