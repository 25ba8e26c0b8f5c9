"""Phoenix and other stores of OpenInference: the database itself, frames of the client, JSON.

Every span becomes an inference. Annotations are feedback on the span, trace or session that they
were given to, whether they are records of their own or attributes of a span; a span that evaluates
another judges the one that it is linked to.
"""

from __future__ import annotations

from workbench.importers import PART, RAW, ROW, Head, Importer
from workbench.importers._attributes import (
    ABOUT,
    ANSWERS,
    COLUMNS,
    KNOWN,
    RESPONSE,
    VERDICTS,
    flat,
    packed,
    plain,
)
from workbench.importers._gen_ai import member, text
from workbench.importers._records import (
    RECORDS,
    at,
    elements,
    first,
    hex_id,
    json_at,
    since_epoch,
    stager,
)

# -- what stands in phoenix.db ---------------------------------------------------------------------

#: What is no JSON to SQLite stays a text.
_JSON = "CASE WHEN json_valid({0}) THEN json({0}) ELSE {0} END"


def _database_spans(cost: str, where: str = "") -> str:
    return f"""
SELECT json_object('id', 'Span:' || s.id, 'name', s.name,
  'context', json_object('trace_id', t.trace_id, 'span_id', s.span_id),
  'span_kind', s.span_kind, 'parent_id', s.parent_id,
  'start_time', s.start_time || '+00:00', 'end_time', s.end_time || '+00:00',
  'status_code', s.status_code, 'status_message', s.status_message,
  'attributes', {_JSON.format("s.attributes")}, 'events', {_JSON.format("s.events")},
  'project', p.name, 'session', e.session_id, 'cost', {cost})
FROM spans s JOIN traces t ON t.id = s.trace_rowid JOIN projects p ON p.id = t.project_rowid
LEFT JOIN project_sessions e ON e.id = t.project_session_rowid {where}"""


_COST = """json((
  SELECT json_object('total', c.total_cost, 'prompt', c.prompt_cost,
    'completion', c.completion_cost)
  FROM span_costs c WHERE c.span_rowid = s.id ORDER BY c.id LIMIT 1))"""


def _database_annotations(table: str, kind: str, target: str, more: str = "") -> str:
    return f"""
SELECT json_object('id', '{kind}:' || a.id, 'name', a.name, 'annotator_kind', a.annotator_kind,
  'result', json_object('label', a.label, 'score', a.score, 'explanation', a.explanation),
  'metadata', {_JSON.format("a.metadata")}, 'identifier', a.identifier, 'source', a.source,
  'user_id', 'User:' || a.user_id, 'created_at', a.created_at || '+00:00',
  'updated_at', a.updated_at || '+00:00', {target}{more}) FROM {table} a """


_SPAN = "'span_id', (SELECT s.span_id FROM spans s WHERE s.id = a.span_rowid)"
_TRACE = "'trace_id', (SELECT t.trace_id FROM traces t WHERE t.id = a.trace_rowid)"
_SESSION = """'session_id',
  (SELECT e.session_id FROM project_sessions e WHERE e.id = a.project_session_id)"""
_DATABASES = {
    "inferences": (
        _database_spans(_COST),
        # Older ones reckon no costs.
        _database_spans(
            "NULL", "WHERE NOT EXISTS (SELECT 1 FROM sqlite_master WHERE name = 'span_costs')"
        ),
    ),
    "feedback": (
        _database_spans("NULL", "WHERE s.attributes LIKE '%\"annotations\"%' "
                        "OR s.attributes LIKE '%\"evaluations\"%'"),
        _database_annotations("span_annotations", "SpanAnnotation", _SPAN),
        _database_annotations("trace_annotations", "TraceAnnotation", _TRACE),
        _database_annotations(
            "project_session_annotations", "ProjectSessionAnnotation", _SESSION),
        _database_annotations("document_annotations", "DocumentAnnotation", _SPAN,
                              ", 'document_position', a.document_position"),
    ),
}  # fmt: skip

# -- records, whichever way they left Phoenix ------------------------------------------------------


def _either(*paths: str, doc: str = "doc") -> str:
    """SQL of the first text of these paths with dots, nested or as names of columns."""
    return first(
        *(sql for path in paths for sql in {at(path, doc=doc): 0, at(*path.split("."), doc=doc): 0})
    )


def _without(*keys: str) -> str:
    return "'{" + ",".join(f'"{key}":null' for key in keys) + "}'"


_SPAN_ID = _either("context.span_id", "spanContext.spanId")
_JUDGED = _either("span_id", "trace_id", "session_id")
_NAMED = _either("annotation_name", "name")
# A page of the API is one record that holds several.
_RECORDS = f"""
documents AS MATERIALIZED (
  SELECT *, row_number() OVER () AS n, CASE
      WHEN {_SPAN_ID} IS NOT NULL THEN 'span'
      WHEN {_JUDGED} IS NOT NULL AND {_NAMED} IS NOT NULL AND {at("annotator_kind")} IS NOT NULL
      THEN 'annotation' ELSE 'unknown' END AS record
  FROM (
    SELECT {PART}, {ROW}, unnest(CASE WHEN json_type(doc -> '$.data') = 'ARRAY'
      THEN {elements("(doc -> '$.data')")} ELSE [doc] END) AS doc
    FROM {RECORDS})
)"""
_UNKNOWN = f"""
SELECT {PART}, {ROW}, CAST(doc AS VARCHAR) AS {RAW}, 'unknown_record' AS reason
FROM documents WHERE record = 'unknown'"""


def _moment(doc: str, *keys: str) -> str:
    """SQL of a time: a text, milliseconds, or the pair of seconds and nanoseconds of JavaScript."""
    parts = []
    for key in keys:
        value, pair = at(key, doc=doc), json_at(key, doc=doc)
        parts.append(
            f"CASE WHEN json_type({pair}) = 'ARRAY' THEN make_timestamptz(CAST("
            f"({pair} ->> 0)::HUGEINT * 1000000 + ({pair} ->> 1)::HUGEINT // 1000 AS BIGINT)) "
            f"WHEN regexp_full_match({value}, '\\d+') THEN {since_epoch(value, 1_000)} "
            f"ELSE TRY_CAST({value} AS TIMESTAMPTZ) END"
        )
    return f"coalesce({', '.join(parts)})"


def _id(*paths: str) -> str:
    """SQL of an id of a span or trace in hex, by what stands beside the attributes."""
    return hex_id(first(*(at(path, doc="s") for path in paths)))


_LEAVES = flat("(SELECT n, doc FROM documents WHERE record = 'span')", "['events', 'links']")
# A span with its attributes as columns, and what stands beside them, ``s``.
_READ = f"""{_RECORDS},
leaves AS MATERIALIZED ({_LEAVES}),
pairs AS MATERIALIZED (
  SELECT n, {plain("substr(key, 12)")} AS key, value FROM leaves
  WHERE starts_with(key, 'attributes.')
),
beside AS ({packed("(FROM leaves WHERE NOT starts_with(key, 'attributes.'))", "s")}),
{KNOWN},
known AS MATERIALIZED (
  SELECT *, {_moment("s", "start_time", "startTime")} AS started,
    {_moment("s", "end_time", "endTime")} AS ended,
    {_id("context.span_id", "spanContext.spanId")} AS span_id,
    {_id("context.trace_id", "spanContext.traceId")} AS trace_id,
    {_id("parent_id", "parentSpanId", "parentSpanContext.spanId")} AS parent_id,
    coalesce({at("span_kind", doc="s")}, {text("openinference.span.kind")}) AS kind,
    {first(text("session.id", "gen_ai.conversation.id"), at("session", doc="s"))} AS session
  FROM (
    SELECT *, CAST(NULL AS JSON) AS asked, CAST(NULL AS JSON) AS answered
    FROM documents JOIN beside USING (n) LEFT JOIN wide USING (n) LEFT JOIN lists USING (n))
)"""

_COLUMNS = COLUMNS | {
    "session_id": "session",
    "cost": f"coalesce({COLUMNS['cost']}, TRY_CAST({at('cost.total', doc='s')} AS DOUBLE))",
}
_TAKEN = ("context.span_id", "context.trace_id", "spanContext.spanId", "spanContext.traceId",
          "parent_id", "parentSpanId", "parentSpanContext.spanId", "start_time", "session",
          "cost.total", "__index_level_0__")  # fmt: skip

_INFERENCES = f"""
WITH {_READ}, {ANSWERS},
about AS ({ABOUT})
SELECT {PART}, {ROW}, CAST(doc AS VARCHAR) AS {RAW}, CAST(NULL AS VARCHAR) AS reason,
  span_id AS request_id, started AS ts, trace_id, parent_id,
  {", ".join(f"{sql} AS {name}" for name, sql in _COLUMNS.items())},
  (epoch_us(ended) - epoch_us(started)) / 1000 AS latency_ms,
  CAST(json_merge_patch(s, {_without(*_TAKEN)}, json_object(
    'attributes', coalesce(attributes, {json_at("attributes", doc="s")}),
    'response', {RESPONSE})) AS VARCHAR) AS metadata,
  'phoenix' AS source_system
FROM answers LEFT JOIN about USING (n)
UNION ALL BY NAME {_UNKNOWN}
"""

# -- annotations -----------------------------------------------------------------------------------

#: What an annotation and what an attribute of a span says of itself, and columns hold.
_OWN = ("annotation_name", "identifier", "span_id", "trace_id", "session_id",
        "result.score", "result.explanation", "result.label", "result", "score",
        "label", "explanation", "__index_level_0__")  # fmt: skip
_VERDICT = ("name", "score", "label", "explanation", "identifier")


#: An id that the API writes as base64 of what the database says.
_PLAIN_ID = (
    "CASE WHEN regexp_full_match(try(decode(from_base64({0}))), '[A-Za-z]+:\\d+') "
    "THEN try(decode(from_base64({0}))) ELSE {0} END"
)
_RESULT = json_at("result")
_OWN_VERDICTS = f"""
SELECT *,
  -- Phoenix counts whole seconds: what it dates to one happened by its end, and not before a call
  -- within it.
  stored + if(stored = date_trunc('second', stored), INTERVAL 999999 MICROSECOND,
    INTERVAL 0 MICROSECOND) AS ts,
  coalesce(id || '@' || strftime(stored, '%Y-%m-%dT%H:%M:%S.%fZ'), md5(CAST(doc AS VARCHAR)))
    AS feedback_id,
  CASE WHEN stored < max(stored) OVER (PARTITION BY id, span, trace, session, signal, identifier)
    THEN 'superseded' END AS reason,
  CASE WHEN span IS NOT NULL THEN 'inference' WHEN trace IS NOT NULL THEN 'trace'
    ELSE 'session' END AS scope,
  -- A verdict on one of several documents is no verdict on the call that found them.
  if(position IS NULL, signal, 'document.' || signal) AS name,
  -- Phoenix keeps one verdict per name, target and identifier, and overwrites it: where it does not
  -- say who judged, each of these is a rater, whose later verdict replaces the earlier.
  CASE WHEN position IS NOT NULL THEN concat_ws('#', coalesce(identifier, signal), position)
    WHEN annotator = 'HUMAN' THEN coalesce(user, identifier, id)
    ELSE coalesce(identifier, signal) END AS rater,
  CASE WHEN signal = 'note' AND noted THEN 'comment' END AS kind
FROM (
  SELECT {PART}, {ROW}, doc, {_PLAIN_ID.format(at("id"))} AS id, {_NAMED} AS signal,
    {_either("result.score", "score")} AS score, {_either("result.label", "label")} AS label,
    {_either("result.explanation", "explanation")} AS explanation,
    upper({at("annotator_kind")}) AS annotator,
    starts_with({at("identifier")}, 'px-') AS noted,
    CASE WHEN NOT noted THEN nullif({at("identifier")}, '') END AS identifier,
    {_PLAIN_ID.format(at("user_id"))} AS user, {hex_id(at("span_id"))} AS span,
    {hex_id(at("trace_id"))} AS trace, {at("session_id")} AS session,
    {at("document_position")} AS position, {_moment("doc", "updated_at", "created_at")} AS stored,
    json_merge_patch(doc, {_without(*_OWN)}, json_object('name',
        CASE WHEN {at("annotation_name")} IS NOT NULL THEN {at("name")} END),
      CASE WHEN json_type({_RESULT}) = 'OBJECT' THEN
        json_merge_patch({_RESULT}, {_without("score", "explanation", "label")}) ELSE '{{}}' END,
      json_object('identifier', CASE WHEN noted THEN {at("identifier")} END)) AS rest
  FROM documents WHERE record = 'annotation')
"""

_LINKS = elements(json_at("links"))
_WITHIN = " UNION ALL BY NAME ".join(
    f"SELECT *, unnest({elements(member(name + '[]'))}) AS v, '{scope}' AS scope FROM known"
    for scope, names in VERDICTS.items()
    for name in names
)
_LINKED = _either("context.span_id", "spanContext.spanId", "span_id", "spanId", doc="link")
_LINKED_TRACE = _either(
    "context.trace_id", "spanContext.traceId", "trace_id", "traceId", doc="link"
)
# A span that evaluates judges the one that it is linked to, not itself nor its parent.
_VERDICTS_WITHIN = f"""
SELECT * EXCLUDE (identifier),
  md5(concat_ws(' ', scope, span, trace, session, CAST(v AS VARCHAR))) AS feedback_id,
  CASE WHEN coalesce(span, trace, session) IS NOT NULL THEN NULL WHEN scope = 'session'
    THEN 'no_session' ELSE 'no_link' END AS reason,
  CASE annotator WHEN 'HUMAN' THEN identifier ELSE coalesce(identifier, name) END AS rater
FROM (
  SELECT {PART}, {ROW}, doc, v, scope, v ->> '$.name' AS name, v ->> '$.score' AS score,
    v ->> '$.label' AS label, v ->> '$.explanation' AS explanation,
    upper(v ->> '$.annotator_kind') AS annotator, nullif(v ->> '$.identifier', '') AS identifier,
    coalesce(ended, started) AS ts,
    CASE WHEN scope = 'inference' THEN if(judging, {hex_id(_LINKED)}, span_id) END AS span,
    CASE WHEN scope <> 'session' THEN if(judging, {hex_id(_LINKED_TRACE)}, trace_id) END AS trace,
    CASE WHEN scope = 'session' THEN session END AS session,
    json_merge_patch(v, {_without(*_VERDICT)}, json_object('span_id', if(judging, span_id, NULL)))
      AS rest
  FROM (
    SELECT *, coalesce(upper(kind) = 'EVALUATOR', false) AS judging,
      CASE WHEN len({_LINKS}) = 1 THEN {_LINKS}[1] END AS link
    FROM ({_WITHIN})))
"""

_FEEDBACK = f"""
WITH {_READ},
verdicts AS ({_OWN_VERDICTS} UNION ALL BY NAME {_VERDICTS_WITHIN})
SELECT {PART}, {ROW}, CAST(doc AS VARCHAR) AS {RAW}, reason, feedback_id,
  span AS request_id, trace AS trace_id, session AS session_id, scope, ts, name, kind,
  coalesce(score, label, explanation) AS value,
  CASE WHEN coalesce(score, label) IS NOT NULL THEN explanation END AS comment,
  CASE annotator WHEN 'HUMAN' THEN 'human' WHEN 'LLM' THEN 'model' WHEN 'CODE' THEN 'code' END
    AS rater_kind,
  rater AS rater_id,
  CAST(json_merge_patch('{{}}', rest, json_object('label', label)) AS VARCHAR) AS metadata,
  'phoenix' AS source_system
FROM verdicts
UNION ALL BY NAME {_UNKNOWN}
"""


def _holds(head: Head) -> frozenset[str]:
    keys = head.keys
    if head.kind == "sqlite":
        ours = {"spans", "traces", "projects", "span_annotations"} <= keys
        return frozenset({"inferences", "feedback"}) if ours else frozenset()
    page = head.row.get("data")
    if isinstance(page, list) and page and isinstance(page[0], dict):
        keys = frozenset(page[0])
    if "annotator_kind" in keys and keys & {"span_id", "trace_id", "session_id"}:
        return frozenset({"feedback"})
    if "context.span_id" in keys:
        judged = any(key.endswith((".annotations", ".evaluations")) for key in keys)
        return frozenset({"inferences", "feedback"} if judged else {"inferences"})
    if "attributes" in keys and ("spanContext" in keys or {"context", "span_kind"} <= keys):
        return frozenset({"inferences", "feedback"})
    return frozenset()


importer = Importer(
    name="phoenix",
    title="Phoenix / OpenInference",
    grows=False,
    stage=stager({"inferences": _INFERENCES, "feedback": _FEEDBACK}, _DATABASES),
    holds=_holds,
    again=True,
)
