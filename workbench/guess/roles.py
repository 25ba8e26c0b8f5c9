"""Which of several groups of files are inferences, which are feedback, which can be joined."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from workbench.guess.files import Group
from workbench.guess.keys import NEARLY_UNIQUE, Join, find_links, join, uniqueness
from workbench.guess.names import LABELS, RATINGS, THUMBS, Evidence, evidence, is_about
from workbench.guess.profile import Column, Sample

_NARROW_LENGTH = 80


@dataclass(frozen=True)
class Lookup:
    """A group with one row per inference, to be joined as a context."""

    name: str
    group: Group
    key: str
    columns: tuple[str, ...]


@dataclass(frozen=True)
class Roles:
    """What each group is; None where a person has to say."""

    inferences: Sample | None
    feedback: Sample | None
    lookups: tuple[Lookup, ...] = ()
    questions: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def _speaks_of(sample: Sample, *fields: str) -> int:
    return sum(
        any(evidence(field, c.path) >= Evidence.SYNONYM and c.filled for c in sample.columns)
        for field in fields
    )


def is_feedback(sample: Sample) -> bool:
    """Whether the columns are those of judgements, not of model calls."""
    if _speaks_of(sample, "input", "output", "prediction", "model"):
        return False
    judged = any(
        is_about(c.path, names) for c in sample.columns for names in (THUMBS, RATINGS, LABELS)
    )
    rated = _speaks_of(sample, "value", "corrected_output", "chosen_id", "rater_id", "retracts")
    return bool(judged or rated)


def is_inferences(sample: Sample) -> bool:
    """Whether the columns are those of model calls."""
    return bool(_speaks_of(sample, "input", "output", "prediction", "score", "probabilities"))


def _owns(sample: Sample, key: Column) -> bool:
    """Whether `key` is the group's own key, not a reference to another's."""
    return not any(
        other.path != key.path
        and other.key_like
        and evidence("feedback_id", other.path) is Evidence.GENERIC
        and uniqueness(sample, other) >= NEARLY_UNIQUE
        for other in sample.columns
    )


def assign(inferences: Sequence[Sample], feedback: Sequence[Sample]) -> Roles:
    """Tell inferences, feedback and what can be looked up apart."""
    questions, notes = [], []
    judged = feedback[0] if len(feedback) == 1 else None
    if judged is None:
        found = [sample for sample in feedback if is_feedback(sample)]
        if len(found) == 1:
            judged = found[0]
            notes.append(f"{judged.group.title} is taken as the feedback.")
        else:
            titles = ", ".join(s.group.title for s in found or feedback)
            questions.append(f"feedback.source: which files are the feedback? candidates: {titles}")
    others = [s for s in inferences if judged is None or s.group != judged.group]
    called = inferences[0] if len(inferences) == 1 else None
    if called is None:
        logs = [sample for sample in others if is_inferences(sample)] or others
        # What a system exported is told by its contents; what lies beside it only looks alike.
        exported = [sample for sample in logs if sample.group.vendor]
        logs = exported if len(exported) == 1 else logs
        linked = [s for s in logs if judged is not None and _linked(join(s, judged), s)]
        best = linked or logs
        if len(best) == 1:
            called = best[0]
            notes.append(f"{called.group.title} is taken as the inferences.")
        else:
            titles = ", ".join(s.group.title for s in best)
            questions.append(
                f"inferences.source: which files are the inferences? candidates: {titles}"
            )
    lookups = []
    taken = [s.group for s in (called, judged) if s is not None]
    every = {s.group: s for s in (*inferences, *feedback)}
    for sample in every.values():
        if called is None or sample.group in taken:
            continue
        lookup = _lookup(called, judged, sample)
        if lookup is not None:
            lookups.append(lookup)
            notes.append(
                f"{sample.group.title} has one row per inference by {lookup.key}: it becomes the "
                f"context {lookup.name}."
            )
        elif is_inferences(sample) and not called.group.vendor:
            questions.append(
                f"inferences.source: {sample.group.title} looks like inferences too, but no "
                "feedback refers to it. Shall it be added to the source?"
            )
        else:
            notes.append(f"{sample.group.title} is not used.")
    return Roles(called, judged, tuple(lookups), tuple(questions), tuple(notes))


def _linked(found: Join, sample: Sample) -> bool:
    return found.key is not None and found.target is not None and _owns(sample, found.key)


def _lookup(called: Sample, judged: Sample | None, sample: Sample) -> Lookup | None:
    key = join(called, judged).key if judged is not None else None
    if key is None:
        return None
    links = [
        link
        for link in find_links(sample, called, least=0.95)
        if link.target.path == key.path and link.uniqueness == 1 and link.certain
    ]
    if len(links) != 1 or len(links[0].key.path) != 1:
        return None
    own = links[0].key
    narrow = tuple(
        c.path[0]
        for c in sample.columns
        if len(c.path) == 1
        and c.filled
        and not c.nested
        and c.path != own.path
        and c.stats["max_length"] <= _NARROW_LENGTH
    )
    name = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", sample.group.stem).lower()
    name = re.sub(r"\W+", "_", name).strip("_") or "lookup"
    return Lookup(name if name[0].isalpha() else f"c_{name}", sample.group, own.path[0], narrow)
