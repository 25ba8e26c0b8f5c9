"""MLflow: the tracking database itself, traces as JSON, and frames of ``mlflow.search_traces``.

A record is a trace with its spans and assessments, whichever way it left MLflow. Each span becomes
an inference, each assessment an event on its span or on the whole trace. An assessment that was
overridden is kept, and withdrawn by an event of its own, so that only the newest decides.
"""

from __future__ import annotations

from collections.abc import Iterator

import duckdb

from workbench import engine
from workbench.engine import literal
from workbench.importers import PART, RAW, ROW, Head, Importer
from workbench.importers._mlflow_traces import (
    DATABASES,
    TRACES,
    info_of,
    metadata_of,
    moment,
    plain,
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
#: Where the providers that MLflow traces put the texts of an answer.
_TEXTS = (
    "$.choices[*].message.content", "$.choices[*].text", "$.content[*].text",
    "$.message.content", "$.output[*].content[*].text", "$.generations[*][*].text",
    "$.candidates[*].content.parts[*].text",
)  # fmt: skip
_CALLS = "('LLM', 'CHAT_MODEL', 'EMBEDDING')"

# -- spans -----------------------------------------------------------------------------------------


def _span(*names: str) -> str:
    return first(*(at(*name.split("/"), doc="span") for name in names))


def _attribute(*keys: str) -> str:
    return at(*keys, doc="attributes")


# MLflow writes the value of an attribute as JSON within a text.
_ATTRIBUTES = f"""coalesce(CAST(map_from_entries(list_transform(
  map_entries(TRY_CAST({json_at("attributes", doc="span")} AS MAP(VARCHAR, VARCHAR))), lambda e:
  {{'k': e.key, 'v': CASE WHEN json_valid(e.value) THEN CAST(e.value AS JSON)
    ELSE to_json(e.value) END}})) AS JSON), {json_at("attributes", doc="span")})"""


def _texts() -> str:
    """SQL of the texts of an answer, by the first shape of `_TEXTS` that has any."""
    found = []
    for path in _TEXTS:
        value = f"json_extract_string(outputs, {literal(path)})"
        listed = value if "*" in path else f"[{value}]"
        found.append(f"nullif(list_filter({listed}, lambda t: t <> ''), [])")
    plain = "CASE json_type({0}) WHEN 'VARCHAR' THEN [{0} ->> '$'] END"
    own = (plain.format("outputs"), plain.format(json_at("content", doc="outputs")))
    return f"coalesce({', '.join([*own, *found])}, [])"


_SPANS = f"""
spans AS (
  SELECT *, {json_at("mlflow.spanInputs", doc="attributes")} AS inputs,
    {json_at("mlflow.spanOutputs", doc="attributes")} AS outputs,
    {first(_attribute("mlflow.spanType"), _span("span_type"))} AS type,
    row_number() OVER (PARTITION BY number ORDER BY parent_id IS NOT NULL, started, span_id) = 1
      AS is_root
  FROM (
    SELECT *, {hex_id(_span("span_id", "context/span_id"))} AS span_id,
      {hex_id(_span("parent_span_id", "parent_id"))} AS parent_id,
      {moment(_span("start_time_unix_nano", "start_time"), 1_000_000_000)} AS started,
      TRY_CAST({_span("start_time_unix_nano", "start_time")} AS HUGEINT) AS start_ns,
      TRY_CAST({_span("end_time_unix_nano", "end_time")} AS HUGEINT) AS end_ns,
      {_ATTRIBUTES} AS attributes
    FROM (SELECT * EXCLUDE (spans, assessments), unnest(CASE json_array_length(spans) > 0
      WHEN true THEN {elements("spans")} ELSE [NULL] END) AS span FROM traces)
  )
), calls AS (
  SELECT *, coalesce(type IN {_CALLS}, false) OR {_attribute("mlflow.llm.model")} IS NOT NULL
      AS is_call,
    CASE WHEN json_type({json_at("messages", doc="inputs")}) = 'ARRAY' THEN 'messages'
      WHEN json_type({json_at("prompt", doc="inputs")}) = 'VARCHAR' THEN 'prompt'
      WHEN json_type({json_at("input", doc="inputs")}) IN ('VARCHAR', 'ARRAY') THEN 'input'
      WHEN json_type({json_at("contents", doc="inputs")}) IN ('VARCHAR', 'ARRAY') THEN 'contents'
      END AS asked,
    CASE WHEN json_array_length(outputs, '$.choices') = 1 THEN outputs -> '$.choices[0]' END
      AS choice,
    {_texts()} AS texts
  FROM spans
), answers AS (
  SELECT *, coalesce({there("choice -> '$.message.tool_calls'")},
      {there("outputs -> '$.tool_calls'")},
      to_json(nullif(list_filter({elements(json_at("content", doc="outputs"))},
        lambda b: (b ->> '$.type') = 'tool_use'), []))) AS tools
  FROM calls
)"""
_ASKED = "(inputs -> ('$.' || asked))"
_WITHOUT_ASKED = "json_merge_patch(inputs, json_object(asked, NULL))"
_WITHOUT_ANSWER = """json_merge_patch(outputs, json_object('choices', [json_merge_patch(choice,
  '{"message": {"content": null, "tool_calls": null, "reasoning_content": null}}')]))"""
_SPAN_REST = rest(
    "attributes", "context", "span_id", "trace_id", "parent_span_id", "parent_id", "span_type",
    "events", "links", doc="span",
)  # fmt: skip
_EXPERIMENT = info_of("experiment_id", "trace_location/mlflow_experiment/experiment_id")
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
  {
    first(
        f"CASE WHEN is_call THEN {at('model', doc='outputs')} END",
        f"CASE WHEN is_call THEN {_attribute('gen_ai.response.model')} END",
        "model",
        metadata_of("mlflow.modelId", "mlflow.source.git.commit"),
        "'unknown'",
    )
} AS model_version,
  model,
  CASE WHEN is_call AND asked IS NOT NULL
    THEN nullif(CAST({_WITHOUT_ASKED} AS VARCHAR), '{{}}') END AS params,
  {first(metadata_of("mlflow.trace.user"), _attribute("user.id"))} AS user_id,
  {
    first(metadata_of("mlflow.trace.session"), info_of("session_id"), _attribute("session.id"))
} AS session_id,
  trace_id,
  parent_id,
  CASE WHEN span IS NULL THEN {
    first(info_of("request_preview", "request"), metadata_of("mlflow.traceInputs"))
}
    WHEN is_call AND asked IS NOT NULL THEN {plain(_ASKED)}
    ELSE {plain("inputs")} END AS input,
  CASE WHEN span IS NULL THEN {
    first(info_of("response_preview", "response"), metadata_of("mlflow.traceOutputs"))
}
    WHEN NOT is_call THEN {plain("outputs")}
    WHEN len(texts) = 1 THEN texts[1]
    WHEN len(texts) > 1 OR tools IS NULL THEN {plain("outputs")} END AS output,
  CASE WHEN is_call THEN choice ->> '$.message.reasoning_content' END AS reasoning,
  CASE WHEN is_call THEN CAST(tools AS VARCHAR) END AS tool_calls,
  CASE WHEN is_call THEN nullif(TRY_CAST(
    json_extract(choice, '$.logprobs.content[*].logprob') AS DOUBLE[]), []) END AS token_logprobs,
  CASE WHEN type = 'EMBEDDING' THEN coalesce(TRY_CAST(outputs AS FLOAT[]),
    CASE WHEN json_array_length(outputs, '$.data') = 1
      THEN TRY_CAST(outputs -> '$.data[0].embedding' AS FLOAT[]) END) END AS embedding,
  CASE WHEN type = 'RETRIEVER' AND json_array_length(outputs) > 0
    THEN list_transform({elements("outputs")}, lambda d: struct_pack(
      id := coalesce(d ->> '$.id', d ->> '$.metadata.chunk_id', d ->> '$.metadata.doc_uri'),
      "text" := d ->> '$.page_content', score := TRY_CAST(d ->> '$.metadata.score' AS DOUBLE)))
    END AS retrieved,
  CASE WHEN span IS NULL THEN TRY_CAST({
    info_of("execution_duration_ms", "execution_duration", "execution_time_ms")
} AS DOUBLE) ELSE (end_ns - start_ns) / 1e6 END AS latency_ms,
  TRY_CAST({_attribute("mlflow.chat.tokenUsage", "input_tokens")} AS BIGINT) AS input_tokens,
  TRY_CAST({_attribute("mlflow.chat.tokenUsage", "output_tokens")} AS BIGINT) AS output_tokens,
  TRY_CAST({_attribute("mlflow.llm.cost", "total_cost")} AS DOUBLE) AS cost,
  list_transform(list_filter(map_entries(TRY_CAST({json_at("tags", doc="info")} AS
    MAP(VARCHAR, VARCHAR))), lambda e: NOT starts_with(e.key, 'mlflow.') AND e.value IS NOT NULL),
    lambda e: e.key || '=' || e.value) AS tags,
  CAST(json_merge_patch(coalesce(CAST({_SPAN_REST} AS JSON), '{{}}'), json_object(
    'span_type', type,
    'events', CASE WHEN json_array_length(span, '$.events') > 0 THEN span -> '$.events' END,
    'links', CASE WHEN json_array_length(span, '$.links') > 0 THEN span -> '$.links' END,
    'attributes', CAST({
    rest("mlflow.spanInputs", "mlflow.spanOutputs", "mlflow.spanType", doc="attributes")
} AS JSON),
    'outputs', CASE WHEN is_call AND json_type(outputs) <> 'VARCHAR'
        AND (len(texts) = 1 OR len(texts) = 0 AND tools IS NOT NULL)
      THEN CASE WHEN choice IS NULL THEN outputs ELSE {_WITHOUT_ANSWER} END END,
    'experiment_id', {_EXPERIMENT},
    'lossy', CASE WHEN span IS NULL THEN true END,
    'trace', CASE WHEN is_root THEN json_merge_patch(info, json_object('assessments', NULL,
      'data', CAST({rest("spans", doc="(doc -> '$.data')")} AS JSON),
      'columns', CAST(others AS JSON))) END)) AS VARCHAR) AS metadata,
  'mlflow' AS source_system
FROM (
  SELECT *, CASE WHEN is_call THEN {
    first(
        _attribute("mlflow.llm.model"),
        at("model", doc="outputs"),
        at("model", doc="inputs"),
        _attribute("gen_ai.request.model"),
    )
} END
    AS model
  FROM answers
)
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
    'created', CASE WHEN updated > created THEN created END, 'experiment_id', {_EXPERIMENT}
    )) AS VARCHAR) AS metadata,
  'mlflow' AS source_system
FROM events
UNION ALL BY NAME
SELECT {PART}, {ROW}, CAST(said AS VARCHAR) AS {RAW},
  e.feedback_id || ':overridden' AS feedback_id, e.feedback_id AS retracts,
  request_id, trace_id, scope, coalesce(o.at, updated, created) AS ts, 'retraction' AS name,
  o.rater_id, o.rater_kind, user_id, session_id,
  CAST(json_object('valid', false, 'overridden_by', o.by, 'experiment_id', {_EXPERIMENT})
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
