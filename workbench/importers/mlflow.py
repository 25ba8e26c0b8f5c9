"""MLflow: the tracking database itself, traces as JSON, and frames of ``mlflow.search_traces``.

A record is a trace with its spans and assessments, whichever way it left MLflow. Each span becomes
an inference, each assessment an event on its span or on the whole trace. An assessment that was
overridden is kept, and withdrawn by an event of its own, so that only the newest decides.
"""

from __future__ import annotations

from collections.abc import Iterator

import duckdb

from workbench import engine
from workbench.engine import identifier
from workbench.importers import PART, RAW, ROW, Head, Importer
from workbench.importers._mlflow_traces import (
    DATABASES,
    EXPERIMENT,
    TRACES,
    info_of,
    metadata_of,
    moment,
    plain,
    shaped,
    texts_of,
    there,
)
from workbench.importers._records import (
    at,
    elements,
    first,
    hex_id,
    json_at,
    rest,
    stager,
)

#: Expectations that say what the answer should have been; the others judge something else.
CORRECTIONS = ("expected_response", "expected_output", "expected_answer")
_CALLS = "('LLM', 'CHAT_MODEL', 'EMBEDDING')"

# -- spans -----------------------------------------------------------------------------------------


def _span(*names: str) -> str:
    return first(*(f"s.{name}" for name in names))


def _decoded(text: str) -> str:
    """SQL of an attribute's value, which MLflow writes as JSON within a text."""
    return f"CASE WHEN json_valid({text}) THEN CAST({text} AS JSON) ELSE to_json({text}) END"


def _attribute(key: str, path: str = "$") -> str:
    """SQL of an attribute, or of a value within it, as text."""
    return f"({_decoded('a.' + identifier(key))} ->> '{path}')"


_INPUTS, _OUTPUTS, _TYPE = "mlflow.spanInputs", "mlflow.spanOutputs", "mlflow.spanType"
_OTHER_ATTRIBUTES = f"""coalesce(CAST(map_from_entries(list_transform(list_filter(
  map_entries(TRY_CAST(s.attributes AS MAP(VARCHAR, VARCHAR))),
  lambda e: e.value IS NOT NULL AND e.key NOT IN {(_INPUTS, _OUTPUTS, _TYPE)}),
  lambda e: {{'k': e.key, 'v': {_decoded("e.value")}}})) AS JSON), s.attributes)"""
_SPAN = {
    **texts_of("span_id", "parent_span_id", "parent_id", "start_time_unix_nano", "start_time",
               "end_time_unix_nano", "end_time", "span_type", "name",
               "status_code", "status_message"),
    "context": texts_of("span_id"),
    **dict.fromkeys(("attributes", "events", "links", "status"), "JSON"),
}  # fmt: skip
_KNOWN = texts_of(
    _INPUTS, _OUTPUTS, _TYPE, "mlflow.llm.model", "mlflow.chat.tokenUsage", "mlflow.llm.cost",
    "user.id", "session.id", "gen_ai.request.model", "gen_ai.response.model",
)  # fmt: skip
_ASKED = {**texts_of("model", "modelId"),
          **dict.fromkeys(("messages", "prompt", "input", "contents"), "JSON")}  # fmt: skip
_ANSWERED = {
    **texts_of("model"),
    **dict.fromkeys(("content", "output", "tool_calls", "data"), "JSON"),
    "message": texts_of("content"),
    "choices": [
        {
            "message": {**texts_of("content", "reasoning_content"), "tool_calls": "JSON"},
            **texts_of("text"),
            "logprobs": {"content": [texts_of("logprob")]},
        }
    ],
    "generations": [[texts_of("text")]],
    "candidates": [{"content": {"parts": [texts_of("text")]}}],
}


def _texts() -> str:
    """SQL of the texts of an answer, by the first shape of a provider that has any."""
    shapes = (
        "CASE WHEN starts_with(outputs, '\"') THEN [outputs ->> '$'] END",
        "CASE WHEN starts_with(o.content, '\"') THEN [o.content ->> '$'] END",
        "list_transform(o.choices, lambda c: coalesce(c.message.content, c.text))",
        "[o.message.content]",
        "json_extract_string(o.content, '$[*].text')",
        "json_extract_string(o.output, '$[*].content[*].text')",
        "json_extract_string(o.output, '$.message.content[*].text')",
        "list_transform(flatten(o.generations), lambda g: g.text)",
        "flatten(list_transform(o.candidates, lambda c: "
        "list_transform(c.content.parts, lambda p: p.text)))",
    )
    found = (f"nullif(list_filter({shape}, lambda t: t <> ''), [])" for shape in shapes)
    return f"coalesce({', '.join(found)}, [])"


_SPANS = f"""
listed AS (
  -- What is said of a whole trace stands beside its first span that has no parent.
  SELECT *, coalesce(list_position(list_transform(spans, lambda s:
    coalesce(s ->> '$.parent_span_id', s ->> '$.parent_id', '') = ''), true), 1) AS root
  FROM (SELECT * EXCLUDE (spans, assessments), CASE json_array_length(spans) > 0
    WHEN true THEN {elements("spans")} ELSE [CAST(NULL AS JSON)] END AS spans FROM traces)
), spans AS (
  SELECT *, {hex_id(_span("span_id", "context.span_id"))} AS span_id,
    {hex_id(_span("parent_span_id", "parent_id"))} AS parent_id,
    {moment(_span("start_time_unix_nano", "start_time"), 1_000_000_000)} AS started,
    TRY_CAST({_span("start_time_unix_nano", "start_time")} AS HUGEINT) AS start_ns,
    TRY_CAST({_span("end_time_unix_nano", "end_time")} AS HUGEINT) AS end_ns,
    {_OTHER_ATTRIBUTES} AS attributes, {shaped("s.attributes", _KNOWN)} AS a
  FROM (
    SELECT *, {shaped("span", _SPAN)} AS s
    FROM (SELECT * EXCLUDE (spans), unnest(spans) AS span,
      generate_subscripts(spans, 1) = root AS is_root FROM listed)
  )
), calls AS (
  SELECT *, coalesce(type IN {_CALLS}, false) OR {_attribute("mlflow.llm.model")} IS NOT NULL
      AS is_call,
    {shaped("inputs", _ASKED)} AS q, {shaped("outputs", _ANSWERED)} AS o
  FROM (
    SELECT *, {_decoded("a." + identifier(_INPUTS))} AS inputs,
      {_decoded("a." + identifier(_OUTPUTS))} AS outputs,
      {first(_attribute(_TYPE), "s.span_type")} AS type
    FROM spans
  )
), answers AS (
  SELECT *,
    CASE WHEN starts_with(q.messages, '[') THEN 'messages'
      WHEN starts_with(q.prompt, '"') THEN 'prompt'
      WHEN left(q.input, 1) IN ('"', '[') THEN 'input'
      WHEN left(q.contents, 1) IN ('"', '[') THEN 'contents' END AS asked,
    CASE WHEN len(o.choices) = 1 THEN o.choices[1] END AS choice,
    {_texts()} AS texts,
    coalesce({there("o.choices[1].message.tool_calls")}, {there("o.tool_calls")},
      to_json(nullif(list_filter({elements("o.content")},
        lambda b: (b ->> '$.type') = 'tool_use'), []))) AS tools
  FROM calls
)"""
_QUESTION = """CASE asked WHEN 'messages' THEN q.messages WHEN 'prompt' THEN q.prompt
  WHEN 'input' THEN q.input ELSE q.contents END"""
_WITHOUT_ASKED = "json_merge_patch(inputs, json_object(asked, NULL))"
_WITHOUT_ANSWER = """json_merge_patch(outputs, json_object('choices', [json_merge_patch(
  outputs -> '$.choices[0]',
  '{"message": {"content": null, "tool_calls": null, "reasoning_content": null}}')]))"""
_SPAN_KEYS = (*_SPAN, "trace_id")
# A span of a known shape, as almost all are, is not parsed once more.
_SPAN_REST = f"""CASE WHEN len(list_filter(json_keys(span), lambda k: k NOT IN {_SPAN_KEYS})) > 0
  THEN CAST({rest(*_SPAN_KEYS, doc="span")} AS JSON) END"""
_MODEL = first(_attribute("mlflow.llm.model"), "o.model", "q.model", 'q."modelId"',
               _attribute("gen_ai.request.model"))  # fmt: skip
_VERSION = first(
    "CASE WHEN is_call THEN o.model END", _attribute("gen_ai.response.model"), "model",
    metadata_of("mlflow.modelId", "mlflow.source.git.commit"), "'unknown'",
)  # fmt: skip
_USER = first(metadata_of("mlflow.trace.user"), _attribute("user.id"))
_SESSION = first(metadata_of("mlflow.trace.session"), info_of("session_id"),
                 _attribute("session.id"))  # fmt: skip
_ASKED_BRIEFLY = first(info_of("request_preview", "request"), metadata_of("mlflow.traceInputs"))
_SAID_BRIEFLY = first(info_of("response_preview", "response"), metadata_of("mlflow.traceOutputs"))
_LATENCY = info_of("execution_duration_ms", "execution_duration", "execution_time_ms")
_INFERENCES = f"""
WITH {TRACES}, {_SPANS}
SELECT {PART}, {ROW},
  CASE WHEN trace_id IS NULL OR span IS NULL THEN {RAW} ELSE CAST(span AS VARCHAR) END AS {RAW},
  CASE WHEN trace_id IS NULL OR (span IS NOT NULL AND (span_id IS NULL OR started IS NULL))
      THEN 'unknown_record'
    WHEN span IS NOT NULL AND end_ns IS NULL THEN 'in_progress'
    WHEN span IS NULL AND {info_of("state", "status")} = 'IN_PROGRESS' THEN 'in_progress'
    END AS reason,
  coalesce(span_id, trace_id) AS request_id,
  coalesce(started, {moment(info_of("request_time", "timestamp_ms"), 1_000)}) AS ts,
  {_VERSION} AS model_version,
  model,
  CASE WHEN is_call AND asked IS NOT NULL
    THEN nullif(CAST({_WITHOUT_ASKED} AS VARCHAR), '{{}}') END AS params,
  {_USER} AS user_id,
  {_SESSION} AS session_id,
  trace_id,
  parent_id,
  CASE WHEN span IS NULL THEN {_ASKED_BRIEFLY}
    WHEN is_call AND asked IS NOT NULL THEN {plain("question")}
    ELSE {plain("inputs")} END AS input,
  CASE WHEN span IS NULL THEN {_SAID_BRIEFLY}
    WHEN NOT is_call THEN {plain("outputs")}
    WHEN len(texts) = 1 THEN texts[1]
    WHEN len(texts) > 1 OR tools IS NULL THEN {plain("outputs")} END AS output,
  CASE WHEN is_call THEN choice.message.reasoning_content END AS reasoning,
  CASE WHEN is_call THEN CAST(tools AS VARCHAR) END AS tool_calls,
  CASE WHEN is_call THEN nullif(list_transform(choice.logprobs.content,
    lambda t: TRY_CAST(t.logprob AS DOUBLE)), []) END AS token_logprobs,
  CASE WHEN type = 'EMBEDDING' THEN coalesce(TRY_CAST(outputs AS FLOAT[]),
    CASE WHEN json_array_length(o.data) = 1
      THEN TRY_CAST(o.data -> '$[0].embedding' AS FLOAT[]) END) END AS embedding,
  CASE WHEN type = 'RETRIEVER' AND json_array_length(outputs) > 0
    THEN list_transform({elements("outputs")}, lambda d: struct_pack(
      id := coalesce(d ->> '$.id', d ->> '$.metadata.chunk_id', d ->> '$.metadata.doc_uri'),
      "text" := d ->> '$.page_content', score := TRY_CAST(d ->> '$.metadata.score' AS DOUBLE)))
    END AS retrieved,
  CASE WHEN span IS NULL THEN TRY_CAST({_LATENCY} AS DOUBLE)
    ELSE (end_ns - start_ns) / 1e6 END AS latency_ms,
  TRY_CAST({_attribute("mlflow.chat.tokenUsage", "$.input_tokens")} AS BIGINT) AS input_tokens,
  TRY_CAST({_attribute("mlflow.chat.tokenUsage", "$.output_tokens")} AS BIGINT) AS output_tokens,
  TRY_CAST({_attribute("mlflow.llm.cost", "$.total_cost")} AS DOUBLE) AS cost,
  list_transform(list_filter(map_entries(TRY_CAST(i.tags AS
    MAP(VARCHAR, VARCHAR))), lambda e: NOT starts_with(e.key, 'mlflow.') AND e.value IS NOT NULL),
    lambda e: e.key || '=' || e.value) AS tags,
  CAST(json_merge_patch(coalesce({_SPAN_REST}, '{{}}'), json_object(
    'name', s.name, 'span_type', type, 'status', s.status, 'status_code', s.status_code,
    'status_message', s.status_message, 'end_time_unix_nano', CAST(end_ns AS BIGINT),
    'events', nullif(s.events, '[]'), 'links', nullif(s.links, '[]'),
    'attributes', nullif(attributes, '{{}}'),
    'outputs', CASE WHEN is_call AND json_type(outputs) <> 'VARCHAR'
        AND (len(texts) = 1 OR len(texts) = 0 AND tools IS NOT NULL)
      THEN CASE WHEN choice IS NULL THEN outputs ELSE {_WITHOUT_ANSWER} END END,
    'experiment_id', {EXPERIMENT},
    'lossy', CASE WHEN span IS NULL THEN true END,
    'trace', CASE WHEN is_root THEN json_merge_patch(info, json_object('assessments', NULL,
      'data', CAST(data AS JSON),
      'columns', CAST(others AS JSON))) END)) AS VARCHAR) AS metadata,
  'mlflow' AS source_system
FROM (SELECT *, {_QUESTION} AS question, CASE WHEN is_call THEN {_MODEL} END AS model FROM answers)
"""

# -- assessments -----------------------------------------------------------------------------------


def _said(*names: str) -> str:
    return first(*(at(*name.split("/"), doc="said") for name in names))


# Structured expectations are JSON within a text.
_SERIALIZED = at("expectation", "serialized_value", "value", doc="said")
_JUDGED_VALUE = f"""coalesce({
    ", ".join(
        there(json_at(*keys, doc="said"))
        for keys in (("feedback", "value"), ("expectation", "value"), ("issue", "issue_name"))
    )
},
  CASE WHEN json_valid({_SERIALIZED}) THEN CAST({_SERIALIZED} AS JSON) END)"""
_ASSESSMENTS = f"""
assessments AS (
  SELECT *, coalesce({_said("assessment_id")}, md5(CAST(said AS VARCHAR))) AS id,
    {_said("assessment_name", "name")} AS name,
    {_JUDGED_VALUE} AS judged,
    {there(json_at("feedback", "error", doc="said"))} AS error,
    CASE WHEN json_type({json_at("expectation", doc="said")}) = 'OBJECT' THEN 'expectation'
      WHEN json_type({json_at("issue", doc="said")}) = 'OBJECT' THEN 'issue'
      WHEN json_type({json_at("feedback", doc="said")}) = 'OBJECT' THEN 'feedback' END AS type,
    {hex_id(_said("span_id"))} AS request_id,
    {moment(_said("create_time", "create_time_ms"), 1_000)} AS created,
    {moment(_said("last_update_time", "last_update_time_ms"), 1_000)} AS updated,
    upper({_said("source/source_type")}) AS source_type,
    {_said("source/source_id")} AS source_id
  FROM (SELECT * EXCLUDE (spans, assessments), unnest(CASE WHEN trace_id IS NULL
    THEN [NULL] ELSE assessments END) AS said FROM traces)
), events AS (
  SELECT *, CASE WHEN updated > created THEN id || '@' || epoch_ms(updated) ELSE id END
      AS feedback_id,
    CASE WHEN request_id IS NULL THEN 'trace' ELSE 'inference' END AS scope,
    CASE source_type WHEN 'HUMAN' THEN 'human' WHEN 'LLM_JUDGE' THEN 'model'
      WHEN 'AI_JUDGE' THEN 'model' WHEN 'CODE' THEN 'code' END AS rater_kind,
    -- People who did not say who they are are not one person.
    CASE WHEN source_type <> 'HUMAN' OR source_id <> 'default' THEN source_id END AS rater_id,
    {metadata_of("mlflow.trace.user")} AS user_id,
    {first(metadata_of("mlflow.trace.session"), info_of("session_id"))} AS session_id,
    CASE WHEN trace_id IS NULL OR name IS NULL OR type IS NULL THEN 'unknown_record'
      WHEN judged IS NULL AND error IS NOT NULL THEN 'judge_error'
      WHEN judged IS NULL AND {_said("rationale")} IS NULL THEN 'missing_value'
      WHEN updated < max(updated) OVER (PARTITION BY id) THEN 'superseded' END AS reason
  FROM assessments
), overriding AS (
  SELECT number, {_said("overrides")} AS target, min(created) AS at, min(id) AS by,
    min(rater_id) AS rater_id, min(rater_kind) AS rater_kind
  FROM events WHERE {_said("overrides")} IS NOT NULL GROUP BY ALL
)"""
_SAID_REST = rest(
    "assessment_id", "assessment_name", "name", "span_id", "create_time", "create_time_ms",
    "last_update_time", "last_update_time_ms", "feedback", "expectation", "issue", "rationale",
    "valid", doc="said",
)  # fmt: skip
_FEEDBACK = f"""
WITH {TRACES}, {_ASSESSMENTS}
SELECT {PART}, {ROW},
  CASE WHEN said IS NULL THEN {RAW} ELSE CAST(said AS VARCHAR) END AS {RAW},
  reason,
  CASE WHEN reason IN ('judge_error', 'missing_value') THEN 'value' END AS field,
  feedback_id, request_id, trace_id, scope,
  coalesce(updated, created) AS ts,
  CASE type WHEN 'issue' THEN 'issue' ELSE name END AS name,
  CASE WHEN type = 'expectation' AND name IN {CORRECTIONS} THEN 'correction'
    -- What a part of the answer should have been says nothing about how good the answer was.
    WHEN type = 'expectation' THEN 'outcome'
    WHEN judged IS NULL THEN 'comment'
    WHEN type = 'feedback' AND json_type(judged) = 'BOOLEAN' THEN 'binary' END AS kind,
  CASE WHEN judged IS NULL THEN {_said("rationale")}
    WHEN type <> 'expectation' THEN {plain("judged")} END AS value,
  CASE WHEN type = 'expectation' THEN {plain("judged")} END AS corrected_output,
  CAST(NULL AS VARCHAR) AS retracts,
  {_said("rationale")} AS comment,
  rater_id, rater_kind, user_id, session_id,
  CAST(json_merge_patch(coalesce(CAST({_SAID_REST} AS JSON), '{{}}'), json_object(
    'assessment_type', type, 'error', error, 'serialization_format',
      {at("expectation", "serialized_value", "serialization_format", doc="said")},
    'issue_id', CASE type WHEN 'issue' THEN name END,
    'created', CASE WHEN updated > created THEN created END, 'experiment_id', {EXPERIMENT}
    )) AS VARCHAR) AS metadata,
  'mlflow' AS source_system
FROM events
UNION ALL BY NAME
SELECT {PART}, {ROW}, CAST(said AS VARCHAR) AS {RAW},
  e.feedback_id || ':overridden' AS feedback_id, e.feedback_id AS retracts,
  request_id, trace_id, scope, coalesce(o.at, updated, created) AS ts, 'retraction' AS name,
  o.rater_id, o.rater_kind, user_id, session_id,
  CAST(json_object('valid', false, 'overridden_by', o.by, 'experiment_id', {EXPERIMENT})
    AS VARCHAR) AS metadata,
  'mlflow' AS source_system
FROM events e LEFT JOIN overriding o ON e.number = o.number AND e.id = o.target
WHERE reason IS NULL AND (o.target IS NOT NULL OR {_said("valid")} = 'false')
"""
# What an application calls a trace is what its own feedback calls it.
_ALIASES = f"""
WITH {TRACES}
SELECT {PART}, {ROW}, {RAW}, alias, trace_id AS request_id
FROM (SELECT *, unnest([given_id, {info_of("client_request_id")}]) AS alias FROM traces)
WHERE alias <> trace_id
"""

# -- importer --------------------------------------------------------------------------------------


def _holds(head: Head) -> frozenset[str]:
    """Tell an export by its keys: a database, a frame, a trace, or a page of traces."""
    keys = head.keys
    if head.kind == "sqlite":
        ours = {"trace_info", "trace_tags"} <= keys
        judged = not ours or "assessments" in keys
        return frozenset(_QUERIES if judged else {"inferences", "aliases"}) if ours else frozenset()
    if isinstance(pages := head.row.get("traces"), list) and pages:
        keys = frozenset(pages[0]) if isinstance(pages[0], dict) else frozenset()
        info = pages[0].get("info") if keys else None
    else:
        info = head.row.get("info")
    trace = isinstance(info, dict) and bool({"trace_id", "request_id"} & info.keys())
    frame = any(
        names <= keys
        for names in (
            {"trace_id", "trace"},
            {"trace_id", "request_time", "trace_metadata"},
            {"trace_id", "request_time", "trace_location"},
            {"request_id", "timestamp_ms", "request_metadata"},
        )
    )
    return frozenset(_QUERIES) if trace or frame else frozenset()


def _notes(connection: duckdb.DuckDBPyConnection, table: str) -> Iterator[str]:
    if table != "inferences":
        return
    lossy = engine.scalar(
        connection, "SELECT count(*) FROM vendor_rows WHERE metadata ->> '$.lossy' = 'true'"
    )
    if lossy:
        yield (
            f"{lossy:,} traces come without their spans, as one row each with shortened texts: "
            "export them with mlflow.search_traces"
        )


_QUERIES = {"inferences": _INFERENCES, "feedback": _FEEDBACK, "aliases": _ALIASES}

importer = Importer(
    name="mlflow",
    title="MLflow",
    grows=False,
    again=True,
    stage=stager(_QUERIES, DATABASES, notes=_notes),
    holds=_holds,
)
