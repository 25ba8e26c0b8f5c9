"""Clusters of texts that share most of their words, found exactly and in the engine.

Two texts are near where the Jaccard similarity of their sets of word shingles,
``|A & B| / |A | B|``, reaches a threshold ``t`` (Broder, "On the resemblance and containment of
documents", 1997). Clusters are the connected components of that graph.

No pair is missed. Let the shingles of all texts be put into one order. A text with ``n`` of them
shares at least ``ceil(t n)`` with any that is near to it, so two near texts have one in common
among the first ``n - ceil(t n) + 1`` of each (prefix filter: Chaudhuri, Ganti & Kaushik, ICDE 2006;
Bayardo, Ma & Srikant, WWW 2007). With the rarest first, few texts meet by chance; those that occur
once are met by nobody and are left out before anything is sorted.

All pairs of a cluster would be as many as the square of its size, and texts from one template are
one cluster. Only its edges matter, so each text is first compared with two that it meets, and
then only with those that are not in its cluster yet.
"""

from __future__ import annotations

#: A word: what neither spaces nor punctuation break. Scripts without spaces give one for each sign.
_SIGNS = r"\p{Han}\p{Hiragana}\p{Katakana}\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}"
WORD = rf"[{_SIGNS}]|[^\s\p{{P}}\p{{Z}}\p{{C}}{_SIGNS}]+"
# A product such as 0.07 * 100 may be above the whole number that it stands for.
_SLACK = 1e-6


def _components(name: str, edges: str) -> str:
    """A recursive CTE ``name(id, cluster)``: the least id of the component of each text.

    Each round hangs the root of a text below the least root of its neighbours, and halves the way
    to the root (Zhang, Azad & Hu, "FastSV", 2020), so that long chains need few rounds.
    """
    return f"""{name}(id, cluster) USING KEY (id) AS (
  SELECT id, id FROM texts
  UNION
  SELECT id, min(cluster) FROM (
    SELECT root.id, theirs.cluster
    FROM (SELECT a, b FROM {edges} UNION ALL SELECT b, a FROM {edges}) e
    JOIN recurring.{name} own ON own.id = e.a
    JOIN recurring.{name} theirs ON theirs.id = e.b
    JOIN recurring.{name} root ON root.id = own.cluster
    WHERE theirs.cluster < root.cluster
    UNION ALL
    SELECT own.id, root.cluster
    FROM recurring.{name} own JOIN recurring.{name} root ON root.id = own.cluster
    WHERE root.cluster < own.cluster
  ) GROUP BY id
)"""


def _near(pairs: str, threshold: float) -> str:
    """Those of the `pairs` (a, b) whose similarity reaches the threshold."""
    return f"""SELECT a, b FROM (
    SELECT a, b, x.n + y.n AS total, len(list_intersect(x.shingles, y.shingles)) AS common
    FROM {pairs} JOIN sets x ON x.id = a JOIN sets y ON y.id = b
  ) WHERE common / (total - common) >= {threshold!r}::DOUBLE"""


def near_duplicate_clusters_sql(
    source: str, key: str, text: str, threshold: float = 0.8, shingle: int = 3
) -> str:
    """SQL of the cluster of near-duplicates that each text is in.

    Parameters
    ----------
    source
        The relation, or a query in brackets.
    key
        Expression that is unique and not NULL.
    text
        Expression of the text. Letter case, punctuation and spaces make no difference. A text that
        is NULL or has no words is near to no other.
    threshold
        Least Jaccard similarity of near texts, above 0 and at most 1.
    shingle
        Words in a shingle; a shorter text is one shingle.

    Returns
    -------
    str
        A query that returns ``key`` and ``cluster``, the least key of the cluster: one row for each
        of `source`. Texts are near up to a collision of 64-bit hashes of shingles.
    """
    slots = [f"w{place}" for place in range(shingle)]
    unnested = ", ".join(f"unnest(words[{place + 1}:]) AS {w}" for place, w in enumerate(slots))
    t = f"{threshold!r}::DOUBLE"
    least = f"CAST(ceil({t} * n - {_SLACK}) AS BIGINT)"
    # Two sets of n and m shingles are near only where they share t / (1 + t) * (n + m) of them, and
    # from the first that they share on, no more can be shared than is left of either.
    possible = (
        f"least(x.n, y.n) >= {t} * greatest(x.n, y.n) - {_SLACK} "
        f"AND least(x.n_left, y.n_left) >= {t} / (1 + {t}) * (x.n + y.n) - {_SLACK}"
    )
    return f"""WITH RECURSIVE tokenised AS MATERIALIZED (
  SELECT key, list_transform(words, lambda word: hash(word)) AS words,
    CASE WHEN len(words) > 0 THEN md5(array_to_string(words, ' ')) END AS digest
  FROM (SELECT {key} AS key, regexp_extract_all(lower({text}), '{WORD}') AS words FROM {source})
), texts AS MATERIALIZED (
  SELECT row_number() OVER (ORDER BY least_key) AS id, least_key, digest
  FROM (SELECT min(key) AS least_key, digest FROM tokenised WHERE digest IS NOT NULL
    GROUP BY digest)
), occurrences AS MATERIALIZED (
  SELECT id, hash({", ".join(slots)}) AS shingle
  FROM (SELECT id, len(words) AS n_words, generate_subscripts(words, 1) AS place, {unnested}
    FROM texts JOIN tokenised ON key = least_key)
  WHERE place <= greatest(n_words - {shingle - 1}, 1)
), frequencies AS (
  SELECT shingle, count(*) AS frequency FROM occurrences GROUP BY shingle HAVING count(*) > 1
), shared AS MATERIALIZED (
  SELECT id, shingle, frequency, count(*) AS times
  FROM occurrences JOIN frequencies USING (shingle) GROUP BY id, shingle, frequency
), sizes AS (
  SELECT id, n_shared, n_all - n_repeats AS n
  FROM (SELECT id, count(*) AS n_all FROM occurrences GROUP BY id)
  JOIN (SELECT id, count(*) AS n_shared, CAST(sum(times - 1) AS BIGINT) AS n_repeats
    FROM shared GROUP BY id) USING (id)
), able AS MATERIALIZED (
  SELECT id, n, n_shared, n_shared - {least} + 1 AS n_prefix FROM sizes WHERE n_shared >= {least}
), sets AS MATERIALIZED (
  SELECT id, any_value(n) AS n, list(shingle) AS shingles
  FROM shared JOIN able USING (id) GROUP BY id
), prefixes AS MATERIALIZED (
  SELECT id, n, n_shared - place + 1 AS n_left, shingle
  FROM (SELECT *, row_number() OVER (PARTITION BY id ORDER BY frequency, shingle) AS place
    FROM shared JOIN able USING (id))
  WHERE place <= n_prefix
), met AS (
  SELECT id, first_value(id) OVER (PARTITION BY shingle ORDER BY n, id) AS first,
    lag(id) OVER (PARTITION BY shingle ORDER BY n, id) AS before
  FROM prefixes
), first_pairs AS (
  SELECT DISTINCT id AS a, b FROM (SELECT id, unnest([first, before]) AS b FROM met) WHERE b <> id
), first_edges AS MATERIALIZED (
  {_near("first_pairs", threshold)}
), {_components("parts", "first_edges")}, undecided AS MATERIALIZED (
  SELECT id, n, n_left, shingle, cluster
  FROM prefixes JOIN parts USING (id)
  QUALIFY min(cluster) OVER (PARTITION BY shingle) < max(cluster) OVER (PARTITION BY shingle)
), other_pairs AS (
  SELECT DISTINCT x.id AS a, y.id AS b
  FROM undecided x JOIN undecided y ON x.shingle = y.shingle
  WHERE x.id < y.id AND x.cluster <> y.cluster AND {possible}
), edges AS MATERIALIZED (
  SELECT a, b FROM first_edges UNION ALL {_near("other_pairs", threshold)}
), {_components("clusters", "edges")}
SELECT key, coalesce(root.least_key, key) AS cluster
FROM tokenised
LEFT JOIN texts own ON own.digest = tokenised.digest
LEFT JOIN clusters ON clusters.id = own.id
LEFT JOIN texts root ON root.id = clusters.cluster"""
