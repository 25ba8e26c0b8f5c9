"""Draws a fixed number of rows with known probabilities, by permanent random numbers.

A row's random number ``u`` in (0, 1) comes from the md5 of its key and the seed, so it stays the
same from build to build, and a sample changes only where the scores do.

Rows are drawn by priority sampling (Duffield, Lund & Thorup, J. ACM 54(6), 2007): with a size
``w``, those of the greatest ``w / u`` are kept, and with ``tau`` the next one below, a row stands
for ``max(1, tau / w)`` rows. Where all sizes of a stratum are equal, that is a simple random sample
of ``n`` out of ``N``, and its probability is ``n / N``.
"""

from __future__ import annotations

from workbench.engine import identifier, literal
from workbench.samplers._sampler import SHARES, Plan

#: Columns that a draw adds, all of them DOUBLE.
SAMPLING_COLUMNS = ("sampling_score", "inclusion_probability", "sample_weight", "random_number")


def random_number(key: str, seed: int) -> str:
    """SQL of the permanent random number in (0, 1) of a row, from 52 bits of the md5 of `key`."""
    digits = f"substr(md5({identifier(key)} || {literal(f':{seed}')}), 1, 13)"
    return f"(CAST('0x' || {digits} AS BIGINT) + 0.5) / 4503599627370496"


def draw(plan: Plan, source: str, key: str, n: int | None, seed: int) -> str:
    """SQL that draws `n` rows.

    Parameters
    ----------
    plan
        How to draw.
    source
        The relation to draw from, or a query in brackets.
    key
        Name of the column that identifies a row.
    n
        Size of the sample; None takes all rows that can be drawn.
    seed
        Seed of the random numbers.

    Returns
    -------
    str
        A query that returns `key` and the columns of `SAMPLING_COLUMNS`. Equal data, plan and seed
        give equal rows on any number of threads.
    """
    name = identifier(key)
    score = f"CAST(({plan.score}) AS DOUBLE)" if plan.score else "CAST(1 AS DOUBLE)"
    stratum = f"CAST(({plan.by}) AS VARCHAR)" if plan.by else "''"
    u = random_number(key, seed)
    complaint = "error('The sampling score ' || sampling_score || ' is below 0.')"
    top = plan.scheme == "top"
    priority = "sampling_score" if top else "size / random_number"
    share = SHARES[plan.allocation]
    probability = (
        "CAST(NULL AS DOUBLE)"
        if top
        else "CASE WHEN n_drawn = n_rows THEN 1.0::DOUBLE "
        "WHEN least_size = greatest_size THEN n_drawn / n_rows "
        "ELSE least(1.0::DOUBLE, size / threshold) END"
    )
    # By the greatest score and not by the mean: a sum of doubles depends on the order in which
    # threads deliver them.
    part = f"pow(sampling_score / nullif(max(sampling_score) OVER (), 0), {plan.power!r})"
    size = f"greatest(coalesce({part}, 0), {plan.floor!r})" if plan.score else "1"
    taken = "true" if n is None else f"place <= {int(n)}"
    return f"""
WITH scored AS (
  SELECT {name}, {score} AS sampling_score, {stratum} AS stratum, {u} AS random_number
  FROM {source}
), sized AS (
  SELECT *, CAST({size} AS DOUBLE) AS size
  FROM scored WHERE isfinite(sampling_score)
    AND CASE WHEN sampling_score < 0 THEN {complaint} ELSE true END
), ranked AS (
  SELECT *, {priority} AS priority, count(*) OVER one AS n_rows,
    min(size) OVER one AS least_size, max(size) OVER one AS greatest_size,
    row_number() OVER (PARTITION BY stratum ORDER BY {priority} DESC, random_number, {name}) AS r
  FROM sized WINDOW one AS (PARTITION BY stratum)
), placed AS (
  SELECT *, row_number() OVER (ORDER BY (r - 0.5) / {share}, stratum, {name}) AS place FROM ranked
), counted AS (
  SELECT *, count(*) FILTER ({taken}) OVER one AS n_drawn
  FROM placed WINDOW one AS (PARTITION BY stratum)
), drawn AS (
  SELECT *, max(priority) FILTER (r = n_drawn + 1) OVER (PARTITION BY stratum) AS threshold
  FROM counted
)
SELECT {name}, sampling_score, inclusion_probability, 1 / inclusion_probability AS sample_weight,
  random_number
FROM (SELECT *, {probability} AS inclusion_probability FROM drawn WHERE {taken})"""
