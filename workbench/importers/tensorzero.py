"""TensorZero's tables, from ClickHouse or Postgres, as JSON lines or Parquet; rows of its API.

An inference of a function is an inference here. The calls of models that it made, where they are
read with it, give it its model and its tokens, and stand whole in its metadata; a call that comes
without its inference is an inference itself. The target of a metric is an inference or an episode,
which the row does not say: the id is looked up among the inferences, then among the episodes, which
are the traces.
"""

from __future__ import annotations

from workbench.engine import json_pointer
from workbench.importers import PART, RAW, ROW, Head, Importer
from workbench.importers._records import RECORDS, at, elements, first, json_at, rest, stager

_ID = f"coalesce({at('id')}, {at('inference_id')})"
_KIND = f"""CASE
  WHEN {at("target_id")} IS NOT NULL AND {at("metric_name")} IS NOT NULL THEN 'metric'
  WHEN {at("target_id")} IS NOT NULL AND {at("target_type")} IS NOT NULL THEN 'comment'
  WHEN {at("inference_id")} IS NOT NULL AND {at("model_name")} IS NOT NULL THEN 'call'
  WHEN {_ID} IS NOT NULL AND {at("function_name")} IS NOT NULL THEN 'inference'
  WHEN {at("inference_id")} IS NOT NULL AND {at("value")} IS NOT NULL THEN 'demonstration'
  WHEN {at("id")} IS NOT NULL AND {at("input")} IS NOT NULL THEN 'data' END"""


def _moment(identity: str, stated: str) -> str:
    """SQL of the time within a UUID of version 7, to the millisecond; else of the stated one."""
    uuid = f"TRY_CAST({identity} AS UUID)"
    return (
        f"CASE WHEN uuid_extract_version({uuid}) = 7 THEN uuid_extract_timestamp({uuid}) "
        f"ELSE TRY_CAST({stated} AS TIMESTAMPTZ) END"
    )


def _parsed(value: str) -> str:
    """SQL of what may be JSON within a JSON text, as ClickHouse stores it."""
    text = f"({value} ->> '$')"
    return f"CASE WHEN json_valid({text}) THEN TRY_CAST({text} AS JSON) ELSE {value} END"


_TEXT = "coalesce((b ->> '$.text'), CAST((b -> '$.value') AS VARCHAR), (b ->> '$.arguments'))"
_CONTENT = f"""CASE
  WHEN json_type(m -> '$.content') <> 'ARRAY' THEN (m -> '$.content')
  WHEN json_array_length(m -> '$.content') = 1
    AND (m ->> '$.content[0].type') = 'text'
    THEN to_json(list_transform({elements("(m -> '$.content')")}, lambda b: {_TEXT})[1])
  ELSE (m -> '$.content') END"""
_MESSAGES = f"""CAST(to_json(list_concat(
  CASE WHEN (asked -> '$.system') IS NULL OR json_type(asked -> '$.system') = 'NULL' THEN []
    ELSE [json_object('role', 'system', 'content', (asked -> '$.system'))] END,
  list_transform({elements("(asked -> '$.messages')")},
    lambda m: json_merge_patch(m, json_object('content', {_CONTENT}))))) AS VARCHAR)"""


def _of_type(blocks: str, kind: str) -> str:
    return f"list_filter({blocks}, lambda b: (b ->> '$.type') = '{kind}')"


_BLOCKS = elements("said")
_TEXTS = _of_type(_BLOCKS, "text")
#: Whether an answer is one text and nothing else that would be lost with it.
_PLAIN = """(json_type(said) = 'ARRAY' AND json_array_length(said) = 1
  AND json_keys(said, '$[0]') IN (['type', 'text'], ['text', 'type']))"""
_OUTPUT = f"""CASE
  WHEN json_type(said) = 'ARRAY' AND len({_TEXTS}) = 1 THEN ({_TEXTS}[1] ->> '$.text')
  WHEN json_type(said) = 'ARRAY' AND len({_TEXTS}) = 0 AND json_array_length(said) > 0 THEN NULL
  WHEN json_type(said) = 'OBJECT' AND (said ->> '$.raw') IS NOT NULL THEN (said ->> '$.raw')
  ELSE (said ->> '$') END"""
# The parsed form of an answer in JSON says what its text says.
_SAYS_THE_SAME = f"""({_PLAIN} OR json_type(said) = 'VARCHAR'
  OR (json_type(said) = 'OBJECT' AND json_valid(said ->> '$.raw')
    AND TRY_CAST((said ->> '$.raw') AS JSON) = (said -> '$.parsed')))"""
_CALLS = f"""nullif(CAST(to_json(list_transform({_of_type(_BLOCKS, "tool_call")},
  lambda b: json_object('id', (b ->> '$.id'), 'type', 'function', 'function', json_object(
    'name', coalesce((b ->> '$.name'), (b ->> '$.raw_name')),
    'arguments', coalesce((b ->> '$.arguments'), (b ->> '$.raw_arguments'))))))
  AS VARCHAR), '[]')"""
_THOUGHTS = f"""nullif(array_to_string(
  list_transform({_of_type(_BLOCKS, "thought")}, lambda b: (b ->> '$.text')), E'\\n\\n'), '')"""
_TAGS = f"""list_concat(['function=' || (doc ->> '$.function_name')],
  CASE WHEN json_type(doc -> '$.tags') = 'OBJECT'
    THEN list_transform(json_keys(doc -> '$.tags'),
      lambda k: k || '=' ||
        coalesce(json_extract_string((doc -> '$.tags'), {json_pointer("k")}), ''))
    ELSE [] END)"""

_TAKEN = (
    "id", "episode_id", "variant_name", "input", "output", "inference_params", "processing_time_ms",
)  # fmt: skip
_INFERENCES = f"""
WITH kinds AS MATERIALIZED (SELECT *, {_KIND} AS kind FROM {RECORDS}),
-- Newer versions keep what was asked and said in a table of its own.
data AS (
  SELECT {at("id")} AS data_id, any_value(doc) AS data FROM kinds WHERE kind = 'data' GROUP BY 1
),
calls AS (
  SELECT {at("inference_id")} AS called_by, list(doc ORDER BY {at("id")}) AS called,
    sum(TRY_CAST({at("input_tokens")} AS BIGINT)) AS input_tokens,
    sum(TRY_CAST({at("output_tokens")} AS BIGINT)) AS output_tokens,
    sum(TRY_CAST({at("cost")} AS DOUBLE)) AS cost,
    arg_max({at("model_name")}, {at("id")}) AS model
  FROM kinds WHERE kind = 'call' GROUP BY 1
),
whole AS (
  SELECT {PART}, {ROW}, {RAW}, {_ID} AS id, called, input_tokens, output_tokens, cost, model,
    CASE WHEN data IS NULL THEN doc ELSE json_merge_patch(data, json_merge_patch('{{}}', doc)) END
      AS doc
  FROM kinds LEFT JOIN data ON {_ID} = data_id LEFT JOIN calls ON {_ID} = called_by
  WHERE kind = 'inference'
),
read AS (SELECT *, {_parsed(json_at("input"))} AS asked, {_parsed(json_at("output"))} AS said
  FROM whole)
SELECT {PART}, {ROW}, {RAW}, CAST(NULL AS VARCHAR) AS reason, id AS request_id,
  {_moment("id", at("timestamp"))} AS ts,
  -- Every inference is of a model, be it named in a table that was not exported with it or not.
  coalesce(model, {at("variant_name")}, 'unknown') AS model_version, model_version AS model,
  {at("variant_name")} AS cohort,
  nullif({at("inference_params")}, '{{}}') AS params,
  {at("episode_id")} AS trace_id,
  CASE WHEN json_type(asked -> '$.messages') = 'ARRAY' THEN {_MESSAGES} ELSE (asked ->> '$') END
    AS input,
  {_OUTPUT} AS output, {_THOUGHTS} AS reasoning, {_CALLS} AS tool_calls, {_TAGS} AS tags,
  CAST(input_tokens AS BIGINT) AS input_tokens, CAST(output_tokens AS BIGINT) AS output_tokens,
  cost, TRY_CAST({at("processing_time_ms")} AS DOUBLE) AS latency_ms,
  CAST(json_merge_patch(coalesce(CAST({rest(*_TAKEN)} AS JSON), '{{}}'), json_object(
    'inference_id', nullif({at("inference_id")}, id),
    'input', nullif(json_merge_patch(asked, '{{"messages": null, "system": null}}'), '{{}}'),
    'output', CASE WHEN NOT {_SAYS_THE_SAME} THEN said END,
    'model_inferences', called)) AS VARCHAR) AS metadata,
  'tensorzero' AS source_system
FROM read
UNION ALL BY NAME
SELECT {PART}, {ROW}, {RAW}, {at("id")} AS request_id,
  {_moment(at("id"), at("timestamp"))} AS ts,
  {at("model_name")} AS model_version, {at("model_name")} AS model,
  {at("inference_id")} AS parent_id, {at("input_messages")} AS input, {at("output")} AS output,
  TRY_CAST({at("input_tokens")} AS BIGINT) AS input_tokens,
  TRY_CAST({at("output_tokens")} AS BIGINT) AS output_tokens,
  TRY_CAST({at("cost")} AS DOUBLE) AS cost,
  TRY_CAST({at("response_time_ms")} AS DOUBLE) AS latency_ms,
  {
    rest(
        "id",
        "model_name",
        "inference_id",
        "input_messages",
        "output",
        "input_tokens",
        "output_tokens",
        "cost",
        "response_time_ms",
    )
} AS metadata,
  'tensorzero' AS source_system
FROM kinds WHERE kind = 'call' AND {at("inference_id")} NOT IN (SELECT id FROM whole)
UNION ALL BY NAME
SELECT {PART}, {ROW}, {RAW},
  CASE WHEN kind IS NULL THEN 'unknown_record' ELSE 'no_inference' END AS reason
FROM kinds
WHERE kind IS NULL OR (kind = 'data' AND {at("id")} NOT IN (SELECT id FROM whole))
"""

_EVENT_TAKES = ("id", "metric_name", "target_id", "inference_id", "value")
_TAG = """coalesce((doc ->> '$.tags."{}"'), '')"""
_FEEDBACK = f"""
WITH kinds AS (SELECT *, {_KIND} AS kind FROM {RECORDS}),
events AS (SELECT *, {_parsed(json_at("value"))} AS said FROM kinds
  WHERE kind IN ('metric', 'comment', 'demonstration') OR kind IS NULL)
SELECT {PART}, {ROW}, {RAW}, CASE WHEN kind IS NULL THEN 'unknown_record' END AS reason,
  {at("id")} AS feedback_id,
  {_moment(at("id"), at("timestamp"))} AS ts,
  CASE kind WHEN 'metric' THEN {at("metric_name")} ELSE kind END AS name,
  CASE WHEN kind = 'comment' THEN 'comment' WHEN kind = 'demonstration' THEN 'correction'
    WHEN json_type({json_at("value")}) = 'BOOLEAN' THEN 'binary' END AS kind,
  CASE WHEN kind IN ('metric', 'comment') THEN {at("value")} END AS value,
  CASE WHEN kind = 'demonstration' THEN {_OUTPUT} END AS corrected_output,
  CASE WHEN kind = 'demonstration' THEN {at("inference_id")}
    WHEN kind = 'metric' OR {at("target_type")} = 'inference' THEN {at("target_id")} END
    AS request_id,
  CASE WHEN {at("target_type")} = 'episode' THEN {at("target_id")} END AS trace_id,
  CASE WHEN {at("target_type")} = 'episode' THEN 'trace' ELSE 'inference' END AS scope,
  CASE WHEN {_TAG.format("tensorzero::human_feedback")} = 'true' THEN 'human'
    WHEN {_TAG.format("tensorzero::evaluator_inference_id")} <> '' THEN 'model' END AS rater_kind,
  {first(_TAG.format("tensorzero::evaluator_inference_id"), _TAG.format("tensorzero::author"))}
    AS rater_id,
  CAST(json_merge_patch(coalesce(CAST({rest(*_EVENT_TAKES)} AS JSON), '{{}}'),
    json_object('value', CASE WHEN kind = 'demonstration' AND NOT {_SAYS_THE_SAME} THEN said END))
    AS VARCHAR) AS metadata,
  'tensorzero' AS source_system
FROM events
"""
# A metric of an episode names it as if it were an inference.
_ALIASES = f"""
SELECT {PART}, {ROW}, {RAW}, {at("episode_id")} AS alias, {at("episode_id")} AS request_id
FROM {RECORDS} WHERE ({_KIND}) = 'inference' AND {at("episode_id")} IS NOT NULL
QUALIFY row_number() OVER (PARTITION BY {at("episode_id")} ORDER BY {_ID}) = 1
"""


def _holds(head: Head) -> frozenset[str]:
    keys = head.keys
    if {"function_name", "variant_name", "episode_id"} <= keys:
        return frozenset({"inferences", "aliases"})
    if {"model_name", "model_provider_name", "inference_id"} <= keys:
        return frozenset({"inferences"})
    if {"id", "input", "output"} <= keys and "inference_data" in head.path.name.lower():
        return frozenset({"inferences"})
    own = {"id", "value", "tags", "timestamp", "snapshot_hash"}
    metric = (
        {"id", "target_id", "metric_name", "value"} <= keys <= own | {"target_id", "metric_name"}
    )
    comment = (
        {"id", "target_id", "target_type", "value"} <= keys <= own | {"target_id", "target_type"}
    )
    demonstration = {"id", "inference_id", "value"} <= keys <= own | {"inference_id"}
    if metric or comment or demonstration:
        return frozenset({"feedback"})
    return frozenset()


importer = Importer(
    name="tensorzero",
    title="TensorZero",
    grows=True,
    stage=stager({"inferences": _INFERENCES, "feedback": _FEEDBACK, "aliases": _ALIASES}),
    holds=_holds,
)
