"""How far the clocks of the senders of feedback are off."""

from __future__ import annotations

import ibis
import ibis.expr.types as ir

from workbench.attribution._ids import by_id
from workbench.formulas import seconds_between

#: Event columns that say which clock an event was dated by, and when it arrived.
CLOCK_COLUMNS = ("source_system", "channel", "device_type", "received_at")
_PARTS = CLOCK_COLUMNS[:3]
_LEAST_EVENTS = 20
_LOW, _HIGH = 0.95, 0.05


def clocks(events: ir.Table, inferences: ir.Table, aliases: ir.Table | None = None) -> ir.Table:
    """Skew of the clock of each source of events.

    Parameters
    ----------
    events
        Accepted events with ``request_id``, ``kind``, ``ts`` and `CLOCK_COLUMNS`.
    inferences
        Inferences with ``request_id``, ``trace_id`` and ``ts``.
    aliases
        As for `workbench.attribution.attribute`.

    Returns
    -------
    ir.Table
        One row per source, which is ``source_system``, ``channel`` and ``device_type`` together:
        ``source``, ``n`` (events that an id attributes and that have both times), ``low`` and
        ``high`` (bounds of the skew in seconds), ``skew`` (seconds by which the clock is ahead;
        negative: behind) and ``reason`` where that is NULL: ``too_few`` or ``inconsistent``.

    Notes
    -----
    An event that a clock with skew s dates ``ts`` happened at t = ts - s. It happened after its
    inference and before it was received, so inference.ts <= ts - s <= received_at, which is
    ts - received_at <= s <= ts - inference.ts. The skew of a source lies in the intersection of
    the intervals of its events (Marzullo and Owicki 1983, "Maintaining the time in a distributed
    system"); its bounds are the greatest lower and the least upper one, here as the 0.95 and the
    0.05 quantile, so that single odd events do not decide. The estimate is the value in the
    interval that is nearest to 0: a clock is right unless its events say otherwise.

    ``received_at`` equals ``ts`` where the source does not give it, so such events bound the skew
    from above only; ``low`` is NULL for fewer than 20 others.
    """
    columns = ("request_id", "kind", "ts", *CLOCK_COLUMNS)
    named = by_id(events.select(*columns), inferences, aliases)
    named = named.filter(
        named["request_id__n"] == 1, (named["kind"] != "preference").fill_null(True)
    )
    facts = inferences.select(__id="request_id", __inference_ts="ts")
    joined = named.inner_join(facts, named["request_id__inference"] == facts["__id"])
    return estimated(joined.mutate(delay=seconds_between(joined["ts"], joined["__inference_ts"])))


def estimated(attributed: ir.Table) -> ir.Table:
    """As `clocks`, of events that an id attributes, with ``delay``, ``ts`` and `CLOCK_COLUMNS`."""
    joined = attributed.filter(attributed["delay"].notnull())
    given = joined["received_at"].notnull() & (joined["received_at"] != joined["ts"])
    joined = joined.select(
        source=_source(joined),
        __low=ibis.ifelse(
            given, seconds_between(joined["ts"], joined["received_at"]), ibis.null("float64")
        ),
        __high="delay",
    )
    bounds = joined.group_by("source").agg(
        n=joined.count(),
        __n_low=joined["__low"].count(),
        __low=joined["__low"].quantile(_LOW).cast("float64"),
        high=joined["__high"].quantile(_HIGH).cast("float64"),
    )
    enough = bounds["n"] >= _LEAST_EVENTS
    null = ibis.null("float64")
    bounds = bounds.mutate(
        low=ibis.ifelse(enough & (bounds["__n_low"] >= _LEAST_EVENTS), bounds["__low"], null),
        high=ibis.ifelse(enough, bounds["high"], null),
    )
    crossed = (bounds["low"] > bounds["high"]).fill_null(False)
    nearest = ibis.cases(
        (bounds["low"] > 0.0, bounds["low"]), (bounds["high"] < 0.0, bounds["high"]), else_=0.0
    )
    return bounds.select(
        "source",
        "n",
        "low",
        "high",
        skew=ibis.ifelse(enough & ~crossed, nearest, null),
        reason=ibis.cases(
            (~enough, "too_few"), (crossed, "inconsistent"), else_=ibis.null("string")
        ),
    )


def corrected(events: ir.Table, skews: ir.Table) -> ir.Table:
    """The events with ``ts`` less the skew of their source's clock, where that is known.

    Parameters
    ----------
    events
        Events with ``ts`` and `CLOCK_COLUMNS`.
    skews
        The result of `clocks`.
    """
    events = events.mutate(__source=_source(events))
    skews = skews.select(__clock="source", __skew="skew")
    joined = events.left_join(skews, events["__source"] == skews["__clock"])
    micros = (joined["__skew"].fill_null(0.0) * 1e6).round().cast("int64")
    shifted = (joined["ts"] - micros.as_interval("us")).cast(joined["ts"].type())
    return joined.mutate(ts=shifted).drop("__source", "__clock", "__skew")


def _source(events: ir.Table) -> ir.StringValue:
    """Name of an event's source: those of its parts that it has."""
    named = [(f"{part}=" + events[part] + " ").fill_null("") for part in _PARTS]
    return (named[0] + named[1] + named[2]).strip()
