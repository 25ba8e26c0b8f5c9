"""Traces and logs of OpenTelemetry: files of the Collector, of SDKs, of ``workbench receive``.

Every span is an inference; spans that call no model have no ``model``. What was said may stand in
attributes, in events of the span, or in log records of its id. Results of evaluations are feedback,
and ids of responses are second names of calls.
"""

from __future__ import annotations

from workbench.importers import PART, RAW, ROW, Head, Importer
from workbench.importers import _gen_ai as gen_ai
from workbench.importers._attributes import (
    ABOUT,
    ANSWERS,
    COLUMNS,
    KNOWN,
    RESPONSE,
    VERDICTS,
    plain,
)
from workbench.importers._gen_ai import member, text
from workbench.importers._otlp import (
    LOGS,
    NANOS,
    SPANS,
    events,
    has,
    hex_of,
    json_of,
    lists,
    members,
    names,
    rest_of,
    text_of,
    value_of,
    wide,
)
from workbench.importers._records import RECORDS, elements, rest, since_epoch, stager

_EVALUATION = "gen_ai.evaluation.result"

# Spans with all that was said of them: ``happened`` are their events, and the records of logs that
# carry messages. Of an attribute that stands in several places, the span's own counts.
_READ = f"""
logs AS MATERIALIZED ({LOGS}),
own_spans AS MATERIALIZED ({SPANS}),
-- A call that was logged, but of which no span is there, is known by its log record alone.
spans AS (
  SELECT * FROM own_spans
  UNION ALL BY NAME
  SELECT * EXCLUDE (n, log, name, attributes, body, time, span_id), -n AS n,
    json_merge_patch({rest_of("log", "attributes", "spanId", "traceId")},
      json_object('name', name)) AS span,
    coalesce(span_id, {text("gen_ai.response.id", doc="attributes")}) AS span_id,
    {since_epoch("time", NANOS)} AS started
  FROM logs ANTI JOIN own_spans USING (trace_id, span_id) WHERE name = '{gen_ai.DETAILS}'
),
happened AS MATERIALIZED (
  SELECT *, event ->> '$.name' AS name FROM (
    SELECT n, unnest(events) AS event, generate_subscripts(events, 1) AS place
    FROM (SELECT n, {events("span")} AS events FROM own_spans)
    UNION ALL BY NAME
    SELECT s.n, 1000000 + l.n AS place, json_merge_patch(
      {rest_of("l.log", "attributes", "body", "spanId", "traceId", "timeUnixNano", "eventName")},
      json_object('name', l.name, 'time', l.time, 'attributes', l.attributes, 'body', l.body))
      AS event
    FROM logs l JOIN own_spans s USING (trace_id, span_id) WHERE l.name IN {names(gen_ai.SAID)}
  )
),
pairs AS MATERIALIZED (
  SELECT n, {plain("p.key")} AS key, p.value AS value FROM (
    SELECT n, 0 AS place, unnest(own) AS p FROM spans
    UNION ALL
    SELECT n, place, unnest({members("(event -> '$.attributes')")}) FROM happened
    WHERE name IN {names(gen_ai.CARRIERS)}
  )
  QUALIFY row_number() OVER (PARTITION BY n, key ORDER BY place) = 1
)
"""

# -- inferences ------------------------------------------------------------------------------------

_CONTENT = gen_ai.parsed(member("gen_ai.event.content", "(event -> '$.attributes')"))
_SAID = f"""
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
),
known AS (
  SELECT * FROM spans LEFT JOIN wide USING (n) LEFT JOIN lists USING (n) LEFT JOIN said USING (n)
)
"""

_BESIDE = f"""
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

_STATUS = value_of("status", "span")
_OWN = rest_of("span", "traceId", "spanId", "parentSpanId", "startTimeUnixNano", "attributes",
               "events", "links")  # fmt: skip
_COLUMNS = COLUMNS | {
    "model_version": f"coalesce(nullif({COLUMNS['model_version']}, 'unknown'), "
    "resource ->> '$.attributes.\"service.version\"', 'unknown')"
}
_ROWS = f"""
SELECT {PART}, {ROW}, CAST(span AS VARCHAR) AS {RAW}, CAST(NULL AS VARCHAR) AS reason,
  span_id AS request_id, started AS ts, trace_id, parent_id,
  {", ".join(f"{sql} AS {name}" for name, sql in _COLUMNS.items())},
  (TRY_CAST({text_of("endTimeUnixNano", "span")} AS HUGEINT)
    - TRY_CAST({text_of("startTimeUnixNano", "span")} AS HUGEINT)) / 1000000 AS latency_ms,
  CAST(json_merge_patch({_OWN}, json_object('attributes', attributes, 'resource', resource,
    'scope', scope, 'events', events, 'links', {value_of("links", "span")},
    'error', CASE WHEN ({_STATUS} ->> '$.code') IN ('2', 'STATUS_CODE_ERROR')
      THEN coalesce({_STATUS} ->> '$.message', {text("error.type")}, 'error') END,
    'response', {RESPONSE})) AS VARCHAR) AS metadata,
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
WITH {_READ}, {KNOWN}, {_SAID}, {ANSWERS}, about AS ({ABOUT}), {_BESIDE}
{_ROWS} UNION ALL BY NAME {_REFUSED}
"""

# -- feedback --------------------------------------------------------------------------------------

_FAMILIES = [family for families in VERDICTS.values() for family in families]
_KEYS = (*gen_ai.RESPONSE, *gen_ai.SESSION, "gen_ai.evaluation.name", "openinference.span.kind")
_LINKS = elements(value_of("links", "span"))
_JUDGING = f"""
wide AS ({wide(_KEYS)}),
lists AS ({lists(_FAMILIES)}),
judging AS MATERIALIZED (
  SELECT *, {text(*gen_ai.RESPONSE)} AS response, {text(*gen_ai.SESSION)} AS session,
    {text_of("endTimeUnixNano", "span")} AS ended,
    {text("gen_ai.evaluation.name")} IS NOT NULL AS evaluates,
    -- A span that evaluates judges the one span that it is linked to, not itself nor its parent.
    CASE WHEN len({_LINKS}) = 1 AND (evaluates OR {text("openinference.span.kind")} = 'EVALUATOR')
      THEN {_LINKS}[1] END AS link
  FROM spans LEFT JOIN wide USING (n) LEFT JOIN lists USING (n)
)
"""
_ANNOTATED = " UNION ALL BY NAME ".join(
    f"SELECT {PART}, {ROW}, n, unnest({elements(member(f'{family}[]'))}) AS v, "
    f"'{level}' AS level, ended AS time FROM judging"
    for level, families in VERDICTS.items()
    for family in families
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
WITH {_READ}, {_JUDGING},
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
    {text(*gen_ai.RESPONSE, doc="v")} AS judged, session,
    CASE WHEN level <> 'inference' THEN NULL
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
  request_id, trace_id, coalesce({text(*gen_ai.SESSION, doc="v")},
    CASE WHEN level = 'session' THEN session END) AS session_id,
  {text(*gen_ai.USER, doc="v")} AS user_id,
  CASE WHEN request_id IS NOT NULL THEN 'inference'
    WHEN trace_id IS NULL OR level = 'session' THEN 'session' ELSE 'trace' END AS scope,
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
WITH {_READ}, {_JUDGING}
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
