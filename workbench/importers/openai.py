"""Logs of APIs in OpenAI's style: chat completions, completions, responses, embeddings, batches.

A record is a request with its response, or a response alone. The lines that were sent as a batch,
read together with those that came back, tell what was asked.
"""

from __future__ import annotations

from workbench.importers import PART, RAW, ROW, Head, Importer
from workbench.importers._gen_ai import messages, parsed
from workbench.importers._records import RECORDS, at, elements, first, rest, stager

_REQUESTS = ("request", "request_body", "kwargs")
_RESPONSES = ("response", "response_body", "completion")
_ASKED = ("messages", "input", "prompt")
_ANSWERED = ("choices", "output")
_TIMES = ("ts", "timestamp", "time", "request_time", "start_time", "created_at", "created")
_OWN = ("request_id", "user_id", "session_id", "trace_id", "latency_ms", "cost")
_CALLS = ("chat.completion", "text_completion", "response")


def _any(doc: str, keys: tuple[str, ...]) -> str:
    """SQL of the first of these members of a document; of a JSON text what it says."""
    return parsed("coalesce(" + ", ".join(f"nullif({doc} -> '$.{k}', 'null')" for k in keys) + ")")


def _listed(doc: str, name: str) -> str:
    return elements(f"({doc} -> '$.{name}')")


# One row per call. What was sent as a batch and what came back have a name in common; pages of
# stored completions hold many calls.
_NAMED = f"""
listed AS (
  SELECT {PART}, {ROW}, {RAW}, unnest(CASE WHEN (doc ->> '$.data[0].object') IN {_CALLS}
    THEN {_listed("doc", "data")} ELSE [doc] END) AS doc
  FROM {RECORDS}
),
sent AS (
  -- Another batch may have used the same name for something else: then nothing tells which it was.
  SELECT {at("custom_id")} AS custom_id, any_value(doc -> '$.body') AS body
  FROM {RECORDS} WHERE custom_id IS NOT NULL
  GROUP BY ALL HAVING count(doc -> '$.body') = 1 AND count(*) <= 2
),
paired AS (
  SELECT {PART}, {ROW}, {RAW}, doc, {_any("doc", _REQUESTS)} AS asked,
    {_any("doc", _RESPONSES)} AS came, body
  FROM listed LEFT JOIN sent ON {at("custom_id")} = sent.custom_id
),
calls AS (
  SELECT {PART}, {ROW}, {RAW}, doc,
    CASE WHEN (asked -> '$.body') IS NOT NULL THEN {rest("body", doc="asked")}::JSON END AS sent_as,
    CASE WHEN (came -> '$.body') IS NOT NULL THEN {rest("body", doc="came")}::JSON END AS came_as,
    coalesce(asked -> '$.body', asked, body,
      CASE WHEN {_any("doc", _ASKED)} IS NOT NULL THEN doc END) AS q,
    coalesce({parsed("(came -> '$.body')")}, came,
      CASE WHEN {_any("doc", _ANSWERED)} IS NOT NULL THEN doc END) AS r,
    coalesce(nullif(came -> '$.error', 'null'), nullif(came -> '$.body.error', 'null'),
      nullif(doc -> '$.error', 'null')) AS error
  FROM paired
),
named AS (
  SELECT *, {first(at("request_id"), at("id", doc="r"), at("custom_id"), at("id"))} AS request_id,
    r -> '$.choices[0]' AS choice, r -> '$.choices[0].message' AS message,
    {_listed("r", "output")} AS items
  FROM calls
)
"""

_PARTS = f"flatten(list_transform(items, lambda i: {_listed('i', 'content')}))"
_TEXTS = (
    f"list_filter({_PARTS}, lambda p: (p ->> '$.type') IN ('output_text', 'refusal'))",
    "coalesce(p ->> '$.text', p ->> '$.refusal')",
)
_THOUGHTS = (
    f"flatten(list_transform(items, lambda i: {_listed('i', 'summary')}))",
    "p ->> '$.text'",
)
_MADE = "list_filter(items, lambda i: (i ->> '$.type') LIKE '%_call')"
_TOKENS = (
    f"list_concat({_listed('choice', 'logprobs.content')}, "
    f"flatten(list_transform({_PARTS}, lambda p: {_listed('p', 'logprobs')})))"
)


def _joined(listed: tuple[str, str], between: str) -> str:
    """SQL of the texts of a list's elements one after the other; NULL for none."""
    parts, text = listed
    texts = f"list_transform({parts}, lambda p: {text})"
    return f"list_aggregate({texts}, 'string_agg', {between})"


# What is left of the response: of choices and items all but the texts and calls that columns take.
_BARE_CHOICE = (
    '{"text":null,"message":{"content":null,"tool_calls":null,"reasoning_content":null,'
    '"reasoning":null}}'
)
_BARE_ITEMS = (
    f"list_transform(list_filter(items, lambda i: NOT (i ->> '$.type') LIKE '%_call'), lambda i: "
    "json_merge_patch(i, CASE WHEN json_type(i -> '$.content') = 'ARRAY' THEN json_object("
    f"'content', list_transform({_listed('i', 'content')}, "
    """lambda p: json_merge_patch(p, '{"text":null}'))) ELSE '{}' END))"""
)
_LEFT = f"""json_merge_patch(
  {rest("choices", "output", *_ASKED, *_REQUESTS, "instructions", *_OWN, doc="r")}::JSON,
  json_object('choices', CASE WHEN choice IS NOT NULL THEN list_prepend(
      json_merge_patch(choice, '{_BARE_CHOICE}'), {_listed("r", "choices")}[2:]) END,
    'output', nullif({_BARE_ITEMS}, [])))"""

_INPUT = f"""CASE
  WHEN json_type(q -> '$.messages') = 'ARRAY'
    THEN CAST(to_json({messages("(q -> '$.messages')")}) AS VARCHAR)
  WHEN {at("instructions", doc="q")} IS NOT NULL THEN CAST(to_json(list_prepend(
    json_object('role', 'system', 'content', q -> '$.instructions'),
    CASE json_type(q -> '$.input') WHEN 'ARRAY' THEN {_listed("q", "input")}
      ELSE [json_object('role', 'user', 'content', q -> '$.input')] END)) AS VARCHAR)
  ELSE coalesce(q ->> '$.input', q ->> '$.prompt') END"""

# The Python client asks for embeddings as base64 of little-endian floats.
_WORDS = """list_transform(
  regexp_extract_all(hex(TRY(from_base64(r ->> '$.data[0].embedding'))), '.{8}'),
  lambda h: CAST('0x' || h[7:8] || h[5:6] || h[3:4] || h[1:2] AS BIGINT))"""
_FLOATS = f"""list_transform({_WORDS}, lambda u: CAST(
  if(u >= 2147483648, -1, 1) * CASE (u >> 23) & 255
  WHEN 255 THEN NULL WHEN 0 THEN (u & 8388607) * 2.0 ** -149
  ELSE ((u & 8388607) + 8388608) * 2.0 ** (((u >> 23) & 255) - 150) END AS FLOAT))"""

_INFERENCES = f"""
WITH {_NAMED}
SELECT {PART}, {ROW}, {RAW},
  CASE WHEN r IS NULL AND error IS NULL
    THEN if(coalesce(q, doc -> '$.body') IS NULL, 'unknown_record', 'no_response') END AS reason,
  request_id, coalesce({", ".join(at(name) for name in _TIMES)}, {at("created", doc="r")},
    {at("created_at", doc="r")}) AS ts,
  {first(at("model", doc="q"), at("model", doc="r"))} AS model,
  {first(at("model", doc="r"), at("model", doc="q"), "'unknown'")} AS model_version,
  CASE WHEN q <> coalesce(r, '{{}}')
    THEN {rest(*_ASKED, "model", "instructions", "user", *_REQUESTS, *_RESPONSES, doc="q")} END
    AS params,
  {first(at("user_id"), at("user", doc="q"))} AS user_id,
  {first(at("session_id"), at("conversation", "id", doc="r"))} AS session_id,
  {at("trace_id")} AS trace_id,
  {_INPUT} AS input,
  coalesce(message ->> '$.content', message ->> '$.refusal', choice ->> '$.text',
    {_joined(_TEXTS, "''")}) AS output,
  coalesce(message ->> '$.reasoning_content', message ->> '$.reasoning',
    {_joined(_THOUGHTS, "chr(10)")}) AS reasoning,
  CAST(coalesce(nullif(message -> '$.tool_calls', '[]'), nullif(to_json({_MADE}), '[]'),
    nullif(json_array(message -> '$.function_call'), '[null]')) AS VARCHAR) AS tool_calls,
  CAST(to_json(coalesce(nullif(list_transform({_TOKENS}, lambda t: t -> '$.logprob'), []),
    nullif(list_filter({_listed("choice", "logprobs.token_logprobs")}, lambda p: p <> 'null'), [])))
    AS VARCHAR) AS token_logprobs,
  CASE WHEN json_array_length(r -> '$.data') = 1 THEN CASE json_type(r -> '$.data[0].embedding')
    WHEN 'ARRAY' THEN r ->> '$.data[0].embedding'
    WHEN 'VARCHAR' THEN CAST(to_json({_FLOATS}) AS VARCHAR) END END AS embedding,
  coalesce(r ->> '$.usage.prompt_tokens', r ->> '$.usage.input_tokens') AS input_tokens,
  coalesce(r ->> '$.usage.completion_tokens', r ->> '$.usage.output_tokens') AS output_tokens,
  {at("cost")} AS cost, {at("latency_ms")} AS latency_ms,
  CAST(json_merge_patch('{{}}', json_object('record', CASE WHEN doc <> coalesce(r, '{{}}')
      THEN {rest(*_REQUESTS, *_RESPONSES, *_OWN, doc="doc")}::JSON END,
    'error', error, 'request_http', sent_as, 'response_http', came_as, 'response', {_LEFT}))
    AS VARCHAR) AS metadata,
  'openai' AS source_system
FROM named
"""

# The name in a batch, and the id of the record or of the response where another one is the key.
_ALIASES = f"""
WITH {_NAMED}
SELECT {PART}, {ROW}, {RAW}, alias, request_id FROM (
  SELECT *, unnest(list_distinct([{at("custom_id")}, {at("id")}, {at("id", doc="r")}])) AS alias
  FROM named WHERE r IS NOT NULL OR error IS NOT NULL
) WHERE alias <> request_id
"""


def _holds(head: Head) -> frozenset[str]:
    row = head.row
    page = isinstance(row.get("data"), list) and row["data"] and isinstance(row["data"][0], dict)
    ours = (
        row.get("object") in _CALLS
        or (page and row["data"][0].get("object") in _CALLS)
        or ("custom_id" in row and bool({"body", "response"} & row.keys()))
        or (isinstance(row.get("choices"), list) and "model" in row)
        or any(
            _is_request(row.get(asked)) and came in row
            for asked in _REQUESTS
            for came in (*_RESPONSES, "error")
        )
    )
    ours = ours and head.kind == "json"
    return frozenset({"inferences", "aliases"}) if ours else frozenset()


def _is_request(value: object) -> bool:
    """Whether a value is what is sent to an API of this style."""
    body = value.get("body", value) if isinstance(value, dict) else value
    return isinstance(body, dict) and bool(set(_ASKED) & body.keys())


importer = Importer(
    name="openai",
    title="OpenAI-style APIs",
    grows=True,
    stage=stager({"inferences": _INFERENCES, "aliases": _ALIASES}),
    holds=_holds,
)
