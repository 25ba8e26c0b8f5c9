"""Claims in the output, checked against a knowledge graph along a stated path.

Facts are triples of ``subject``, ``predicate`` and ``object``. ``pattern`` finds the claims: a
regular expression with two groups, the subject and what is claimed of it; each match is a claim.
``path`` says where the truth is: ``"plan/refund_days"`` follows from the subject the triples of
``plan``, and from what they lead to those of ``refund_days``. A triple counts from the later of
``ts`` and ``known_at`` on, up to, not at, ``valid_to``; each step of a path by its own times.

A claim is *supported* where it is among what is known, *contradicted* where something is known and
the claim is not among it, and *unknown* where nothing is. So what is known of a subject is taken as
complete. Texts are compared without blanks around them, in lower case, whole numbers without
``.0``, and true and false as 1 and 0. A match without subject or claim is none.

The struct has ``claims``, in the order of the output: structs of ``position`` (from 1),
``subject``, ``claimed``, ``known`` (a list) and ``verdict``; and ``n_claims``, ``n_supported``,
``n_contradicted`` and ``n_unknown``. An output without a claim has 0 of them, and the reason
``no_claim``. The age is that of the newest path that was known. Facts that change are not taken
back by later ones: end them with ``valid_to``.
"""

from __future__ import annotations

import re
from functools import reduce

import ibis
import ibis.expr.types as ir

from workbench import engine
from workbench.contexts import (
    KNOWN_AT,
    ContextJoin,
    JoinSpec,
    Option,
    Reach,
    age_column,
    fact_column,
    known_column,
    reason_column,
)
from workbench.formulas import canonical, seconds_between
from workbench.project import Context


def _claims(inferences: ir.Table, facts: ir.Table, spec: JoinSpec) -> ir.Table:
    """Find the claims, then what is known of their subjects, then compare."""
    time = inferences["ts"].type()
    claims = _found(inferences, spec.options["pattern"])
    paths = _paths(claims.select(__start="__subject").distinct(), facts, spec, time)
    judged = _judged(claims, paths, timed=bool(spec.times))
    verdicts = {
        name: judged.count(where=judged["__verdict"] == name)
        for name in ("supported", "contradicted", "unknown")
    }
    fields = ("position", "subject", "claimed", "known", "verdict")
    found = judged.group_by(__of=judged["__row"]).agg(
        __claims=ibis.struct({name: judged[f"__{name}"] for name in fields}).collect(),
        __n=judged.count(),
        **{f"__n_{name}": count for name, count in verdicts.items()},
        __since=judged["__from"].max(),
        __any=judged["__any"].max(),
        __ended=judged["__ended"].max(),
    )
    joined = inferences.left_join(found, inferences["row_id"] == found["__of"])
    listed = joined["__claims"].sort()
    clock = joined["ts"].notnull() if spec.times else ibis.literal(True)
    asked = joined["output"].notnull() & (clock | joined["__n"].isnull())

    # Each field may be NULL: some engines fail where one that may not is in a struct that is.
    def where_asked(value: ir.Value) -> ir.Value:
        return ibis.ifelse(asked, value, ibis.null(value.type()))

    struct = ibis.struct(
        {
            "claims": where_asked(ibis.coalesce(listed, ibis.literal([], type=listed.type()))),
            "n_claims": where_asked(joined["__n"].fill_null(0)),
            **{f"n_{name}": where_asked(joined[f"__n_{name}"].fill_null(0)) for name in verdicts},
        }
    )
    reason = ibis.cases(
        (joined["output"].isnull(), "no_output"),
        (joined["__n"].isnull(), "no_claim"),
        (~clock, "no_clock"),
        (joined["__n_unknown"] < joined["__n"], ibis.null("string")),
        (joined["__ended"] == 1, "not_valid"),
        (joined["__any"] == 1, "not_yet_known"),
        else_="no_match",
    )
    # Claims without a clock were compared with nothing, which is no verdict.
    since = where_asked(joined["__since"])
    return joined.mutate(
        **{
            spec.name: where_asked(struct),
            age_column(spec.name): seconds_between(joined["ts"], since),
            reason_column(spec.name): reason,
            known_column(spec.name): since,
        }
    ).drop(*found.columns)


def _found(inferences: ir.Table, pattern: str) -> ir.Table:
    """One row per claim: ``__row``, ``__t``, position, both texts and how they are compared."""
    subjects, claimed = (
        engine.all_matches(inferences["output"], pattern, group) for group in (1, 2)
    )
    rows = inferences.select(__row="row_id", __t="ts", __match=subjects.zip(claimed))
    rows = rows.unnest("__match", offset="__place")
    texts = rows.select(
        "__row",
        "__t",
        __position=rows["__place"].cast("int64") + 1,
        __said=rows["__match"].f1.strip(),
        __claimed=rows["__match"].f2.strip(),
    )
    texts = texts.filter(texts["__said"] != "", texts["__claimed"] != "")
    return texts.mutate(__subject=_folded(texts["__said"]), __claim=_folded(texts["__claimed"]))


def _folded(text: ir.StringValue) -> ir.StringValue:
    """A text as it is compared."""
    return canonical(text).lower()


def _triples(facts: ir.Table, spec: JoinSpec, time: object) -> ir.Table:
    """``__s``, ``__p``, ``__o`` (as compared), ``__object`` and from when until when they hold."""
    subject, predicate, object_ = (
        fact_column(facts, spec.options[name]).cast("string")
        for name in ("subject", "predicate", "object")
    )
    starts = [
        facts[spec.times[name]].cast(time) for name in ("ts", "known_at") if name in spec.times
    ]
    start = _last(starts) if starts else ibis.null(time)
    end = facts[spec.times["valid_to"]].cast(time) if "valid_to" in spec.times else ibis.null(time)
    triples = facts.select(
        __s=_folded(subject), __p=_folded(predicate), __o=_folded(object_),
        __object=object_.strip(), __start=start, __end=end,
    )  # fmt: skip
    return triples.filter(triples["__s"].notnull(), triples["__p"].notnull(), triples["__o"] != "")


def _last(times: list[ir.TimestampValue]) -> ir.TimestampValue:
    """The latest of times; one that is missing does not count."""
    return reduce(lambda a, b: ibis.greatest(ibis.coalesce(a, b), ibis.coalesce(b, a)), times)


def _first(times: list[ir.TimestampValue]) -> ir.TimestampValue:
    return reduce(lambda a, b: ibis.least(ibis.coalesce(a, b), ibis.coalesce(b, a)), times)


def _paths(starts: ir.Table, facts: ir.Table, spec: JoinSpec, time: object) -> ir.Table:
    """What the path leads to from each of ``__start``, and from when until when."""
    triples = _triples(facts, spec, time)
    reached = starts.select(
        "__start", __node="__start", __object="__start",
        __from=ibis.null(time), __to=ibis.null(time),
    )  # fmt: skip
    for step in spec.options["path"].split("/"):
        along = triples.filter(triples["__p"] == _folded(ibis.literal(step)))
        along = along.select("__s", "__o", __reached=along["__object"], __since=along["__start"],
                             __until=along["__end"])  # fmt: skip
        pairs = reached.inner_join(along, reached["__node"] == along["__s"])
        reached = pairs.select(
            "__start",
            __node=pairs["__o"],
            __object=pairs["__reached"],
            __from=_last([pairs["__from"], pairs["__since"]]),
            __to=_first([pairs["__to"], pairs["__until"]]),
        ).distinct()
        # Two steps that never held at one time are no path.
        holds = reached["__from"].isnull() | reached["__to"].isnull()
        reached = reached.filter(holds | (reached["__from"] < reached["__to"]))
    return reached


def _judged(claims: ir.Table, paths: ir.Table, *, timed: bool) -> ir.Table:
    """Each claim with what was known of its subject, and the verdict."""
    pairs = claims.inner_join(paths, claims["__subject"] == paths["__start"])
    begun, ended = ibis.literal(True), ibis.literal(False)
    if timed:
        there = pairs["__t"].notnull()
        begun = there & (pairs["__from"].isnull() | (pairs["__from"] <= pairs["__t"]))
        ended = there & pairs["__to"].notnull() & (pairs["__to"] <= pairs["__t"])
    pairs = pairs.mutate(
        __holds=(begun & ~ended).fill_null(False), __over=(begun & ended).fill_null(False)
    )
    true = pairs.filter(pairs["__holds"])
    objects = true.group_by("__row", "__position", "__node").agg(
        __object=true["__object"].min(),
        __from=true["__from"].max(),
        __equal=(true["__node"] == true["__claim"]).cast("int64").max(),
    )
    known = objects.group_by(__k_row="__row", __k_position="__position").agg(
        __known=objects["__object"].collect(),
        __from=objects["__from"].max(),
        __supported=objects["__equal"].max(),
    )
    tried = pairs.group_by(__a_row="__row", __a_position="__position").agg(
        __any=pairs.count(), __ended=pairs["__over"].cast("int64").max()
    )
    judged = claims.left_join(
        known,
        [claims["__row"] == known["__k_row"], claims["__position"] == known["__k_position"]],
    )
    judged = judged.left_join(
        tried,
        [judged["__row"] == tried["__a_row"], judged["__position"] == tried["__a_position"]],
    )
    listed = judged["__known"].sort()
    return judged.select(
        "__row",
        "__position",
        "__claimed",
        "__from",
        __subject=judged["__said"],
        __known=ibis.coalesce(listed, ibis.literal([], type=listed.type())),
        __verdict=ibis.cases(
            (judged["__supported"] == 1, "supported"),
            (judged["__supported"] == 0, "contradicted"),
            (judged["__supported"].isnull(), "unknown"),
        ),
        __any=judged["__any"].notnull().cast("int64"),
        __ended=judged["__ended"].fill_null(0),
    )


def _figures(facts: ir.Table, spec: JoinSpec) -> ir.Table:
    """How many triples there are, and how many of them lie on the path."""
    triples = _triples(facts, spec, "timestamp('UTC', 6)")
    on = [triples["__p"] == _folded(ibis.literal(s)) for s in spec.options["path"].split("/")]
    return triples.agg(
        triples=triples.count(),
        triples_on_path=triples.count(where=ibis.or_(*on)),
    )


def _problems(context: Context) -> list[str]:
    problems = []
    pattern, path = context.options.get("pattern"), context.options.get("path")
    if isinstance(pattern, str):
        try:
            groups = re.compile(pattern).groups
        except re.error:
            groups = 2
        if groups != 2:
            problems.append(
                f"pattern has {groups} groups and needs two, the subject and the claim; "
                "(?:...) is a group that does not count."
            )
        wrong = engine.pattern_problem(pattern)
        if wrong is not None:
            problems.append(f"pattern is not a regular expression that DuckDB knows: {wrong}")
    if isinstance(path, str) and not all(step.strip() for step in path.split("/")):
        problems.append(f'path = {path!r} has an empty step. Write it as "plan/refund_days".')
    problems += [
        f"{name} must be one column."
        for name in ("subject", "predicate", "object")
        if isinstance(context.options.get(name), tuple)
    ]
    return problems


context_join = ContextJoin(
    join=_claims,
    options=(
        Option(
            name="pattern",
            kind="text",
            required=True,
            meaning="regular expression (RE2) with two groups, the subject and what is claimed",
        ),
        Option(
            name="path",
            kind="text",
            required=True,
            meaning="predicates from the subject to what is claimed, separated by `/`",
        ),
        Option(name="subject", kind="column", default="subject", meaning="column of the subjects"),
        Option(
            name="predicate",
            kind="column",
            default="predicate",
            meaning="column of the predicates",
        ),
        Option(name="object", kind="column", default="object", meaning="column of the objects"),
        Option(
            name="ts",
            kind="time",
            meaning="column of the time from which a triple holds; from ever if empty",
        ),
        Option(
            name="valid_to",
            kind="time",
            after="ts",
            meaning="column of the time from which a triple holds no more",
        ),
        KNOWN_AT,
    ),
    keys="none",
    columns="none",
    reads=lambda _: ("output",),
    problems=_problems,
    figures=_figures,
    reach=lambda _facts, _spec: Reach(),
)
