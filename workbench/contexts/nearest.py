"""The ``k`` most similar documents of a verified store, by embedding, as they were known then.

Each document has a vector, the column ``embedding``; the inference's is its ``embedding``. The
search is exact: every document that was known at the time of the inference, and has a vector of the
same length, is compared. Vectors are taken as 32-bit floats and compared in 64 bits. The documents
are held in memory, all at once; the inferences are not.

==========  ============================================  ================
similarity  score                                         range
==========  ============================================  ================
cosine      ``x.y / (|x| |y|)``                           -1 to 1
dot         ``x.y``                                       any
euclidean   ``-|x - y|``                                  0 and below
==========  ============================================  ================

The struct has ``documents``, the best first (of equal scores the earlier fact): structs of
``rank``, ``score`` and the columns; and ``score``, that of the best. With ``text`` it also has
``agreement``, how much of the output is in the words of these documents: with W(t) the set of the
words of t, which are the longest runs of letters and digits, in lower case,

    agreement = |W(output) & W(texts of the documents)| / |W(output)|

and ``distance`` = 1 - agreement. This compares words, not meaning: a "not" changes little, and a
language that is written without blanks has no words here. NULL where the output has no words.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import ibis
import ibis.expr.types as ir
import pyarrow as pa

from workbench.contexts import (
    KNOWN_AT,
    ContextJoin,
    Inputs,
    JoinSpec,
    Option,
    Reach,
    age_column,
    fact_column,
    has_key,
    keyed,
    known_column,
    reason_column,
)
from workbench.formulas import seconds_between
from workbench.project import Context

SIMILARITIES = ("cosine", "dot", "euclidean")
#: Greatest number of documents of one inference.
MOST = 100
#: Vectors that are read at once.
_BATCH = 10_000
_VECTOR = "array<float32>"
#: Known from ever.
_EVER = -(2**63)
_OWN = ("rank", "score")


def _nearest(inferences: ir.Table, facts: ir.Table, spec: JoinSpec) -> ir.Table:
    """Put together what `_compute` found."""
    assert spec.computed is not None
    found = _documents(spec.computed, inferences, facts, spec)
    missing = spec.computed.filter(spec.computed["__rank"].isnull())
    joined = inferences.left_join(found, inferences["row_id"] == found["__of"]).drop("__of")
    why = missing.select(__of="__row", __why="__reason")
    joined = joined.left_join(why, joined["row_id"] == why["__of"]).drop("__of")
    taken = joined["__best"].notnull()
    fields = {"documents": joined["__documents"].sort(), "score": joined["__best"]}
    if spec.options.get("text") is not None:
        agreement = _agreement(joined["output"], joined["__words"])
        fields |= {"agreement": agreement, "distance": 1.0 - agreement}
    # Some engines hold a list that is never NULL to that, even in a struct that is.
    fields["documents"] = ibis.ifelse(
        taken, fields["documents"], ibis.null(fields["documents"].type())
    )
    struct = ibis.struct(fields)
    reason = ibis.cases(
        (taken, ibis.null("string")), (~has_key(joined, spec), "no_key"), else_=joined["__why"]
    )
    return joined.mutate(
        **{
            spec.name: ibis.ifelse(taken, struct, ibis.null(struct.type())),
            age_column(spec.name): seconds_between(joined["ts"], joined["__since"]),
            reason_column(spec.name): reason,
            known_column(spec.name): joined["__known"],
        }
    ).drop("__best", "__documents", "__words", "__since", "__known", "__why")


def _documents(
    computed: ir.Table, inferences: ir.Table, facts: ir.Table, spec: JoinSpec
) -> ir.Table:
    """For each inference that found documents their list, in no order, and what it is known by."""
    time = inferences["ts"].type()
    happened = spec.times.get("ts", spec.times.get("known_at"))
    text = spec.options.get("text")
    taken = facts.select(
        *spec.facts,
        __order=facts[spec.order].cast("int64"),
        __since=ibis.null(time) if happened is None else facts[happened].cast(time),
        __known=_known(facts, spec, time),
        __words=ibis.null("array<string>")
        if text is None
        else _words(fact_column(facts, text).cast("string")),
    )
    pairs = computed.filter(computed["__rank"].notnull())
    pairs = pairs.select(__of="__row", __rank="__rank", __score="__score", __found="__order")
    pairs = pairs.inner_join(taken, pairs["__found"] == taken["__order"])
    document = ibis.struct(
        {
            "rank": pairs["__rank"],
            "score": pairs["__score"],
            **{name: pairs[name] for name in spec.facts},
        }
    )
    return pairs.group_by("__of").agg(
        __documents=document.collect(),
        __best=pairs["__score"].max(),
        __since=pairs["__since"].max(),
        __known=pairs["__known"].max(),
        # Split here, once per document: an expression over the joined row is worked out again for
        # every word of the output.
        __words=pairs["__words"].collect().flatten(),
    )


def _known(facts: ir.Table, spec: JoinSpec, time: Any) -> ir.TimestampValue:
    """From when on a document may be used; NULL where it does not say, which is from ever."""
    times = [
        facts[spec.times[name]].cast(time) for name in ("ts", "known_at") if name in spec.times
    ]
    if not times:
        return ibis.null(time)
    first, last = times[0], times[-1]
    return ibis.greatest(ibis.coalesce(first, last), ibis.coalesce(last, first))


def _words(text: ir.StringValue) -> ir.ArrayValue:
    words = text.lower().re_split(r"[^\p{L}\p{N}]+").unique()
    return words.filter(lambda word: word != "")


def _agreement(output: ir.StringValue, known: ir.ArrayValue) -> ir.FloatingValue:
    said = _words(output)
    shared = said.filter(lambda word: known.contains(word).fill_null(False))
    n = said.length().cast("float64")
    return shared.length().cast("float64") / n.nullif(0.0)


def _vector(value: ir.Value) -> ir.Value:
    dtype = value.type()
    if dtype.is_array() and dtype.value_type.is_numeric():
        return value.try_cast(_VECTOR)
    # A column without a single value has any type; a text is read as a list.
    return value.try_cast(_VECTOR) if dtype.is_string() else ibis.null(_VECTOR)


def _compute(inputs: Inputs) -> pa.Table:
    """One row per inference and document; one with the reason where nothing is found."""
    from workbench.contexts import _store

    spec = inputs.spec
    keys = [key for _, key in spec.keys]
    store = _store.store(
        inputs.stream(_stored(inputs.facts, spec), _BATCH), spec.options["similarity"]
    )
    rows = keyed(inputs.inferences, spec, __vector=inputs.inferences["embedding"])
    if keys:
        groups = _groups(inputs.facts, keys)
        same = [rows[key] == groups[f"__k_{key}"] for key in keys]
        rows = rows.left_join(groups, same).order_by("__group", "__row")
    else:
        rows = rows.mutate(__group=ibis.literal(0, "int64"))
    asked = rows.select("__row", "__t", "__group", "__vector")

    def found() -> Iterator[pa.RecordBatch]:
        for batch in inputs.stream(asked, _BATCH):
            yield _store.nearest(
                batch,
                store,
                k=spec.options["k"],
                minimum=spec.options.get("minimum"),
                timed=bool(spec.times),
            )

    return pa.Table.from_batches(found(), schema=_store.RESULT)


def _groups(facts: ir.Table, keys: Sequence[str]) -> ir.Table:
    """The keys that facts have, each with a number."""
    distinct = facts.select(**{f"__k_{key}": facts[key] for key in keys}).distinct()
    number = ibis.row_number().over(ibis.window(order_by=[f"__k_{key}" for key in keys]))
    return distinct.mutate(__group=number.cast("int64"))


def _stored(facts: ir.Table, spec: JoinSpec) -> ir.Table:
    """The documents as `_store.store` reads them."""
    keys = [key for _, key in spec.keys]
    vector = _vector(fact_column(facts, spec.options["embedding"]))
    stored = facts.select(
        *keys,
        __order=facts[spec.order].cast("int64"),
        __known=_known(facts, spec, "timestamp('UTC', 6)"),
        __vector=vector,
    )
    if keys:
        groups = _groups(facts, keys)
        stored = stored.inner_join(groups, [stored[key] == groups[f"__k_{key}"] for key in keys])
    else:
        stored = stored.mutate(__group=ibis.literal(0, "int64"))
    return stored.select("__order", "__known", "__group", "__vector")


def _figures(facts: ir.Table, spec: JoinSpec) -> ir.Table:
    """How many documents there are, how many of them cannot be compared, and lengths."""
    vector = _vector(fact_column(facts, spec.options["embedding"])).cast("array<float64>")
    facts = facts.select(__vector=vector)
    vector = facts["__vector"]
    bad = vector.filter(lambda x: x.isnull() | x.isnan() | x.isinf()).length() > 0
    if spec.options["similarity"] == "cosine":
        bad |= vector.filter(lambda x: x != 0.0).length() == 0
    usable = ((vector.length() > 0) & ~bad).fill_null(False)
    return facts.agg(
        documents=facts.count(),
        unusable_documents=facts.count(where=~usable),
        vector_lengths=ibis.ifelse(usable, vector.length(), ibis.null("int64")).nunique(),
    )


def _problems(context: Context) -> list[str]:
    problems = []
    if (context.options.get("k") or 0) > MOST:
        problems.append(f"k = {context.options['k']} is more than {MOST}. Take fewer.")
    if isinstance(context.options.get("embedding"), tuple):
        problems.append("embedding must be one column.")
    if isinstance(context.options.get("text"), tuple):
        problems.append("text must be one column.")
    own = [name for name in context.columns if name.lower() in _OWN]
    if own:
        problems.append(
            f"columns: documents get {' and '.join(own)} from the join. Rename them in sql."
        )
    return problems


context_join = ContextJoin(
    join=_nearest,
    options=(
        Option(
            name="embedding",
            kind="column",
            required=True,
            meaning="column of the documents' vectors: lists of numbers, or texts such as `[1, 2]`",
        ),
        Option(name="k", kind="count", default=3, meaning=f"how many documents, up to {MOST}"),
        Option(
            name="similarity",
            kind="choice",
            choices=SIMILARITIES,
            default="cosine",
            meaning="how two vectors are compared",
        ),
        Option(name="minimum", kind="number", meaning="least score of a document that is taken"),
        Option(
            name="text",
            kind="column",
            meaning="column of the documents' texts, with which the output is compared",
        ),
        Option(
            name="ts",
            kind="time",
            meaning="column of the time from which a document may be used; from ever if empty",
        ),
        KNOWN_AT,
    ),
    keys="optional",
    reads=lambda spec: ("embedding", "output") if spec.options.get("text") else ("embedding",),
    problems=_problems,
    figures=_figures,
    compute=_compute,
    reach=lambda _facts, _spec: Reach(),
)
