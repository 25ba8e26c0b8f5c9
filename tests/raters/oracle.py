"""Agreement beyond chance written a second time, rating by rater and unit, with exact fractions."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from fractions import Fraction
from itertools import permutations

Ratings = Mapping[str, Mapping[str, str]]


def difference(level: str, a: str, b: str, counts: Mapping[str, Fraction]) -> Fraction:
    """Squared difference of two values (Krippendorff 2011)."""
    if level == "nominal":
        return Fraction(a != b)
    x, y = Fraction(a), Fraction(b)
    if level == "interval":
        return (x - y) ** 2
    if level == "ratio":
        return ((x - y) / (x + y)) ** 2 if x + y else Fraction(0)
    low, high = sorted((x, y))
    between = sum((n for v, n in counts.items() if low <= Fraction(v) <= high), Fraction(0))
    return (between - (counts[a] + counts[b]) / 2) ** 2 if a != b else Fraction(0)


def alpha(units: Ratings, level: str) -> float | None:
    """Krippendorff's alpha by the coincidence matrix; None where there is none."""
    coincidences: Counter[tuple[str, str]] = Counter()
    for said in units.values():
        if len(said) > 1:
            for a, b in permutations(said.values(), 2):
                coincidences[a, b] += Fraction(1, len(said) - 1)
    counts: Counter[str] = Counter()
    for (a, _), n in coincidences.items():
        counts[a] += n
    whole = sum(counts.values())
    expected = sum(
        counts[a] * counts[b] * difference(level, a, b, counts) for a in counts for b in counts
    )
    if not expected:
        return None
    observed = sum(n * difference(level, a, b, counts) for (a, b), n in coincidences.items())
    return float(1 - (whole - 1) * observed / expected)


def cohen(pairs: Sequence[tuple[str, str]]) -> float | None:
    n = len(pairs)
    agreed = Fraction(sum(a == b for a, b in pairs), n)
    first, second = Counter(a for a, _ in pairs), Counter(b for _, b in pairs)
    expected = Fraction(sum(first[v] * second[v] for v in first), n * n)
    return None if expected == 1 else float((agreed - expected) / (1 - expected))


def fleiss(units: Ratings) -> float | None:
    """Of the units with the most frequent number of ratings; of two numbers, the larger."""
    sizes = Counter(len(said) for said in units.values() if len(said) > 1)
    if not sizes:
        return None
    m = max(sizes, key=lambda size: (sizes[size], size))
    taken = [Counter(said.values()) for said in units.values() if len(said) == m]
    agreed = sum(Fraction(k * (k - 1), m * (m - 1)) for said in taken for k in said.values())
    agreed = Fraction(agreed, len(taken))
    shares: Counter[str] = Counter()
    for said in taken:
        shares.update(said)
    expected = sum(Fraction(k, m * len(taken)) ** 2 for k in shares.values())
    return None if expected == 1 else float((agreed - expected) / (1 - expected))
