"""How feedback finds its inference: the key of one file among the values of the other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from workbench.guess.names import Evidence, claimed_by_another, evidence, words
from workbench.guess.profile import Column, Sample

#: A key may repeat this often (a log that was written twice) and still be one.
NEARLY_UNIQUE = 0.95
_KEY_WORDS = {"id", "key", "ref", "uuid", "guid", "target", "reference", "request", "call"}


@dataclass(frozen=True)
class Link:
    """Values of a feedback column that are found in an inference column.

    Attributes
    ----------
    overlap
        Share of the distinct feedback values that the inference column holds.
    uniqueness
        Distinct values of the inference column per row.
    certain
        Whether the overlap cannot well be chance.
    rank
        What the two names say, as a number.
    """

    target: Column
    key: Column
    overlap: float
    uniqueness: float
    certain: bool
    rank: int


@dataclass(frozen=True)
class Join:
    """How the two files are joined, or what has to be asked.

    Attributes
    ----------
    wider
        A certain link to a column that names more than one inference: a trace or a session.
    """

    key: Column | None = None
    target: Column | None = None
    keys: tuple[Column, ...] = ()
    targets: tuple[Column, ...] = ()
    wider: Link | None = None
    overlap: float = 0.0


def candidates(sample: Sample) -> list[Column]:
    """Columns whose values are many enough to be keys."""
    return [
        column
        for column in sample.columns
        if column.key_like
        and (column.stats["distinct"] > 12 or column.stats["distinct"] > 0.5 * sample.rows)
    ]


def uniqueness(sample: Sample, column: Column) -> float:
    """Distinct values per row, over more rows than the sample."""
    n, distinct = sample.ask(f"SELECT count(*), count(DISTINCT k) FROM {sample.keys(column)}")
    return distinct / n if n else 0.0


def find_links(inferences: Sample, feedback: Sample, *, least: float = 0.5) -> list[Link]:
    """All pairs of columns where the inference column holds most of the feedback's values."""
    connection = inferences.connection
    wanted = candidates(feedback)
    result = []
    for number, target in enumerate(wanted):
        connection.execute(
            f"CREATE OR REPLACE TEMP TABLE wanted_{number} AS "
            f"SELECT DISTINCT k FROM {feedback.keys(target)} WHERE k IS NOT NULL LIMIT 50000"
        )
    for key in candidates(inferences):
        connection.execute(
            f"CREATE OR REPLACE TEMP TABLE held AS SELECT k FROM {inferences.keys(key)}"
        )
        n, distinct = inferences.ask("SELECT count(*), count(DISTINCT k) FROM held")
        for number, target in enumerate(wanted):
            share = inferences.ask(
                "SELECT count(*) FILTER (k IN (SELECT k FROM held WHERE k IS NOT NULL)) "
                f"/ greatest(count(*), 1) FROM wanted_{number}"
            )[0]
            if share < least:
                continue
            rank = (
                evidence("request_id", target.path)
                + evidence("request_id", key.path)
                + (1 if target.spoken == key.spoken else 0)
            )
            certain = _certain(target, key, inferences)
            result.append(Link(target, key, share, distinct / n if n else 0, certain, rank))
    return result


def _certain(target: Column, key: Column, inferences: Sample) -> bool:
    """Whether values in common mean a link: small whole numbers agree by chance."""
    if not (target.integral and key.integral):
        return key.stats["max_length"] >= 3
    span = key.stats["high"] - key.stats["low"] + 1
    if span > 20 * key.stats["distinct"] and key.stats["high"] >= 1e5:
        return True
    if not _KEY_WORDS & {*words(target.name), *words(key.name)}:
        return False
    if evidence("request_id", target.path) >= Evidence.SYNONYM:
        return True
    if target.spoken != key.spoken:
        return False
    counted = (
        target.stats["low"] <= 1
        and target.stats["high"] - target.stats["low"] + 1 == target.stats["distinct"]
    )
    same_rows = (
        target.stats["distinct"] == key.stats["distinct"]
        and target.stats["low"] == key.stats["low"]
        and target.stats["high"] == key.stats["high"]
        and inferences.rows > 0
    )
    return not counted or same_rows


def join(inferences: Sample, feedback: Sample) -> Join:
    """Find the key of the inferences and the feedback column that refers to it."""
    links = find_links(inferences, feedback)
    by_name = named_keys(inferences)
    direct = [
        link
        for link in links
        if link.uniqueness >= NEARLY_UNIQUE and not claimed_by_another("request_id", link.key.path)
    ]
    wider = _wider(links, direct)
    direct.sort(key=lambda link: (link.certain, round(link.overlap, 1), link.rank), reverse=True)
    if direct and direct[0].certain and wider is None:
        best = direct[0]
        rivals = [
            link
            for link in direct[1:]
            if link.certain and link.overlap >= best.overlap - 0.1 and link.rank >= best.rank - 1
        ]
        better_named = [
            key
            for key in by_name
            if key.path != best.key.path
            and evidence("request_id", key.path) >= Evidence.SYNONYM
            and evidence("request_id", best.key.path) < Evidence.SYNONYM
        ]
        if not rivals and not better_named:
            return Join(best.key, best.target, overlap=best.overlap)
        keys = _distinct([best.key, *(link.key for link in rivals), *better_named])
        targets = _distinct([best.target, *(link.target for link in rivals)])
        return Join(
            keys[0] if len(keys) == 1 else None,
            targets[0] if len(targets) == 1 and len(keys) == 1 else None,
            keys if len(keys) > 1 else (),
            targets if len(targets) > 1 or len(keys) > 1 else (),
        )
    key, keys = own_key(inferences)
    if direct and wider is None:
        if key is None or any(link.key.path != key.path for link in direct):
            keys = _distinct([*(link.key for link in direct), *([key] if key else keys)])
            key = None
        targets = _distinct([link.target for link in direct])
        return Join(key, None, keys if key is None else (), targets)
    named = [c for c in feedback.columns if evidence("request_id", c.path) >= Evidence.GENERIC]
    targets = _distinct([c for c in named if c.key_like]) or tuple(candidates(feedback)[:4])
    return Join(key, None, () if key else keys, targets, wider)


def _wider(links: Sequence[Link], direct: Sequence[Link]) -> Link | None:
    """Return a link to a trace or a session, where no link to single inferences is as good."""
    found = [
        link
        for link in links
        if link.certain
        and any(evidence(f, link.key.path) >= Evidence.SYNONYM for f in ("trace_id", "session_id"))
        and not any(evidence(f, link.target.path) > Evidence.GENERIC for f in ("user_id",))
    ]
    if not found:
        return None
    best = max(found, key=lambda link: (link.overlap, link.rank))
    if any(link.certain and link.overlap >= best.overlap - 0.1 for link in direct):
        return None
    named = any(evidence("request_id", link.target.path) > Evidence.NONE for link in found)
    alike = best.target.spoken == best.key.spoken
    return best if named or alike else None


def named_keys(sample: Sample) -> list[Column]:
    """Columns that do not repeat and are called like a key, the best names first."""
    found = [
        (evidence("request_id", column.path), column)
        for column in sample.columns
        if column.key_like and evidence("request_id", column.path) > Evidence.NONE
    ]
    found = [(e, c) for e, c in found if uniqueness(sample, c) >= NEARLY_UNIQUE]
    return [column for _, column in sorted(found, key=lambda pair: -pair[0])]


def own_key(sample: Sample) -> tuple[Column | None, tuple[Column, ...]]:
    """Return the key of a file by itself: the column, or the ones to ask about."""
    named = named_keys(sample)
    unnamed = [
        column
        for column in candidates(sample)
        if column not in named
        and not (column.integral and not _KEY_WORDS & set(words(column.name)))
        and not claimed_by_another("request_id", column.path)
        and uniqueness(sample, column) >= NEARLY_UNIQUE
    ]
    if named:
        level = evidence("request_id", named[0].path)
        equals = [c for c in named if evidence("request_id", c.path) == level]
        if level is Evidence.EXACT or (
            len(equals) == 1 and (level is Evidence.SYNONYM or not unnamed)
        ):
            return named[0], ()
    return None, _distinct([*named, *unnamed])


def _distinct(columns: Sequence[Column]) -> tuple[Column, ...]:
    return tuple({column.path: column for column in columns}.values())
