"""Langfuse: scheduled blob exports, exports of its pages, answers of its API, traces as JSON.

An observation becomes an inference. A trace gives its user, session and tags to the observations
that are read with it, and the rest of it to the first of them; a trace that comes without
observations is an inference itself. A score judges what it was given to: a trace's verdict is not
spread over its observations.
"""

from __future__ import annotations

from collections.abc import Iterator

import duckdb

from workbench import engine
from workbench.importers import PART, RAW, ROW, Head, Importer
from workbench.importers._langfuse_items import (
    as_json,
    items,
    large,
    metadata,
    moment,
    of,
    spellings,
)
from workbench.importers._langfuse_messages import with_messages
from workbench.importers._langfuse_scores import FEEDBACK, JUDGED
from workbench.importers._records import elements, stager

_START = f"coalesce({moment('start_time')}, {moment('timestamp')})"
_END = moment("end_time")
_LATENCY = f"""CASE WHEN {_END} >= {_START}
  THEN date_diff('microsecond', {_START}, {_END}) / 1000.0
  WHEN {_END} IS NULL AND TRY_CAST({of("latency_ms")} AS DOUBLE) >= 0
  THEN TRY_CAST({of("latency_ms")} AS DOUBLE) END"""
_MODEL = f"coalesce({of('provided_model_name')}, {of('model')})"


def _tags(parsed: str) -> str:
    return f"from_json({as_json('tags', parsed)}, '[\"VARCHAR\"]')"


def _tokens(side: str, older: str) -> str:
    """SQL of a number of tokens; 0 beside no details of usage is what Langfuse fills in."""
    usage = as_json("usage")
    counted = (
        f"CASE WHEN coalesce(json_extract_string({usage}, '$.unit'), 'TOKENS') = 'TOKENS' "
        f"THEN json_extract_string({usage}, '$.{side}') END"
    )
    details = f"json_extract_string({as_json('usage_details')}, '$.{side}')"
    filled = ", ".join(f"nullif({of(name)}, '0')" for name in (older, f"{side}_usage"))
    return f"TRY_CAST(coalesce({details}, {counted}, {filled}) AS BIGINT)"


# Langfuse keeps the calls that it found apart from their names.
_FOUND = "TRY_CAST(json_extract_string(c, '$') AS JSON)"
_FOUND_CALLS = f"""CAST(to_json(list_transform({elements(as_json("tool_calls"))},
  lambda c, i: json_object('id', json_extract_string({_FOUND}, '$.id'), 'type', 'function',
    'function', json_object(
      'name', coalesce(json_extract_string({_FOUND}, '$.name'),
        json_extract_string({as_json("tool_call_names")}, '$[' || (i - 1) || ']')),
      'arguments', json_extract_string({_FOUND}, '$.arguments'))))) AS VARCHAR)"""
_COST = f"""TRY_CAST(coalesce(json_extract_string({as_json("cost_details")}, '$.total'),
  CASE WHEN TRY_CAST({of("total_cost")} AS DOUBLE) <> 0 THEN {of("total_cost")} END) AS DOUBLE)"""

_CALL_TAKES = (
    "id", "trace_id", "parent_observation_id", "start_time", "user_id", "session_id", "tags",
    "input", "output", "model", "provided_model_name", "model_parameters",
)  # fmt: skip
_TRACE_TAKES = ("id", "user_id", "session_id", "tags")
_CALLS = f"""
  SELECT o.*, {of("trace_id", "o.p")} AS trace_id, t.p AS t,
    CASE WHEN r.root = {of("id", "o.p")} AND o.reason IS NULL
      THEN CAST({metadata(_TRACE_TAKES, item="t.")} AS JSON) END AS of_trace
  FROM items o LEFT JOIN (SELECT * FROM items WHERE kind = 'trace' AND reason IS NULL) t
    ON {of("id", "t.p")} = {of("trace_id", "o.p")}
  LEFT JOIN roots r ON r.trace_id = {of("trace_id", "o.p")}
  WHERE o.kind = 'observation'
  UNION ALL
  SELECT *, {of("id")}, NULL, NULL FROM items
    WHERE kind = 'trace' AND (reason IS NOT NULL OR {of("id")} NOT IN (SELECT trace_id FROM roots))
  UNION ALL
  SELECT *, NULL, NULL, NULL FROM items WHERE kind IS NULL"""
_ROOTS = f"""roots AS (
  SELECT {of("trace_id")} AS trace_id, min_by({of("id")},
    ({of("parent_observation_id")} IS NOT NULL, {moment("start_time")}, {of("id")})) AS root
  FROM items WHERE kind = 'observation' AND reason IS NULL AND {of("trace_id")} IS NOT NULL
  GROUP BY ALL
)"""


def _text(name: str) -> str:
    return f"nullif({large(name)}, '')"


_AS_TRACE = """CASE WHEN kind = 'trace'
  THEN json_merge_patch(doc, '{"type": "TRACE", "timestamp": null}') ELSE doc END"""
_FIRST = items("kind IN ('observation', 'trace')") | {
    "calls": f"WITH {_ROOTS} {_CALLS}",
    "asked": with_messages("calls", "input", _text("input"), answer=False),
    "answered": with_messages("asked", "output", _text("output"), answer=True),
}
_LEFT = {
    "input": "CAST(input_left AS JSON)",
    "output": "CAST(output_left AS JSON)",
    "trace": "of_trace",
}
_INFERENCES = f"""
SELECT {PART}, {ROW}, CASE WHEN reason IS NOT NULL THEN CAST(doc AS VARCHAR) END AS {RAW}, reason,
  {of("id")} AS request_id,
  {_START} AS ts,
  coalesce({_MODEL}, {of("version")}, {of("version", "t")}, {of("release")},
    {of("release", "t")}, 'unknown') AS model_version,
  {_MODEL} AS model,
  nullif({of("model_parameters")}, '{{}}') AS params,
  coalesce({of("user_id")}, {of("user_id", "t")}) AS user_id,
  coalesce({of("session_id")}, {of("session_id", "t")}) AS session_id,
  trace_id,
  {of("parent_observation_id")} AS parent_id,
  input_text AS input,
  output_text AS output,
  output_reasoning AS reasoning,
  nullif(coalesce(output_calls, {_FOUND_CALLS}), '[]') AS tool_calls,
  {_LATENCY} AS latency_ms,
  {_tokens("input", "prompt_tokens")} AS input_tokens,
  {_tokens("output", "completion_tokens")} AS output_tokens,
  {_COST} AS cost,
  nullif(list_sort(list_distinct(list_concat({_tags("p")}, {_tags("t")}))), []) AS tags,
  {metadata(_CALL_TAKES, _AS_TRACE, **_LEFT)} AS metadata,
  'langfuse' AS source_system
FROM answered
"""


def _notes(connection: duckdb.DuckDBPyConnection, table: str) -> Iterator[str]:
    """Say how many events are only means."""
    if table != "feedback":
        return
    lossy = engine.scalar(
        connection,
        "SELECT count(*) FROM vendor_rows WHERE source_system = 'langfuse' "
        """AND metadata = '{"lossy":true}'""",
    )
    if lossy:
        yield (
            f"{lossy:,} events are means of scores, without their raters and times "
            "(metadata.lossy): export the scores themselves from Langfuse instead"
        )


def _first_item(head: Head) -> tuple[frozenset[str], bool]:
    """Keys of the first item of a file, and whether verdicts may stand within it."""
    trace, page = head.row.get("trace"), head.row.get("data")
    if isinstance(trace, dict) and "observations" in head.row:
        scored = head.row.get("scores") or trace.get("scores") or trace.get("corrections")
        return frozenset(trace), bool(scored)
    paged = isinstance(page, list) and page and isinstance(page[0], dict)
    row = page[0] if paged and page else head.row
    keys = frozenset(row) if paged else head.keys
    lists = [row.get(key) for key in ("scores", "corrections")]
    scored = any(isinstance(e, dict) for found in lists if isinstance(found, list) for e in found)
    return keys, scored or "comments" in keys


def _holds(head: Head) -> frozenset[str]:
    keys, scored = _first_item(head)

    def has(*names: str) -> bool:
        return all(keys & set(spellings(name)) for name in names)

    if has("data_type", "name", "value") and (
        has("trace_id") or has("observation_id") or has("subject")
    ):
        return frozenset({"feedback"})
    if has("object_type", "object_id", "content", "author_user_id"):
        return frozenset({"feedback"})
    observations = has("id", "type", "start_time", "trace_id", "parent_observation_id")
    traces = has("id", "timestamp", "public", "user_id") and has("bookmarked")
    traces = traces or has("id", "timestamp", "public", "user_id", "release", "session_id")
    if observations or traces:
        return frozenset({"inferences", "feedback"} if scored else {"inferences"})
    return frozenset()


importer = Importer(
    name="langfuse",
    title="Langfuse",
    grows=False,
    stage=stager(
        {"inferences": _INFERENCES, "feedback": FEEDBACK},
        first={"inferences": _FIRST, "feedback": JUDGED},
        notes=_notes,
    ),
    holds=_holds,
)
