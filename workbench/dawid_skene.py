"""What several raters say of an item and how reliable each of them is, estimated together.

Dawid and Skene (1979): each item has one true class; each rater has a table of how often they say
which class where which is true; raters err independently of each other. Expectation maximisation
turns between the two: from the tables to the probability of each class of each item, and back.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

#: It has converged when the log-likelihood of a vote changes by less than this.
TOLERANCE = 1e-12
MOST_ROUNDS = 2000
#: Two probabilities of an item that are closer than this are a tie.
TIE = 1e-9
_LEAST = 1e-300


@dataclass(frozen=True)
class Consensus:
    """What was estimated.

    Attributes
    ----------
    probabilities
        Of each class of each item.
    confusion
        By rater, true class and said class: how often it is said.
    prior
        How frequent each class is.
    rounds
        Of expectation maximisation.
    converged
        Whether it came to rest before `MOST_ROUNDS`.
    log_likelihood
        Of the votes.
    """

    probabilities: Floats
    confusion: Floats
    prior: Floats
    rounds: int
    converged: bool
    log_likelihood: float

    def classes(self) -> Ints:
        """The likeliest class of each item; -1 where two are equally likely."""
        p = self.probabilities
        if p.shape[1] < 2:
            return np.zeros(len(p), dtype=np.int64)
        two = np.sort(p, axis=1)[:, -2:]
        found: Ints = np.where(two[:, 1] - two[:, 0] < TIE, -1, p.argmax(axis=1))
        return found


def consensus(item: Ints, rater: Ints, said: Ints, n_classes: int) -> Consensus:
    """Estimate the classes of items and the confusion of raters.

    Parameters
    ----------
    item, rater, said
        One entry per vote: numbers from 0 on. A rater may have several votes on an item.
    n_classes
        Number of classes.

    Returns
    -------
    Consensus
        Equal for equal votes in any order. It starts from the shares of the votes on each item; of
        several maxima of the likelihood it finds the one that is nearest to the majority.
    """
    order = np.lexsort((said, rater, item))
    item, rater, said = item[order], rater[order], said[order]
    n_items, n_raters, k = int(item.max()) + 1, int(rater.max()) + 1, n_classes
    p = np.bincount(item * k + said, minlength=n_items * k).reshape(n_items, k).astype(np.float64)
    p /= p.sum(axis=1, keepdims=True)
    before, rounds, converged = -np.inf, 0, False
    while not converged and rounds < MOST_ROUNDS:
        rounds += 1
        prior = p.mean(axis=0)
        confusion = np.stack(
            [
                np.bincount(rater * k + said, p[item, true], n_raters * k).reshape(n_raters, k)
                for true in range(k)
            ],
            axis=1,
        )
        sums = confusion.sum(axis=2, keepdims=True)
        # Of a class that a rater never met nothing is known: all answers are equally likely.
        confusion = np.where(sums > _LEAST, confusion / np.maximum(sums, _LEAST), 1.0 / k)
        logs = np.log(np.maximum(confusion, _LEAST))
        score = np.log(np.maximum(prior, _LEAST)) + np.stack(
            [np.bincount(item, logs[rater, true, said], n_items) for true in range(k)], axis=1
        )
        top = score.max(axis=1, keepdims=True)
        p = np.exp(score - top)
        sums_of_items = p.sum(axis=1, keepdims=True)
        p /= sums_of_items
        likelihood = float((top + np.log(sums_of_items)).sum())
        converged = abs(likelihood - before) <= TOLERANCE * len(item)
        before = likelihood
    return Consensus(p, confusion.astype(np.float64), prior, rounds, converged, before)


def hits(found: Consensus, item: Ints, rater: Ints, said: Ints) -> tuple[Floats, Floats]:
    """Votes of each rater, and how many of them are expected to be right."""
    n_raters = len(found.confusion)
    right = np.bincount(rater, found.probabilities[item, said], n_raters)
    votes = np.bincount(rater, minlength=n_raters)
    return votes.astype(np.float64), right.astype(np.float64)


def numbered(column: pa.ChunkedArray) -> tuple[Ints, list[str]]:
    """Texts as numbers from 0 on, in the order of the texts, and those."""
    texts = pc.unique(column).sort()
    places = pc.index_in(column, value_set=texts).to_numpy()
    return places.astype(np.int64), texts.to_pylist()
