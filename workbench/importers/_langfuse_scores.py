"""The feedback in Langfuse's exports: scores, corrections, comments, and means of scores."""

from __future__ import annotations

from workbench.engine import literal
from workbench.importers import PART, RAW, ROW
from workbench.importers._langfuse_items import (
    NOT_SCORES,
    STRUCTURE,
    as_json,
    items,
    metadata,
    moment,
    of,
    spellings,
)
from workbench.importers._langfuse_messages import with_messages
from workbench.importers._records import elements

# A score judges an observation, a trace or a session; that of an experiment judges no call.
_ABOUT = as_json("subject")
_SUBJECT = f"json_extract_string({_ABOUT}, '$.id')"


def _subject(kind: str) -> str:
    return f"CASE WHEN json_extract_string({_ABOUT}, '$.kind') = '{kind}' THEN {_SUBJECT} END"


def _object(kind: str) -> str:
    return f"CASE WHEN {of('object_type')} = '{kind}' THEN {of('object_id')} END"


_OBSERVATION = f"""coalesce({of("observation_id")}, {_subject("observation")},
  {_object("OBSERVATION")})"""
_TRACE = f"""coalesce({of("trace_id")}, {_subject("trace")}, {_object("TRACE")},
  json_extract_string({_ABOUT}, '$.traceId'))"""
_SESSION = f"coalesce({of('session_id')}, {_subject('session')}, {_object('SESSION')})"
_TYPE = f"upper({of('data_type')})"
_NUMBER, _STRING = of("value"), of("string_value")
_LONG = f"coalesce({of('long_string_value')}, {_STRING})"
# Of categories and texts the number means nothing: it is 0 where no scale is configured.
_BY_TEXT = f"coalesce({_TYPE} IN ('CATEGORICAL', 'TEXT', 'CORRECTION'), false)"
_CORRECTED = f"CASE WHEN {_TYPE} = 'CORRECTION' THEN coalesce({_LONG}, {_NUMBER}) END"
_VALUE = f"""CASE WHEN {_TYPE} = 'CORRECTION' THEN NULL WHEN {_BY_TEXT}
  THEN coalesce({_LONG}, {_NUMBER}) ELSE coalesce({_NUMBER}, {_STRING}) END"""
_UNUSED = {
    "value": f"CASE WHEN {_BY_TEXT} AND {_LONG} IS NOT NULL THEN {_NUMBER} END",
    "string_value": f"CASE WHEN {_STRING} <> {_VALUE} THEN {_STRING} END",
    "corrected": "CAST(corrected_left AS JSON)",
}
_SCORE_TAKES = (
    "id", "trace_id", "observation_id", "session_id", "user_id", "timestamp", "name", "value",
    "string_value", "long_string_value", "comment", "author_user_id",
)  # fmt: skip
_UPDATED = moment("updated_at")
_VERSIONED = (
    f"concat_ws('@', {of('id')}, strftime({_UPDATED} AT TIME ZONE 'UTC', '%Y-%m-%dT%H:%M:%S.%gZ'))"
)
_RATER = f"""coalesce({of("author_user_id")}, CASE WHEN {of("source")} = 'EVAL'
  THEN json_extract_string({as_json("metadata")}, '$.job_configuration_id') END)"""
_COLUMNS = (
    "reason", "field", "feedback_id", "request_id", "trace_id", "session_id", "scope", "name",
    "kind", "value", "corrected_output", "comment", "rater_id", "rater_kind", "user_id", "ts",
    "received_at", "metadata",
)  # fmt: skip


def _events(rows: str, **columns: str) -> str:
    """Query of events by the SQL of their columns; what is left out is NULL."""
    columns = {
        "request_id": _OBSERVATION,
        "trace_id": _TRACE,
        "session_id": _SESSION,
        "received_at": f"coalesce({_UPDATED}, {moment('created_at')})",
        **columns,
    }
    columns["scope"] = (
        f"CASE WHEN {columns['request_id']} IS NOT NULL THEN 'inference' "
        f"WHEN {columns['trace_id']} IS NOT NULL THEN 'trace' ELSE 'session' END"
    )
    target = ", ".join(columns[name] for name in ("request_id", "trace_id", "session_id"))
    columns["field"] = f"CASE WHEN coalesce({target}) IS NULL THEN 'request_id' END"
    columns["reason"] = (
        f"coalesce({columns.get('reason', 'reason')}, "
        f"CASE WHEN coalesce({target}) IS NULL THEN 'no_target' END)"
    )
    listed = ", ".join(f"{columns.get(name, 'NULL')} AS {name}" for name in _COLUMNS)
    return (
        f"SELECT {PART}, {ROW}, CAST(doc AS VARCHAR) AS {RAW}, {listed}, "
        f"'langfuse' AS source_system FROM {rows}"
    )


_SCORES = _events(
    "("
    + with_messages(
        "(SELECT * FROM items WHERE kind = 'score')", "corrected", _CORRECTED, answer=True
    )
    + ")",
    feedback_id=_VERSIONED,
    name=of("name"),
    kind=f"CASE {_TYPE} WHEN 'BOOLEAN' THEN 'binary' WHEN 'CORRECTION' THEN 'correction' "
    "WHEN 'TEXT' THEN 'comment' END",
    value=_VALUE,
    corrected_output="corrected_text",
    comment=of("comment"),
    rater_id=_RATER,
    rater_kind=f"CASE {of('source')} WHEN 'ANNOTATION' THEN 'human' WHEN 'EVAL' THEN 'model' END",
    user_id=of("user_id"),
    ts=moment("timestamp"),
    metadata=metadata(_SCORE_TAKES, **_UNUSED),
)
_COMMENT_TAKES = ("id", "content", "created_at", "author_user_id", "author_email")
_AS_COMMENT = {
    "feedback_id": _VERSIONED,
    "name": "'comment'",
    "kind": "'comment'",
    "value": of("content"),
    "rater_id": f"coalesce({of('author_user_id')}, {of('author_email')})",
    "rater_kind": "'human'",
    "ts": moment("created_at"),
}
_OWN = f"CASE WHEN kind = 'observation' THEN {of('id', 'owner')} END"
_OWN_TRACE = f"CASE WHEN kind = 'trace' THEN {of('id', 'owner')} ELSE {of('trace_id', 'owner')} END"
# What is said on a row that is superseded was said all the same.
_JUDGED = "(SELECT * REPLACE (NULL AS reason) FROM items WHERE kind IN ('observation', 'trace'))"
_COMMENTS = _events(
    "(SELECT * FROM items WHERE kind = 'comment')",
    metadata=metadata((*_COMMENT_TAKES, "object_id")),
    **_AS_COMMENT,
)
_NESTED_COMMENTS = _events(
    f"(SELECT * REPLACE (NULL AS page, e AS doc, "
    f"from_json(e, {STRUCTURE}) AS p) FROM (SELECT *, p AS owner, "
    f"unnest({elements(as_json('comments'))}) AS e FROM {_JUDGED}) WHERE json_type(e) = 'OBJECT')",
    request_id=_OWN,
    trace_id=_OWN_TRACE,
    session_id="NULL",
    metadata=metadata(_COMMENT_TAKES),
    **_AS_COMMENT,
)

# Exports of the pages of traces and observations have a column per score, with means of its values.
_COLUMNS_KNOWN = ", ".join(literal(name) for name in spellings(*NOT_SCORES))
_AVERAGED = f"""(SELECT *, to_json(scored.v[i]) AS mean FROM (
  SELECT *, unnest(range(1, len(scored.v) + 1)) AS i FROM (
    SELECT {PART}, {ROW}, kind, p AS owner, score.key AS score,
      {{'v': {elements("TRY_CAST(json_extract_string(score.value, '$') AS JSON)")}}} AS scored
    FROM (SELECT *, unnest(map_entries(CAST(doc AS MAP(VARCHAR, JSON)))) AS score
      FROM {_JUDGED})
    WHERE score.key NOT IN ({_COLUMNS_KNOWN})))
  WHERE json_type(to_json(scored.v[i])) NOT IN ('OBJECT', 'ARRAY', 'NULL'))"""
_AVERAGES = _events(
    "(SELECT a.*, json_object('score', score, 'value', mean) AS doc, NULL AS reason, "
    f"{_OWN} AS own, {_OWN_TRACE} AS own_trace FROM {_AVERAGED} a)",
    reason="CASE WHEN (own_trace, score) IN (SELECT ("
    f"{_TRACE}, {of('name')}) FROM items WHERE kind = 'score') THEN 'superseded' END",
    feedback_id="concat_ws(':', own_trace, own, score, i)",
    request_id="own",
    trace_id="own_trace",
    session_id="NULL",
    name="score",
    value="json_extract_string(mean, '$')",
    ts=f"coalesce({moment('start_time', 'owner')}, {moment('timestamp', 'owner')})",
    received_at="NULL",
    metadata="""'{"lossy":true}'""",
)
_UNKNOWN = _events(
    "(SELECT *, 'unknown_record' AS why FROM items WHERE kind IS NULL)", reason="why"
)
# Only the rows that the pages of Langfuse export have comments and means beside them.
_SAYS = "kind IN ('score', 'comment') OR json_exists(doc, '$.comments')"
JUDGED = items(_SAYS)
FEEDBACK = f"""
{_SCORES} UNION ALL {_COMMENTS} UNION ALL {_NESTED_COMMENTS} UNION ALL {_AVERAGES}
UNION ALL {_UNKNOWN}
"""
