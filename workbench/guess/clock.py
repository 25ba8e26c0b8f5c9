"""When something happened: which column is a clock, and which only looks like one."""

from __future__ import annotations

from workbench.guess.draft import Draft
from workbench.guess.files import literal
from workbench.guess.names import OTHER_TIMES, Evidence, evidence, phrase, words
from workbench.guess.profile import Column, Sample

_FIRST, _AFTER = 631_152_000, 4_102_444_800  # 1990-01-01 and 2100-01-01 in epoch seconds
_LAYOUTS = {
    "day_first": ("%d.%m.%Y %H:%M:%S", "%d.%m.%Y %H:%M", "%d.%m.%Y"),
    "slashed": (
        "%d/%m/%Y %H:%M:%S", "%m/%d/%Y %H:%M:%S", "%d/%m/%Y %H:%M", "%m/%d/%Y %H:%M",
        "%d/%m/%Y", "%m/%d/%Y",
    ),
}  # fmt: skip


def epoch_unit(column: Column) -> str | None:
    """Return the unit in which all numbers are plausible epoch times; None for other numbers."""
    if not column.numeric:
        return None
    low, high = column.stats["low"], column.stats["high"]
    for unit, scale in (("s", 1), ("ms", 1e3), ("us", 1e6), ("ns", 1e9)):
        if _FIRST * scale <= low and high < _AFTER * scale:
            return unit
    return None


def layouts(column: Column, sample: Sample) -> list[str]:
    """Return SQL expressions that read every value of a column with day-first or slashed dates."""
    result = []
    for shape, formats in _LAYOUTS.items():
        if column.nested or column.share(shape) < 1:
            continue
        for layout in formats:
            expression = f"strptime({column.sql}, {literal(layout)})"
            (failed,) = sample.ask(
                f"SELECT count(*) FILTER (TRY_STRPTIME(trim({column.sql}), {literal(layout)}) "
                f"IS NULL AND trim({column.sql}) <> '') FROM {sample.view}"
            )
            if failed == 0:
                result.append(expression)
    return result


def _is_other_time(column: Column) -> bool:
    return bool(OTHER_TIMES & set(words(column.path[-1])))


def set_clock(draft: Draft, *, what: str) -> None:
    """Map ``ts``, or declare that there is no clock, or ask.

    Parameters
    ----------
    what
        The thing that happened, in words.
    """
    sample = draft.sample
    free = draft.free
    readable: dict[tuple[str, ...], list[str]] = {}
    for column in free:
        enough = column.stats["filled"] >= 0.9 * column.stats["n"]
        if (column.temporal and enough) or (epoch_unit(column) and enough):
            readable[column.path] = [column.mapping]
        elif not column.numeric:
            read = layouts(column, sample)
            if read:
                readable[column.path] = read
    called = [c for c in free if evidence("ts", c.path) >= Evidence.SYNONYM]
    clocks = [c for c in called if c.path in readable]
    exact = [c for c in clocks if evidence("ts", c.path) is Evidence.EXACT]
    plain = exact or clocks
    clock_times = [c for c in called if c.path not in readable and not c.numeric]
    if len(plain) == 1 and clock_times and plain[0].share("midnights") == 1:
        day, time = plain[0].sql, clock_times[0].sql
        both = f"CAST({day} AS DATE) + CAST({time} AS TIME)"
        draft.ask("ts", [both, *plain], f"which is the time of the {what}?", about=clock_times)
        return
    if len(plain) == 1:
        missing = int(plain[0].stats["n"] - plain[0].stats["filled"])
        if missing:
            draft.note(f"{plain[0].name} is missing in {missing} rows, which will be refused.")
        _map_clock(draft, plain[0], readable[plain[0].path], free, what)
        return
    if len(plain) > 1:
        options = [e for c in plain for e in readable[c.path]]
        draft.ask("ts", options, f"which column is the time of the {what}?")
        return
    timeless = [c for c in called if c.numeric]
    for column in timeless:
        draft.note(
            f"{column.name} holds numbers from {column.stats['low']:g} to "
            f"{column.stats['high']:g}, which are no dates: it is not a clock."
        )
    broken = [c for c in called if c not in timeless]
    unnamed = [
        c for c in free if c.path in readable and (c.temporal or not c.numeric) and c not in called
    ]
    if broken or unnamed:
        options = [e for c in unnamed for e in readable[c.path]] + [
            c.mapping for c in broken if c.path not in readable
        ]
        draft.ask(
            "ts", options, f"which column is the time of the {what}, if any? "
            "Without one, write clock = \"none\"."
        )  # fmt: skip
        return
    draft.settings["clock"] = "none"
    for column in free:
        if "year" in words(column.path[-1]) and column.integral and column not in timeless:
            draft.note(f"{column.name} is taken as a feature, not as a clock: it holds years only.")
    draft.note('no column is a time, so clock = "none".')


def _map_clock(
    draft: Draft, column: Column, readable: list[str], free: list[Column], what: str
) -> None:
    if len(readable) > 1:
        draft.ask("ts", readable, f"{column.name}: does the day or the month come first?")
        return
    unit = epoch_unit(column)
    why = f"epoch {unit}" if unit else ""
    draft.map("ts", column, expression=readable[0], why=why)
    others = [c.name for c in free if c is not column and (c.temporal or _is_epoch_time(c))]
    if others:
        draft.note(f"{column.name} is taken as the time of the {what}; not {', '.join(others)}.")
    if column.temporal and column.share("midnights") == 1 and column.stats["distinct"] > 1:
        draft.note(f"{column.name} holds days without a time of day.")


def _is_epoch_time(column: Column) -> bool:
    return epoch_unit(column) is not None and _is_other_time(column)


def set_received_at(draft: Draft) -> None:
    """Map ``received_at`` where a column is called so and is a time."""
    found = [
        column
        for column in draft.named("received_at")
        if column.temporal or epoch_unit(column) is not None
    ]
    if len(found) == 1:
        draft.map("received_at", found[0])
    elif found:
        draft.ask("received_at", found, "which column says when the event became known?")


def looks_like_index(column: Column) -> bool:
    """Whether a column only counts the rows of its file."""
    unnamed = phrase(column.path[-1]) in ("column0", "unnamed_0", "index", "", "column_0")
    return unnamed and column.integral and column.stats["distinct"] == column.stats["n"]
