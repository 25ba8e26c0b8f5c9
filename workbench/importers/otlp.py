"""Traces and logs of OpenTelemetry: files of the Collector, of SDKs, of ``workbench receive``.

Every span is an inference; spans that call no model have no ``model``. What was said may stand in
attributes, in events of the span, or in log records of its id. Results of evaluations are feedback,
and ids of responses are second names of calls.
"""

from __future__ import annotations

from workbench.importers import PART, RAW, ROW, Head, Importer
from workbench.importers import _gen_ai as gen_ai
from workbench.importers._gen_ai import member, text
from workbench.importers._otlp import (
    NANOS,
    READ,
    has,
    hex_of,
    json_of,
    lists,
    names,
    rest_of,
    text_of,
    value_of,
    wide,
)
from workbench.importers._records import RECORDS, elements, rest, since_epoch, stager

_EVALUATION = "gen_ai.evaluation.result"

# -- inferences ------------------------------------------------------------------------------------

_CONTENT = gen_ai.parsed(member("gen_ai.event.content", "(event -> '$.attributes')"))
_SAID = f"""
wide AS ({wide(gen_ai.KEYS)}),
lists AS ({lists(gen_ai.LISTS)}),
messages AS (
  SELECT n, place, name = 'gen_ai.choice' AS came, json_merge_patch(
    json_object('role', if(came, 'assistant', split_part(name, '.', 2))),
    json_merge_patch(event -> '$.attributes',
      '{{"gen_ai.system":null,"gen_ai.event.content":null,"event.name":null}}'),
    coalesce({_CONTENT}, '{{}}'),
    CASE WHEN json_type(event -> '$.body') = 'OBJECT' THEN event -> '$.body' ELSE '{{}}' END)
    AS message
  FROM happened WHERE name IN {names(gen_ai.MESSAGES)}
),
said AS (
  SELECT n, to_json(list(message ORDER BY place) FILTER (NOT came)) AS asked,
    to_json(list(message ORDER BY place) FILTER (came)) AS answered
  FROM messages GROUP BY n
)
"""

_DOCUMENTS = elements(f"coalesce({', '.join(member(f'{key}[]') for key in gen_ai.DOCUMENTS)})")
_EMBEDDINGS = member(f"{gen_ai.EMBEDDINGS}[]")
_SYSTEM = gen_ai.parsed(member(gen_ai.SYSTEM))
_SYSTEM_MESSAGE = f"json_array(json_object('role', 'system', 'parts', {_SYSTEM}))"
_TAGS = elements(gen_ai.parsed(f"coalesce({', '.join(member(key) for key in gen_ai.TAGS)})"))
_CALLS = elements("(o -> '$.tool_calls')")
_STATUS = value_of("status", "span")
_OWN = rest_of("span", "traceId", "spanId", "parentSpanId", "startTimeUnixNano", "attributes",
               "events", "links")  # fmt: skip


def _taken(place: str) -> str:
    """SQL of whether a pair is what stood at a place."""
    within = f"right({place}, 2) = '[]' AND starts_with(key, replace({place}, '[]', '.'))"
    return f"coalesce(key = {place} OR ({within}), false)"


_SPANS = f"""
valued AS (
  SELECT *, {gen_ai.parsed(gen_ai.GIVEN)} AS given, {gen_ai.GIVEN_AT} AS given_at,
    {gen_ai.parsed(gen_ai.CAME)} AS came, {gen_ai.CAME_AT} AS came_at,
    CASE WHEN json_array_length({_EMBEDDINGS}) = 1 THEN {_EMBEDDINGS} -> '$[0].embedding' END
      AS embedded
  FROM spans LEFT JOIN wide USING (n) LEFT JOIN lists USING (n) LEFT JOIN said USING (n)
),
spoken AS (
  SELECT *,
    CASE WHEN {gen_ai.is_messages("given")} THEN list_concat(
      CASE WHEN {_SYSTEM} IS NOT NULL THEN {gen_ai.messages(_SYSTEM_MESSAGE)} ELSE [] END,
      {gen_ai.messages("given")}) END AS ins,
    CASE WHEN {gen_ai.is_messages("came")} THEN {gen_ai.messages("came")} END AS outs
  FROM valued
),
-- Where the answer is one text, that is the output, and the rest of its message is kept beside it.
answers AS MATERIALIZED (
  SELECT *, {gen_ai.parts_of("outs", "reasoning", "thinking")} AS thoughts,
    {gen_ai.parts_of("outs", "text")} AS texts,
    list_concat(
      flatten(list_transform(outs, lambda o: list_transform({_CALLS},
        lambda t: coalesce(t -> '$.tool_call', t)))),
      {gen_ai.parts_of("outs", "tool_call", "tool_use", "tool-call")}) AS calls,
    CASE WHEN len(outs) = 1 AND json_type(outs[1] -> '$.content') = 'VARCHAR'
      THEN outs[1] ->> '$.content'
      WHEN len(outs) = 1 AND len(texts) = 1 THEN {gen_ai.part_text("texts[1]")} END AS answer,
    coalesce(len(outs) = 1 AND json_type(outs[1] -> '$.content') = 'NULL', false) AS silent
  FROM spoken
),
about AS (
  SELECT n, '{{' || string_agg(to_json(key) || ':' || value, ',' ORDER BY key) || '}}' AS attributes
  FROM pairs JOIN (SELECT n, given_at, came_at, ins, embedded FROM answers) USING (n)
  WHERE NOT {_taken("given_at")} AND NOT {_taken("came_at")}
    AND NOT (ins IS NOT NULL AND key = '{gen_ai.SYSTEM}')
    AND NOT (embedded IS NOT NULL AND key = '{gen_ai.EMBEDDINGS}.0.embedding.vector')
    AND NOT regexp_full_match(key, 'retrieval\\.documents\\.\\d+\\.document\\.(id|content|score)')
  GROUP BY n
),
beside AS (
  SELECT n, to_json(list(CASE WHEN name IN {names(gen_ai.CARRIERS)}
      OR name IN {names(gen_ai.MESSAGES)}
      AND coalesce(if(name = 'gen_ai.choice', came_at, given_at) = 'events', false)
    THEN json_merge_patch(event, '{{"attributes":null,"body":null}}') ELSE event END
    ORDER BY place)) AS events
  FROM happened JOIN (SELECT n, given_at, came_at FROM answers) USING (n)
  GROUP BY n
)
"""

_ROWS = f"""
SELECT {PART}, {ROW}, CAST(span AS VARCHAR) AS {RAW}, CAST(NULL AS VARCHAR) AS reason,
  span_id AS request_id, started AS ts, trace_id, parent_id, {text(*gen_ai.MODEL)} AS model,
  coalesce({text(*gen_ai.MODEL)}, resource ->> '$.attributes."service.version"', 'unknown')
    AS model_version,
  coalesce(request, {text(*gen_ai.PARAMS)}) AS params,
  {text(*gen_ai.USER)} AS user_id, {text(*gen_ai.SESSION)} AS session_id,
  coalesce(CAST(to_json(ins) AS VARCHAR), given ->> '$', embedded ->> '$.text') AS input,
  CASE WHEN answer IS NOT NULL THEN answer
    WHEN NOT silent THEN coalesce(CAST(to_json(outs) AS VARCHAR), came ->> '$') END AS output,
  list_aggregate(list_transform(thoughts, lambda p: {gen_ai.part_text("p")}), 'string_agg', E'\\n')
    AS reasoning,
  CASE WHEN len(calls) > 0 THEN CAST(to_json(calls) AS VARCHAR) END AS tool_calls,
  nullif(list_transform({_DOCUMENTS}, lambda d: struct_pack(id := d ->> '$.document.id',
    text := d ->> '$.document.content', score := TRY_CAST(d ->> '$.document.score' AS DOUBLE))), [])
    AS retrieved,
  CAST(embedded -> '$.vector' AS VARCHAR) AS embedding,
  {text(*gen_ai.INPUT_TOKENS)} AS input_tokens, {text(*gen_ai.OUTPUT_TOKENS)} AS output_tokens,
  {text(*gen_ai.COST)} AS cost,
  (TRY_CAST({text_of("endTimeUnixNano", "span")} AS HUGEINT)
    - TRY_CAST({text_of("startTimeUnixNano", "span")} AS HUGEINT)) / 1000000 AS latency_ms,
  nullif(list_transform({_TAGS}, lambda t: t ->> '$'), []) AS tags,
  CAST(json_merge_patch({_OWN}, json_object('attributes', attributes::JSON, 'resource', resource,
    'scope', scope, 'events', events, 'links', {value_of("links", "span")},
    'error', CASE WHEN ({_STATUS} ->> '$.code') IN ('2', 'STATUS_CODE_ERROR')
      THEN coalesce({_STATUS} ->> '$.message', {text("error.type")}, 'error') END,
    'response', CASE WHEN answer IS NULL AND NOT silent THEN NULL
      WHEN json_type(outs[1] -> '$.content') = 'ARRAY' THEN outs[1]
      ELSE json_merge_patch(outs[1], '{{"role":null,"content":null}}') END)) AS VARCHAR)
    AS metadata,
  'otlp' AS source_system
FROM answers LEFT JOIN about USING (n) LEFT JOIN beside USING (n)
"""

_REFUSED = f"""
SELECT {PART}, {ROW},
  CAST(json_object('resource', resource, 'scope', scope, 'logRecord', log) AS VARCHAR) AS {RAW},
  if(name IN {names(gen_ai.SAID)}, 'no_span', 'unknown_record') AS reason
FROM logs LEFT JOIN (SELECT DISTINCT trace_id, span_id, true AS found FROM own_spans)
  USING (trace_id, span_id)
WHERE name IS NULL OR NOT (name IN ('{_EVALUATION}', '{gen_ai.DETAILS}')
  OR (name IN {names(gen_ai.SAID)} AND found IS NOT NULL))
UNION ALL BY NAME
SELECT {PART}, {ROW}, {RAW},
  if({has("resourceMetrics", "doc")}, 'metrics', 'unknown_record') AS reason
FROM {RECORDS} ANTI JOIN (
  SELECT {PART}, {ROW} FROM own_spans UNION ALL SELECT {PART}, {ROW} FROM logs
) USING ({PART}, {ROW})
"""

_INFERENCES = f"""
WITH {READ}, {_SAID}, {_SPANS}
{_ROWS} UNION ALL BY NAME {_REFUSED}
"""

# -- feedback --------------------------------------------------------------------------------------

#: Lists of verdicts among the numbered attributes of OpenInference: name, wrapper, what is judged.
_VERDICTS = (
    ("annotations", "annotation", "inference"),
    ("evaluations", "evaluation", "inference"),
    ("trace.annotations", "annotation", "trace"),
)
_KEYS = (*gen_ai.RESPONSE, "gen_ai.evaluation.name", "openinference.span.kind")
_LINKS = elements(value_of("links", "span"))
_JUDGING = f"""
wide AS ({wide(_KEYS)}),
lists AS ({lists([family for family, _, _ in _VERDICTS])}),
judging AS MATERIALIZED (
  SELECT *, {text(*gen_ai.RESPONSE)} AS response, {text_of("endTimeUnixNano", "span")} AS ended,
    {text("gen_ai.evaluation.name")} IS NOT NULL AS evaluates,
    -- A span that evaluates judges the one span that it is linked to, not itself nor its parent.
    CASE WHEN len({_LINKS}) = 1 AND (evaluates OR {text("openinference.span.kind")} = 'EVALUATOR')
      THEN {_LINKS}[1] END AS link
  FROM spans LEFT JOIN wide USING (n) LEFT JOIN lists USING (n)
)
"""
_ANNOTATED = " UNION ALL BY NAME ".join(
    f"SELECT {PART}, {ROW}, n, unnest({elements(member(f'{family}[]'))}) -> '$.{wrapper}' AS v, "
    f"'{level}' AS level, ended AS time FROM judging"
    for family, wrapper, level in _VERDICTS
)
_NAME = f"coalesce({text('gen_ai.evaluation.name', doc='v')}, v ->> '$.name')"
_SCORE = f"coalesce({text('gen_ai.evaluation.score.value', doc='v')}, v ->> '$.score')"
_LABEL = f"coalesce({text('gen_ai.evaluation.score.label', doc='v')}, v ->> '$.label')"
_WHY = f"coalesce({text('gen_ai.evaluation.explanation', doc='v')}, v ->> '$.explanation')"
_TOLD = rest("gen_ai.evaluation.name", "gen_ai.evaluation.score.value",
             "gen_ai.evaluation.explanation", "name", "score", "explanation", doc="v")  # fmt: skip
_LOGGED = rest_of("l.log", "attributes", "timeUnixNano", "observedTimeUnixNano", "traceId",
                  "spanId", "body")  # fmt: skip

_FEEDBACK = f"""
WITH {READ}, {_JUDGING},
verdicts AS (
  SELECT {PART}, {ROW}, n, event -> '$.attributes' AS v, event ->> '$.time' AS time,
    {rest_of("event", "attributes", "time")} AS beside
  FROM happened JOIN judging USING (n) WHERE name = '{_EVALUATION}'
  UNION ALL BY NAME
  SELECT {PART}, {ROW}, n, {json_of("own")} AS v, ended AS time FROM judging WHERE evaluates
  UNION ALL BY NAME
  {_ANNOTATED}
  UNION ALL BY NAME
  SELECT l.{PART}, l.{ROW}, s.n, l.attributes AS v, l.time,
    {text_of("observedTimeUnixNano", "l.log")} AS stored, true AS logged, l.trace_id, l.span_id,
    l.resource, l.scope, json_merge_patch({_LOGGED}, json_object('body', l.body)) AS beside
  FROM logs l LEFT JOIN own_spans s USING (trace_id, span_id) WHERE name = '{_EVALUATION}'
),
targeted AS (
  SELECT v.* EXCLUDE (trace_id, span_id, resource, scope),
    coalesce(v.span_id, j.span_id) AS span_id, coalesce(v.resource, j.resource) AS resource,
    coalesce(v.scope, j.scope) AS library,
    coalesce({hex_of("traceId", "link")}, v.trace_id, j.trace_id) AS trace_id,
    {text(*gen_ai.RESPONSE, doc="v")} AS judged,
    CASE WHEN level = 'trace' THEN NULL
      WHEN link IS NOT NULL THEN {hex_of("spanId", "link")}
      -- The response that is named goes before a span that is known not to have given it.
      WHEN judged <> coalesce(j.response, '') AND (j.n IS NOT NULL OR v.span_id IS NULL) THEN judged
      WHEN evaluates AND logged IS NULL THEN coalesce(j.parent_id, j.span_id)
      ELSE coalesce(v.span_id, j.span_id) END AS request_id
  FROM verdicts v LEFT JOIN judging j USING (n)
)
SELECT {PART}, {ROW}, CAST(v AS VARCHAR) AS {RAW},
  coalesce({text("log.record.uid", doc="v")},
    md5(concat_ws(' ', trace_id, span_id, level, time, CAST(v AS VARCHAR)))) AS feedback_id,
  request_id, trace_id, {text(*gen_ai.SESSION, doc="v")} AS session_id,
  {text(*gen_ai.USER, doc="v")} AS user_id,
  CASE WHEN request_id IS NOT NULL THEN 'inference' WHEN trace_id IS NOT NULL THEN 'trace'
    ELSE 'session' END AS scope,
  {since_epoch("time", NANOS)} AS ts, {since_epoch("stored", NANOS)} AS received_at,
  {_NAME} AS name, coalesce({_SCORE}, {_LABEL}) AS value, {_WHY} AS comment,
  CASE upper(v ->> '$.annotator_kind') WHEN 'HUMAN' THEN 'human' WHEN 'LLM' THEN 'model'
    WHEN 'CODE' THEN 'code' END AS rater_kind,
  CAST(json_merge_patch(coalesce(beside, '{{}}'), json_object('attributes', {_TOLD}::JSON,
    'resource', resource, 'scope', library, 'span_id', nullif(span_id, request_id))) AS VARCHAR)
    AS metadata,
  'otlp' AS source_system
FROM targeted
"""

# Of spans around each other that all name the response, the innermost made it.
_ALIASES = f"""
WITH {READ}, {_JUDGING}
SELECT {PART}, {ROW}, CAST(span AS VARCHAR) AS {RAW}, response AS alias, span_id AS request_id
FROM judging WHERE response IS NOT NULL AND NOT evaluates
QUALIFY row_number() OVER (PARTITION BY response ORDER BY started DESC, span_id) = 1
"""


def _holds(head: Head) -> frozenset[str]:
    signals = {"resourceSpans", "resource_spans", "resourceLogs", "resource_logs",
               "resourceMetrics", "resource_metrics"}  # fmt: skip
    ours = head.kind == "json" and bool(signals & head.keys)
    return frozenset({"inferences", "feedback", "aliases"}) if ours else frozenset()


importer = Importer(
    name="otlp",
    title="OpenTelemetry",
    grows=True,
    stage=stager({"inferences": _INFERENCES, "feedback": _FEEDBACK, "aliases": _ALIASES}),
    holds=_holds,
)
