"""Draws a fixed number of rows with known probabilities, by permanent random numbers.

A row's random number ``u`` in (0, 1) comes from the md5 of its key and the seed, so it stays the
same from build to build, and a sample changes only where the scores do.

Rows are drawn by priority sampling (Duffield, Lund & Thorup, J. ACM 54(6), 2007): with a size
``w``, those of the greatest ``w / u`` are kept, and with ``tau`` the next one below, a row stands
for ``max(1, tau / w)`` rows. Where all sizes of a stratum are equal, that is a simple random sample
of ``n`` out of ``N``, and its probability is ``n / N``.

The scheme ``sequential`` keeps the greatest ``w / -ln(u)``: that is to draw one row after the
other, each time in proportion to the sizes of those that are left (Efraimidis & Spirakis,
Inf. Process. Lett. 97(5), 2006). The weights are those of the levelled unbiased risk estimator,
LURE (Farquhar, Gal & Rainforth, ICLR 2021): with ``q`` the chance of the ``m``-th of ``M`` rows
among the ``N - m + 1`` that were left, ``v = 1 + (N - M) / (N - m) * (1 / ((N - m + 1) q) - 1)``,
and a row stands for ``v N / M`` rows.
"""

from __future__ import annotations

from workbench.engine import identifier, literal
from workbench.samplers._sampler import SHARES, Plan, Run

#: Columns that a draw adds, all of them DOUBLE.
SAMPLING_COLUMNS = ("sampling_score", "inclusion_probability", "sample_weight", "random_number")
_NULL = "CAST(NULL AS DOUBLE)"


def random_number(key: str, seed: int | str) -> str:
    """SQL of the permanent random number in (0, 1) of a row, from 52 bits of the md5 of `key`."""
    digits = f"substr(md5({identifier(key)} || {literal(f':{seed}')}), 1, 13)"
    return f"(CAST('0x' || {digits} AS BIGINT) + 0.5) / 4503599627370496"


def draw(plan: Plan, source: str, key: str, n: int | None, seed: int, run: Run) -> str:
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
    run
        Runs a query over `source` and returns an Arrow table. Only plans that have something to
        fit, such as clusters, call it; what they find stands in the SQL.

    Returns
    -------
    str
        A query that returns `key` and the columns of `SAMPLING_COLUMNS`. Equal data, plan and seed
        give equal rows on any number of threads.

    Raises
    ------
    DataError
        If the rows have nothing that the plan could be fitted to.
    """
    plan = plan.fitted(run, source, key, n)
    name = identifier(key)
    priority, probability, weight = _SCHEMES[plan.scheme]
    order = f"priority DESC, random_number, {name}"
    left = (
        f""",
    sum(CAST(size * {_UNITS} AS BIGINT)) OVER (PARTITION BY stratum ORDER BY {order}
      ROWS BETWEEN CURRENT ROW AND UNBOUNDED FOLLOWING) AS size_left"""
        if plan.scheme == "sequential"
        else ""
    )
    # Counted by CASE: DuckDB 1.5 takes time in the square of the rows for a FILTER in a window.
    taken = "true" if n is None else f"place <= {int(n)}"
    return f"""
WITH sized AS ({_sized(plan, source, key)}
), numbered AS (
  SELECT *, {random_number(key, seed)} AS random_number FROM sized
), prioritised AS (
  SELECT *, {priority} AS priority FROM numbered
), ranked AS (
  SELECT *, count(*) OVER one AS n_rows,
    min(size) OVER one AS least_size, max(size) OVER one AS greatest_size,
    row_number() OVER (PARTITION BY stratum ORDER BY {order}) AS r{left}
  FROM prioritised WINDOW one AS (PARTITION BY stratum)
), placed AS (
  SELECT *, row_number() OVER (
    ORDER BY (r - 0.5) / {SHARES[plan.allocation]}, stratum, {name}) AS place
  FROM ranked
), counted AS (
  SELECT *, count(CASE WHEN {taken} THEN 1 END) OVER (PARTITION BY stratum) AS n_drawn
  FROM placed
), drawn AS (
  SELECT *, max(CASE WHEN r = n_drawn + 1 THEN priority END)
    OVER (PARTITION BY stratum) AS threshold
  FROM counted
)
SELECT {name}, sampling_score, inclusion_probability, {weight} AS sample_weight, random_number
FROM (SELECT *, {probability} AS inclusion_probability FROM drawn WHERE {taken})"""


#: Sizes are sums of this many equal units where they are added up: a sum of doubles depends on the
#: order in which threads deliver them, a sum of whole numbers does not.
_UNITS = 2**30
#: Of each scheme, as SQL: what is drawn first, the inclusion probability, and the weight.
_SCHEMES = {
    "priority": (
        "size / random_number",
        "CASE WHEN n_drawn = n_rows THEN 1.0::DOUBLE "
        "WHEN least_size = greatest_size THEN n_drawn / n_rows "
        "ELSE least(1.0::DOUBLE, size / threshold) END",
        "1 / inclusion_probability",
    ),
    "sequential": (
        "size / -ln(random_number)",
        "CASE WHEN n_drawn = n_rows THEN 1.0::DOUBLE END",
        "CASE WHEN n_drawn = n_rows THEN 1.0::DOUBLE ELSE n_rows / n_drawn * (1 + "
        "(n_rows - n_drawn) / (n_rows - r) * "
        f"(size_left / (size * {_UNITS} * (n_rows - r + 1)) - 1)) END",
    ),
    "top": ("sampling_score", _NULL, _NULL),
}


def _sized(plan: Plan, source: str, key: str) -> str:
    """SQL of the rows that can be drawn: `key`, ``sampling_score``, ``stratum`` and ``size``.

    The size is a whole number of units, at most 1 in all.
    """
    name = identifier(key)
    if plan.parts:
        scored = _mixed(plan, source, key)
    else:
        score = f"CAST(({plan.score}) AS DOUBLE)" if plan.score else "CAST(1 AS DOUBLE)"
        stratum = f"CAST(({plan.by}) AS VARCHAR)" if plan.by else "''"
        scored = f"SELECT {name}, {score} AS sampling_score, {stratum} AS stratum FROM {source}"
    complaint = "error('The sampling score ' || sampling_score || ' is below 0.')"
    # By the greatest score and not by the mean, whose sum depends on the order of threads.
    part = f"pow(sampling_score / nullif(max(sampling_score) OVER (), 0), {plan.power!r})"
    size = f"greatest(coalesce({part}, 0), {plan.floor!r}::DOUBLE)"
    return f"""
  SELECT *, greatest(round({size} * {_UNITS}), 1) / {_UNITS} AS size
  FROM ({scored}) WHERE isfinite(sampling_score)
    AND CASE WHEN sampling_score < 0 THEN {complaint} ELSE true END"""


def _mixed(plan: Plan, source: str, key: str) -> str:
    """SQL of the scored rows of a mix: the weighted mean of the shares that they have in its parts.

    The share of a row is that of its stratum in the sample, times that of its size in the stratum:
    the chance to be the one row that the part would draw.
    """
    name = identifier(key)
    total = sum(weight for weight, _ in plan.parts)
    joins, terms = "", []
    for i, (weight, part) in enumerate(plan.parts):
        joins += f"""
  LEFT JOIN (
    SELECT {name}, (share / sum(CASE WHEN r = 1 THEN share END) OVER ())
      * (units / sum(units) OVER (PARTITION BY stratum)) AS chance
    FROM (
      SELECT *, CAST(round({_UNITS} * {SHARES[part.allocation]}) AS HUGEINT) AS share
      FROM (
        SELECT *, CAST(size * {_UNITS} AS BIGINT) AS units,
          count(*) OVER (PARTITION BY stratum) AS n_rows,
          row_number() OVER (PARTITION BY stratum ORDER BY {name}) AS r
        FROM ({_sized(part, source, key)})))
  ) part{i} ON part{i}.{name} = pool.{name}"""
        terms.append(f"{weight / total!r}::DOUBLE * coalesce(part{i}.chance, 0)")
    return (
        f"SELECT pool.{name}, nullif({' + '.join(terms)}, 0) AS sampling_score, '' AS stratum "
        f"FROM {source} pool {joins}"
    )
