"""What a source of pairs is, and how the pairs of several become one list."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from workbench.errors import ConfigError, suggest
from workbench.registry import Registry


@dataclass(frozen=True, kw_only=True)
class PairSource:
    """A source of pairs.

    Attributes
    ----------
    name
        Name of its file.
    about
        One sentence on what it pairs.
    rank
        Of several sources of one pair that agree, the lowest is named.
    pairs
        From the least difference of rewards and the most pairs per prompt, a query over the
        relations of a compile (see `workbench.training_formats.TrainingFormat`) of
        ``request_id`` (whose prompt it is, and whose answer is preferred), ``other_id`` (whose
        answer is not; NULL for a correction, which is preferred to the answer of ``request_id``),
        ``feedback_ids`` (of a correction its own first), ``label_ts``, ``strength`` in [0, 1], and
        ``reason``: why it is no pair, else NULL.
    """

    name: str
    about: str
    rank: int
    pairs: Callable[[float, int], str]


pair_sources: Registry[PairSource] = Registry(
    "workbench.pairs", "pair_source", label="source of pairs"
)


def chosen_sources(text: str) -> list[PairSource]:
    """Read names of sources that are separated by commas; ``all`` stands for every one.

    Raises
    ------
    ConfigError
        If there is no such source.
    """
    names = [name.strip() for name in text.split(",") if name.strip()]
    if not names:
        raise ConfigError("No source of pairs is named.", suggest("", ["all", *pair_sources]))
    wanted = pair_sources.names() if "all" in names else list(dict.fromkeys(names))
    return sorted((pair_sources.get(name) for name in wanted), key=lambda found: found.rank)


def candidates_sql(sources: Sequence[PairSource], *, margin: float, per_prompt: int) -> str:
    """Query of the pairs of all `sources`, each pair of answers once, as candidates of a format.

    The label is the md5 of the preferred answer, so that it shows when the same two texts were
    preferred both ways. A pair that sources see in opposite directions is one, with the reason
    ``contradiction``; of sources that agree the first is named, and the events of all are kept.
    """
    every = "\nUNION ALL\n".join(
        f"SELECT request_id, other_id, feedback_ids, label_ts, strength, reason, "
        f"'{source.name}' AS source, {source.rank} AS rank "
        f"FROM ({source.pairs(margin, per_prompt)})"
        for source in sources
    )
    return f"""
    WITH every AS ({every}), named AS (
      SELECT *, CASE WHEN other_id IS NULL THEN md5(request_id || ':correction')
        ELSE md5(least(request_id, other_id) || ':' || greatest(request_id, other_id))
        END AS example_id FROM every
    ), ranked AS (
      SELECT *,
        min(request_id) FILTER (reason IS NULL) OVER one
          <> max(request_id) FILTER (reason IS NULL) OVER one AS opposed,
        list_sort(list_distinct(flatten(list(feedback_ids) OVER one))) AS all_ids,
        max(label_ts) OVER one AS last_ts,
        row_number() OVER (PARTITION BY example_id
          ORDER BY reason IS NOT NULL, rank, request_id) AS place
      FROM named WINDOW one AS (PARTITION BY example_id)
    ), gated AS (
      SELECT p.*, CASE
        WHEN coalesce(p.opposed, false) THEN 'contradiction'
        WHEN p.reason IS NOT NULL THEN p.reason
        WHEN coalesce(r.prompt_length, 0) = 0 THEN 'no_prompt'
        WHEN o.request_id IS NULL AND p.other_id IS NOT NULL THEN 'other_not_in_slice'
        WHEN p.other_id IS NOT NULL AND o.prompt_key IS DISTINCT FROM r.prompt_key
          THEN 'other_prompt'
        WHEN coalesce(r.answer_length, 0) = 0
          OR (p.other_id IS NOT NULL AND coalesce(o.answer_length, 0) = 0) THEN 'no_answer'
        WHEN p.other_id IS NOT NULL AND o.answer_key = r.answer_key THEN 'same_answer'
        END AS verdict,
        CASE WHEN p.other_id IS NULL THEN c.answer_key ELSE r.answer_key END AS preferred
      FROM ranked p JOIN records r ON p.request_id = r.request_id
      LEFT JOIN records o ON p.other_id = o.request_id
      LEFT JOIN last_corrections c ON p.request_id = c.request_id
      WHERE p.place = 1
    )
    SELECT example_id, request_id, other_id,
      CASE WHEN source = 'correction' THEN feedback_ids ELSE all_ids END AS feedback_ids,
      preferred AS label, last_ts AS label_ts, strength, source, verdict AS reason
    FROM gated"""
