"""The stages of a build that run on schema ``narrow`` of the database in use."""

from __future__ import annotations

from workbench import engine
from workbench.build import artefacts, events, parts
from workbench.build import contexts as build_contexts
from workbench.build.names import joined
from workbench.build.sources import LakeTable
from workbench.compiled import Parts
from workbench.project import Project


def clocks(compiled: Parts, project: Project) -> None:
    """Make ``narrow.clocks``."""
    compiled.run(parts.clocks, _asked(project), aliases=project.aliases is not None)


def clocks_again(compiled: Parts) -> None:
    """Make ``narrow.clocks`` where all is enriched, and no clock was corrected."""
    read = ["narrow.enriched_feedback", "narrow.enriched_inferences", "narrow.feedback"]
    compiled.run(parts.clocks_again, read)


def attribute(compiled: Parts, project: Project) -> None:
    """Make ``narrow.attribution`` and ``narrow.credits``."""
    corrected = project.clock_skew == "correct"
    compiled.run(
        parts.attribute,
        [*_asked(project), *(["narrow.clocks"] if corrected else [])],
        fallback=project.fallback,
        window=project.window,
        aliases=project.aliases is not None,
        credit=project.credit,
        discount=project.discount,
        correct_clocks=corrected,
    )


def _asked(project: Project) -> list[str]:
    aliases = [] if project.aliases is None else ["narrow.aliases"]
    return ["narrow.feedback", "narrow.inferences", *aliases]


def label(
    compiled: Parts,
    project: Project,
    inferences: LakeTable,
    feedback: LakeTable,
    *,
    clock: bool,
) -> None:
    """Make ``rewarded`` and ``narrow.labels``; the variable ``as_of`` has that time if `clock`."""
    events.same_output(compiled.connection, inferences, feedback)
    logged = ["narrow.feedback", "narrow.attribution", "narrow.credits", "narrow.inferences"]
    other_weight = None
    if project.policy == "rater_weighted":
        weights, other_weight = artefacts.rater_weights(project)
        compiled.connection.execute(f"CREATE OR REPLACE TEMP TABLE rater_weights AS {weights}")
        logged.append("rater_weights")
    compiled.run(
        parts.label,
        [*logged, "same_output"],
        policy=project.policy,
        signals=project.label_signals,
        class_signals=any(signal.kind == "label" for signal in project.signals.values()),
        maturity=project.maturity,
        clock=clock,
        other_weight=other_weight,
    )


def enrich(compiled: Parts, project: Project, inferences: LakeTable) -> None:
    """Make ``narrow.enriched_inferences`` and ``narrow.contexts`` of what was joined."""
    names = [context.name for context in project.contexts]
    tables = [joined(name) for name in names]
    pieces = build_contexts.pieces(compiled, len(names))
    compiled.run(
        parts.verdicts, ["narrow.inferences", "narrow.credits", *_JUDGED], in_order=pieces > 1
    )
    compiled.run(
        parts.enriching,
        ["narrow.inferences", *tables, *parts.VERDICTS],
        names=names,
        waits=project.maturity.total_seconds() > 0,
        positive_class=project.positive_class,
        classes=project.classes,
        kind="TABLE" if artefacts.pinned(project) else "VIEW",
        pieces=pieces,
    )
    artefacts.add(compiled, project, inferences, pieces)
    if names:
        compiled.run(
            parts.beside_contexts, ["narrow.inferences", *tables], names=names, pieces=pieces
        )
    engine.drop_temporary(compiled.connection, ["enriching", *parts.VERDICTS, *tables])


_JUDGED = ("narrow.feedback", "narrow.attribution", "narrow.labels", "rewarded")


def traces(compiled: Parts) -> None:
    """Make ``narrow.enriched_steps``."""
    compiled.run(parts.traces, ["narrow.inferences", *_JUDGED])


def judgements(compiled: Parts) -> None:
    """Make ``narrow.enriched_feedback``."""
    enriched = "narrow.enriched_inferences"
    read = [enriched, "narrow.feedback", "narrow.attribution", "rewarded"]
    pieces = build_contexts.pieces(compiled, 0)
    if pieces > 1:
        # By itself: what a chain of joins holds at once cannot be spilled.
        compiled.run(parts.judging, read)
        read = [enriched, "judging_rows"]
        pieces = build_contexts.pieces(compiled, 0, "judging_rows", "__row")
    compiled.run(
        parts.judgements,
        read,
        empty=_empty(compiled, "enriched_inferences"),
        empty_events=_empty(compiled, "feedback"),
        pieces=pieces,
    )
    engine.drop_temporary(compiled.connection, ["placed_events", "judging_rows"])


def _empty(compiled: Parts, table: str) -> list[str]:
    stored = engine.stored_columns(compiled.connection, table)
    return [name for name, held in stored.items() if not held]
