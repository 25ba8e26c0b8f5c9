"""The parts of a build that are compiled from expressions; see `workbench.compiled`.

What they read of the project and of the build are their arguments, and nothing else.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

import ibis
import ibis.expr.types as ir

from workbench import attribution, contract, engine, enrich, labels, steps
from workbench.build.names import joined, private_columns
from workbench.compiled import Scope
from workbench.contexts import JoinSpec, contexts
from workbench.engine import identifier
from workbench.project import Signal


def inferences(scope: Scope, *, empty: Sequence[str]) -> None:
    """Make ``narrow.inferences`` of what is ``received`` without the ``losers``.

    The columns of ``received`` that are called `empty` hold nothing.
    """
    winners = enrich.uncertainty(scope.tables["received"])
    winners = winners.mutate(n_choices=winners["choices"].length())
    narrow = [name for name in winners.columns if name not in contract.WIDE_COLUMNS]
    derived = {**enrich.MADE_OF, "n_choices": ("choices",)}
    scope.make(
        "narrow.inferences",
        winners.select(*narrow),
        "SELECT * FROM ({}) ANTI JOIN losers USING (row_id)",
        empty=[
            name
            for name in narrow
            if name in empty or (name in derived and set(derived[name]) <= set(empty))
        ],
    )


def scored(
    scope: Scope, *, signals: Mapping[str, Signal], classes: Sequence[str], own: Sequence[str]
) -> None:
    """Make ``scored`` of ``judged``, with kind and reward; without the columns `own`."""
    events = scope.tables["judged"]
    events = events.mutate(kind=labels.effective_kind(events, signals))
    events = events.mutate(reward=labels.signal_reward(events, signals))
    events = events.mutate(is_bad=labels.bad_value(events, signals, classes))
    scope.make("scored", events, f"SELECT * EXCLUDE ({', '.join(own)}) FROM ({{}})")


def clocks(scope: Scope, *, aliases: bool) -> None:
    """Make ``narrow.clocks``."""
    scope.make("narrow.clocks", attribution.clocks(*_asked(scope, aliases=aliases)))


def clocks_again(scope: Scope) -> None:
    """Make ``narrow.clocks`` of the attributed events; what was corrected is not known of them."""
    view = scope.tables["narrow.enriched_feedback"]
    inferences = scope.tables["narrow.enriched_inferences"]
    events = ("ts", *attribution.CLOCK_COLUMNS)
    columns = {name: enrich.event_column(name, inferences) for name in events}
    found = view.select("feedback_id", "method", "delay", "retracts", **columns)
    # What withdraws an event without an id of its own has what was found for that event.
    named = scope.tables["narrow.feedback"].filter(lambda t: t["request_id"].notnull())
    named = named.filter(named["retracts"].notnull()).select(__named="feedback_id")
    found = found.filter(found["method"].isin(["request_id", "alias"]))
    found = found.left_join(named, found["feedback_id"] == named["__named"])
    found = found.filter(found["retracts"].isnull() | found["__named"].notnull())
    scope.make("narrow.clocks", attribution.estimated(found))


def _asked(scope: Scope, *, aliases: bool) -> tuple[ir.Table, ir.Table, ir.Table | None]:
    """What attribution reads of events, inferences and aliases."""
    feedback = scope.tables["narrow.feedback"].select(
        *attribution.EVENT_COLUMNS, *attribution.CLOCK_COLUMNS
    )
    logged = scope.tables["narrow.inferences"].select(*attribution.INFERENCE_COLUMNS)
    return feedback, logged, scope.tables["narrow.aliases"] if aliases else None


def attribute(
    scope: Scope,
    *,
    fallback: Sequence[str],
    window: timedelta,
    aliases: bool,
    credit: str,
    discount: float,
    correct_clocks: bool,
) -> None:
    """Make ``narrow.attribution`` and ``narrow.credits``."""
    feedback, logged, others = _asked(scope, aliases=aliases)
    if correct_clocks:
        feedback = attribution.corrected(feedback, scope.tables["narrow.clocks"])
    numbers = itertools.count()
    found = attribution.attribute(
        feedback,
        logged,
        fallback=fallback,
        window=window,
        aliases=others,
        credit=credit,
        keep=lambda table: scope.make(f"kept_{next(numbers)}", table),
    )
    found = scope.make("narrow.attribution", found)
    credited = attribution.credits(found, feedback, logged, rule=credit, discount=discount)
    scope.make("narrow.credits", credited)


def label(
    scope: Scope,
    *,
    policy: str,
    signals: Sequence[str],
    class_signals: bool,
    maturity: timedelta,
    clock: bool,
    other_weight: float | None,
) -> None:
    """Make ``rewarded`` and ``narrow.labels``."""
    tables = scope.tables
    logged = tables["narrow.inferences"]
    judged = labels.judged(
        tables["narrow.feedback"],
        tables["narrow.attribution"],
        tables["narrow.credits"],
        tables["same_output"],
    )
    rewarded = scope.make("rewarded", labels.rewarded(judged, logged))
    resolved = labels.resolve(
        rewarded,
        logged,
        policy=policy,
        signals=signals,
        class_signals=class_signals,
        maturity=maturity,
        as_of=scope.variable("as_of", "timestamp('UTC')") if clock else None,
        rater_weights=None if other_weight is None else tables["rater_weights"],
        other_weight=1.0 if other_weight is None else other_weight,
    )
    scope.make("narrow.labels", resolved)


def refused(scope: Scope, *, join: str, spec: JoinSpec, known: str) -> None:
    """Make ``refused_facts``: the keys that the settings of a context forbid, the worst first."""
    bad = contexts.get(join).refuse(scope.tables[known], spec)
    if bad is None:
        scope.make("refused_facts", None, "SELECT NULL::VARCHAR AS key, 0 AS n WHERE false")
        return
    scope.make("refused_facts", bad.order_by(ibis.desc("n"), "key").limit(1_000))


def join(
    scope: Scope,
    *,
    join: str,
    spec: JoinSpec,
    read: Sequence[str],
    wide: Sequence[str],
    clock: bool,
    as_of: str | None,
    in_order: bool,
) -> None:
    """Make ``joined_NAME`` of the inferences and facts in `read`, and ``figures_of_context``.

    It has no column of the inferences but ``row_id``: what is carried along is copied every time.
    `in_order` of that, a piece of it is read without the rest.
    """
    rows, known, *others = (scope.tables[name] for name in read)
    moment = scope.variable("as_of", "timestamp('UTC')") if clock else None
    spec = replace(
        spec,
        as_of=moment if as_of is None else datetime.fromisoformat(as_of),
        computed=others.pop() if len(others) > bool(wide) else None,
    )
    kind = contexts.get(join)
    found = kind.join(beside(rows, *others), known, spec).drop(*wide)
    own = found.select("row_id", spec.name, *private_columns(spec.name))
    scope.make(joined(spec.name), own, "FROM ({}) ORDER BY row_id" if in_order else "{}")
    figures = kind.figures(known, spec)
    if figures is None:
        scope.make("figures_of_context", None, "SELECT 0 AS n WHERE false")
        return
    whole = [name for name, dtype in figures.schema().items() if dtype.is_integer()]
    # DuckDB adds up whole numbers to a type that Arrow does not have, and that Ibis takes for a
    # BIGINT: it would leave out a plain cast.
    cast = {name: figures[name].cast("decimal(38, 0)").cast("int64") for name in whole}
    scope.make("figures_of_context", figures.mutate(**cast))


def reach(scope: Scope, *, join: str, spec: JoinSpec, known: str) -> None:
    """Put into ``reached`` the inferences of the build to which facts can matter.

    The facts of a key are taken together, where their ranges end those of a day.
    """
    facts = scope.tables[known]
    kind = contexts.get(join)
    assert kind.reach is not None
    found = kind.reach(facts, spec)
    time = "timestamp('UTC')"
    keys = [key for _, key in spec.keys]
    ranges = facts.select(
        *keys,
        __start=ibis.null(time) if found.start is None else found.start.cast(time),
        __end=ibis.null(time) if found.end is None else found.end.cast(time),
    )
    per = keys if found.end is None else [*keys, ranges["__start"].truncate("D").name("__day")]
    ranges = ranges.group_by(per) if per else ranges
    ranges = ranges.agg(__start=lambda t: t["__start"].min(), __end=lambda t: t["__end"].max())
    same = [f"CAST(i.{identifier(left)} AS VARCHAR) = r.{key}" for left, key in spec.keys]
    inside = [*same]
    scope.make("reaching", ranges)
    # Most is about the end of the log: by the bounds of all ranges the engine finds it at once.
    if found.start is not None:
        scope.run("SET VARIABLE reach_start = (SELECT min(__start) FROM reaching)")
        inside += ["i.ts >= r.__start", "i.ts >= getvariable('reach_start')"]
    if found.end is not None:
        scope.run("SET VARIABLE reach_end = (SELECT max(__end) FROM reaching)")
        inside += ["i.ts <= r.__end", "i.ts <= getvariable('reach_end')"]
    rows = "SELECT i.row_id FROM build.narrow.inferences i JOIN reaching r"
    scope.run(f"INSERT INTO reached {rows} ON {' AND '.join(inside) or 'true'}")
    if found.reasons:
        reason = identifier(private_columns(spec.name)[1])
        named = ", ".join(map(engine.literal, found.reasons))
        scope.run(
            f"INSERT INTO reached {rows} ON {' AND '.join(same) or 'true'} "
            "JOIN build.narrow.contexts c ON i.row_id = c.row_id "
            f"WHERE c.{reason} IN ({named})"
        )


def beside(inferences: ir.Table, *lake: ir.Table) -> ir.Table:
    """Inferences with the wide columns of a relation of the lake, where there is one."""
    for wide in lake:
        inferences = inferences.left_join(wide, inferences["row_id"] == wide["lake_row"])
        inferences = inferences.drop("lake_row")
    return inferences


#: What is known of those inferences that were judged, by ``row_id``.
VERDICTS = ("judged_rows", "touched_rows", "labelled_rows")


def verdicts(scope: Scope, *, in_order: bool) -> None:
    """Make `VERDICTS`: how many events there are, that one may decide, and the label.

    Each by itself: to join them to each other takes memory that cannot be spilled.
    """
    tables = scope.tables
    logged = (tables[f"narrow.{name}"] for name in ("feedback", "attribution", "credits"))
    touched = tables["rewarded"].filter(
        lambda t: t["request_id"].notnull() & ~t["retracted"]
        & (t["reward"].notnull() | t["class"].notnull())
    ).select("request_id").distinct()  # fmt: skip
    labels = tables["narrow.labels"].rename(label_kind="kind")
    rows = tables["narrow.inferences"].select("row_id", __own="request_id")
    for name, facts in zip(VERDICTS, (enrich.event_counts(*logged), touched, labels), strict=True):
        facts = facts.rename(__id="request_id")
        found = rows.inner_join(facts, rows["__own"] == facts["__id"]).drop("__own", "__id")
        scope.make(name, found, "FROM ({}) ORDER BY row_id" if in_order else "{}")


def enriching(
    scope: Scope,
    *,
    names: Sequence[str],
    waits: bool,
    positive_class: str,
    classes: Sequence[str],
    kind: str,
    pieces: int,
) -> None:
    """Make ``enriching``: the inferences with the contexts called `names` and with their labels.

    A view has the rows of the piece whose turn it is, where there are several `pieces`.
    """
    tables = scope.tables
    rows = scope.of_piece(tables["narrow.inferences"], pieces)
    for name in names:
        context = scope.of_piece(tables[joined(name)], pieces).select(name, __of="row_id")
        rows = rows.inner_join(context, rows["row_id"] == context["__of"]).drop("__of")
    for name in VERDICTS:
        verdict = scope.of_piece(tables[name], pieces).rename({f"__{name}": "row_id"})
        rows = rows.left_join(verdict, rows["row_id"] == verdict[f"__{name}"])
    judged, touched, labelled = (f"__{name}" for name in VERDICTS)
    reason = ibis.cases(
        (rows[labelled].notnull(), ibis.null("string")),
        (rows[touched].isnull(), "no_feedback"),
        (rows["ts"].isnull(), "no_clock" if waits else "not_deciding"),
        else_="not_mature" if waits else "not_deciding",
    )
    rows = rows.mutate(n_events=rows["n_events"].fill_null(0), __unlabelled=reason)
    rows = rows.drop(judged, touched, labelled)
    enriched = enrich.labelled(rows, positive_class=positive_class, classes=classes)
    scope.make("enriching", enriched, kind=kind, n_pieces=pieces)


def beside_contexts(scope: Scope, *, names: Sequence[str], pieces: int) -> None:
    """Make ``narrow.contexts``: the private columns of the contexts called `names`, by row."""
    rows = scope.of_piece(scope.tables["narrow.inferences"], pieces)
    rows = rows.select("request_id", "row_id")
    for name in names:
        context = scope.of_piece(scope.tables[joined(name)], pieces)
        context = context.select(*private_columns(name), __of="row_id")
        rows = rows.inner_join(context, rows["row_id"] == context["__of"]).drop("__of")
    scope.make("narrow.contexts", rows, n_pieces=pieces)


def judging(scope: Scope) -> None:
    """Make ``judging_rows``: what judges, by the ``row_id`` of its inference as ``__row``."""
    enriched = scope.tables["narrow.enriched_inferences"]
    found = scope.tables["narrow.attribution"]
    rows = enriched.select(__row="row_id", __id="request_id")
    found = found.left_join(rows, found["request_id"] == rows["__id"]).drop("__id")
    # A preference is of no inference, and goes with the first ones.
    found = scope.make("placed_events", found.mutate(__row=found["__row"].fill_null(0)))
    scope.make("judging_rows", _judging(scope, found), "FROM ({}) ORDER BY __row")


def judgements(
    scope: Scope,
    *,
    empty: Sequence[str] = (),
    empty_events: Sequence[str] = (),
    pieces: int = 1,
) -> None:
    """Make ``narrow.enriched_feedback``.

    Parameters
    ----------
    empty, empty_events
        The columns of ``narrow.enriched_inferences`` and of ``narrow.feedback`` that hold nothing.
    pieces
        Into how many ``judging_rows`` is cut, where `judging` made it.
    """
    enriched = scope.tables["narrow.enriched_inferences"]
    if "judging_rows" in scope.tables:
        view = scope.of_piece(scope.tables["judging_rows"], pieces, "__row").drop("__row")
    else:
        view = _judging(scope, scope.tables["narrow.attribution"])
    view = enrich.with_inference(view, scope.of_piece(enriched, pieces))
    none = {enrich.event_column(name, enriched) for name in empty_events} | {*empty}
    scope.make("narrow.enriched_feedback", view, empty=sorted(none - {"reward"}), n_pieces=pieces)


def _judging(scope: Scope, found: ir.Table) -> ir.Table:
    """The events that are attributed as in `found`, with what each is worth."""
    tables = scope.tables
    rewards = tables["rewarded"].filter(lambda t: t["main"])
    rewards = rewards.select(__event="feedback_id", __reward="reward")
    events = tables["narrow.feedback"]
    events = events.left_join(rewards, events["feedback_id"] == rewards["__event"])
    events = events.mutate(reward=events["__reward"]).drop("__event", "__reward", "ingest_id")
    return enrich.attributed(events, found, tables["narrow.enriched_inferences"])


def traces(scope: Scope) -> None:
    """Make ``narrow.enriched_steps``, without the wide columns."""
    tables = scope.tables
    judged = tables["rewarded"]
    usable = judged.filter(~judged["retracted"], judged["reward"].notnull())
    wide = tables["narrow.feedback"].select("feedback_id", "scope")
    methods = tables["narrow.attribution"].select("feedback_id", "method")
    wide = wide.inner_join(methods, "feedback_id")
    wide = wide.filter((wide["scope"] == "trace").fill_null(False) | (wide["method"] == "trace"))
    found = steps.steps(
        tables["narrow.inferences"],
        usable,
        usable.filter(usable["main"]).semi_join(wide, "feedback_id"),
        tables["narrow.labels"],
    )
    scope.make("narrow.enriched_steps", found)
