"""What kind of signal a set of values is, and how it becomes a reward."""

from __future__ import annotations

from collections.abc import Mapping

from workbench.guess.draft import Signal
from workbench.guess.files import literal
from workbench.guess.names import BAD_NEWS, LABELS, RATINGS, THUMBS, is_about, words

_YES = frozenset(
    {"up", "thumbs_up", "thumbsup", "thumb_up", "like", "liked", "positive", "pos", "good", "yes",
     "y", "helpful", "+1", "👍", "ja", "gut", "accept", "accepted", "correct", "ok", "hilfreich",
     "daumen hoch", "upvote", "satisfied", "approve", "approved", "right", "t", "positiv"}
)  # fmt: skip
_NO = frozenset(
    {"down", "thumbs_down", "thumbsdown", "thumb_down", "dislike", "disliked", "negative", "neg",
     "bad", "no", "n", "unhelpful", "not_helpful", "-1", "👎", "nein", "schlecht", "reject",
     "rejected", "incorrect", "wrong", "nicht hilfreich", "daumen runter", "downvote",
     "dissatisfied", "unsatisfied", "f", "negativ"}
)  # fmt: skip
_BITS = frozenset({"0", "1", "true", "false"})
_SCALES = ((1, 5), (1, 7), (0, 10), (1, 10))


def normal(value: str) -> str:
    """Return a value as signals compare it: unquoted, whole numbers without .0, small booleans."""
    text = value.strip()
    if len(text) > 1 and text[0] == text[-1] == '"':
        text = text[1:-1].strip()
    if text.lower() in ("true", "false"):
        return text.lower()
    return text.removesuffix(".0")


def is_verdict(values: Mapping[str, int]) -> bool:
    """Whether the values alone could be a judgement: a few numbers, or known yes and no words."""
    seen = {normal(value) for value in values}
    if not seen:
        return False
    words = {value.lower() for value in seen}
    return seen <= _BITS or words <= _YES | _NO or _whole(seen) is not None


def classify(
    name: str,
    column: str,
    values: Mapping[str, int],
    *,
    classes: Mapping[str, int],
    agreement: float | None,
    numeric: bool,
    prose: bool,
) -> Signal:
    """Decide how the events of one signal become a reward.

    Parameters
    ----------
    name, column
        The signal's name, and the source column that holds its values.
    values
        Distinct values and how often each occurs; empty where there are too many.
    classes
        Distinct predictions; empty where nothing is predicted.
    agreement
        Cohen's kappa of value and prediction over joined rows; None where it is not known.
    numeric, prose
        Whether all values are numbers, or most are sentences.

    Returns
    -------
    Signal
        With a `question` where the values do not settle it.
    """
    path = (name,)
    about = (path, (column,))
    seen = {normal(value) for value in values}
    predicted = {normal(value) for value in classes}
    thumbs = any(is_about(p, THUMBS) for p in about)
    stars = any(is_about(p, RATINGS) for p in about)
    labels = any(is_about(p, LABELS) for p in about)
    if not seen:
        return _many_values(name, numeric=numeric, prose=prose)
    if len(predicted) > 1 and _same_classes(seen, predicted) and not thumbs:
        if labels or (agreement is not None and agreement > 0.2):
            return Signal(name, "label")
        if not seen <= _BITS and not (_whole(seen) and stars):
            return Signal(name, "label")
        return Signal(name, "label", question="is it the true class (label) or a verdict (binary)?")
    if labels and len(predicted) < 2 and not seen <= _BITS:
        return Signal(name, "label", question="no prediction is mapped to compare this label with.")
    if seen <= _BITS:
        if len(seen) == 1 and not thumbs and seen <= {"0", "1"}:
            return Signal(name, "binary", question=f"only {_list(seen)} occurs: is it 0 or 1?")
        if BAD_NEWS & {*words(name), *words(column)}:
            return Signal(
                name,
                "binary",
                positive="value < 1",
                question="its name sounds as if 1 were bad: is 0 the success?",
            )
        return Signal(name, "binary")
    lowered = {value.lower(): value for value in seen}
    yes, no = set(lowered) & _YES, set(lowered) & _NO
    if seen <= {"1", "-1"}:
        if len(seen) == 2:
            return Signal(name, "binary", positive="value > 0")
        return Signal(name, "binary", positive="value > 0", question="only one value occurs.")
    if len(yes) == 1 and len(no) == 1 and len(seen) == 2:
        return Signal(name, "binary", positive=f"value = {literal(lowered[yes.pop()])}")
    if yes and set(lowered) <= _YES | _NO:
        listed = ", ".join(literal(lowered[word]) for word in sorted(yes))
        return Signal(
            name, "binary", positive=f"value IN ({listed})",
            question=f"it holds {_list(seen)}: is that all, and which are positive?",
        )  # fmt: skip
    whole = _whole(seen)
    if whole is not None:
        return _rating(name, whole, stars=stars)
    if numeric:
        return _many_values(name, numeric=True, prose=False)
    if prose:
        return Signal(name, "comment")
    return Signal(name, "label", question=f"it holds {_list(seen)}: what do they mean?")


def _same_classes(seen: set[str], predicted: set[str]) -> bool:
    bits = {"true": "1", "false": "0"}
    left = {bits.get(value, value) for value in seen}
    right = {bits.get(value, value) for value in predicted}
    return left <= right if len(left & right) > 1 else left == right


def _whole(seen: set[str]) -> set[int] | None:
    """Return the values as small whole numbers; None if any is something else."""
    try:
        numbers = {int(value) for value in seen}
    except ValueError:
        return None
    return numbers if min(numbers) >= 0 and max(numbers) <= 10 else None


def _rating(name: str, numbers: set[int], *, stars: bool) -> Signal:
    for low, high in _SCALES:
        if numbers == set(range(low, high + 1)):
            sure = stars or (low, high) == (1, 5)
            question = "" if sure else f"is it a rating from {low} to {high}?"
            return Signal(name, "rating", scale=(low, high), question=question)
    low, high = next((s for s in _SCALES if s[0] <= min(numbers) and max(numbers) <= s[1]), (0, 10))
    return Signal(
        name, "rating", scale=(low, high),
        question=f"only {_list({str(n) for n in numbers})} occur: what is the scale?",
    )  # fmt: skip


def _many_values(name: str, *, numeric: bool, prose: bool) -> Signal:
    if prose:
        return Signal(name, "comment")
    if numeric:
        return Signal(
            name, "implicit", positive="value >= 1",
            question="it holds many numbers: above which is it a success, or is it an outcome?",
        )  # fmt: skip
    return Signal(name, "outcome", question="it holds many different texts: what is it?")


def _list(values: set[str]) -> str:
    shown = sorted(values)[:8]
    return ", ".join(shown) + (", ..." if len(values) > 8 else "")
