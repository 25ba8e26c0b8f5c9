"""Feedback exported from Open WebUI: thumbs, with the chats that they were given in.

The assistant messages of the chats are the inferences; a message that several records hold is one
row, as the newest holds it. Where answers of other models stand beside the one that was rated, each
of them makes a preference, beside the thumb itself.
"""

from __future__ import annotations

from collections.abc import Iterable

import duckdb

from workbench import engine
from workbench.importers import PART, RAW, ROW, Head, Importer
from workbench.importers._records import RECORDS, at, elements, first, rest, since_epoch, stager

_CHANGED = f"TRY_CAST(coalesce({at('updated_at')}, {at('created_at')}) AS BIGINT)"
_CREATED = since_epoch(at("created_at"), 1)
_RATED = at("meta", "message_id")

# A message of a chat. Old chats are a plain list of messages, without the other answers.
_MESSAGES = f"""
SELECT *, {at("id", doc="m")} AS id, {at("parentId", doc="m")} AS parent,
  {at("role", doc="m")} AS role,
  {first(at("selectedModelId", doc="m"), at("model", doc="m"))} AS model
FROM (
  SELECT *, unnest(CASE WHEN json_type(chat -> '$.history.messages') = 'OBJECT'
    THEN map_values(from_json(chat -> '$.history.messages', '"MAP(VARCHAR, JSON)"'))
    ELSE {elements("chat -> '$.messages'")} END) AS m
  FROM (SELECT {PART}, {ROW}, doc,
    coalesce(doc -> '$.snapshot.chat.chat', doc -> '$.snapshot.chat', '{{}}') AS chat
    FROM {RECORDS})
)
"""

_THOUGHT = r"""'<details type="reasoning"[^>]*>(?:\s*<summary>.*?</summary>)?(.*?)</details>'"""
_CONTENT = at("content", doc="m")
_USAGE = "coalesce(m -> 'usage', m -> 'info', '{}')"
_SYSTEM = first(at("system", doc="chat"), at("params", "system", doc="chat"))
_DOCUMENTS = f"""
  flatten(list_transform({elements("m -> 'sources'")}, lambda s:
    list_transform({elements("s -> 'document'")}, lambda d, i: struct_pack(
      id := coalesce(s ->> ('$.metadata[' || (i - 1) || '].source'), s ->> '$.source.name'),
      text := d ->> '$',
      score := TRY_CAST(s ->> ('$.distances[' || (i - 1) || ']') AS DOUBLE)))))
"""
_INFERENCES = f"""
WITH RECURSIVE messages AS MATERIALIZED ({_MESSAGES}),
answers AS MATERIALIZED (
  SELECT * FROM messages WHERE role = 'assistant' AND id IS NOT NULL
  QUALIFY row_number() OVER (PARTITION BY id ORDER BY {_CHANGED} DESC NULLS LAST, doc) = 1
),
-- From an answer back to the first message of its chat. Links that lead in a circle end somewhere.
before AS (
  SELECT {PART}, {ROW}, id AS answer, parent AS id, 1 AS back FROM answers
  UNION ALL
  SELECT b.{PART}, b.{ROW}, b.answer, m.parent, b.back + 1
  FROM before b JOIN messages m USING ({PART}, {ROW}, id) WHERE b.back < 1000
),
asked AS (
  SELECT b.answer AS id,
    list(json_object('role', m.role, 'content', m.m -> 'content') ORDER BY b.back DESC) AS thread,
    any_value({rest("role", "content", doc="m.m")}) FILTER (b.back = 1) AS prompt
  FROM before b JOIN messages m USING ({PART}, {ROW}, id) GROUP BY b.answer
)
SELECT {PART}, {ROW}, CAST(m AS VARCHAR) AS {RAW}, id AS request_id,
  coalesce({since_epoch(at("timestamp", doc="m"), 1)}, {_CREATED}) AS ts,
  coalesce(model, 'unknown') AS model_version, model,
  CAST(nullif(chat -> 'params', '{{}}') AS VARCHAR) AS params,
  coalesce({at("snapshot", "chat", "user_id")}, {at("user_id")}) AS user_id,
  coalesce({at("snapshot", "chat", "id")}, {at("meta", "chat_id")}) AS session_id,
  CAST(to_json(CASE WHEN {_SYSTEM} IS NULL THEN thread ELSE
    list_prepend(json_object('role', 'system', 'content', {_SYSTEM}), thread) END) AS VARCHAR)
    AS input,
  nullif(trim(regexp_replace({_CONTENT}, {_THOUGHT}, '', 's'), E' \\n'), '') AS output,
  nullif(trim(regexp_replace(regexp_extract({_CONTENT}, {_THOUGHT}, 1, 's'), '(?m)^> ?', '', 'g'),
    E' \\n'), '') AS reasoning,
  nullif({_DOCUMENTS}, []) AS retrieved,
  coalesce({_USAGE} ->> 'prompt_tokens', {_USAGE} ->> 'prompt_eval_count') AS input_tokens,
  coalesce({_USAGE} ->> 'completion_tokens', {_USAGE} ->> 'eval_count') AS output_tokens,
  TRY_CAST({_USAGE} ->> 'total_duration' AS DOUBLE) / 1000000 AS latency_ms,
  CAST(json_object('message', {rest("id", "content", "timestamp", doc="m")}::JSON,
    'prompt', prompt::JSON,
    'chat', {rest("history", "messages", "params", doc="chat")}::JSON,
    'snapshot', {rest("chat", "user_id", doc="(doc -> '$.snapshot.chat')")}::JSON) AS VARCHAR)
    AS metadata,
  'open_webui' AS source_system
FROM answers LEFT JOIN asked USING (id)
UNION ALL BY NAME
-- An export without chats tells who answered what was rated, but not when and what.
SELECT {PART}, {ROW}, {RAW}, {_RATED} AS request_id, {_CREATED} AS ts,
  coalesce({at("data", "model_id")}, 'unknown') AS model_version,
  {at("data", "model_id")} AS model, {at("user_id")} AS user_id,
  {at("meta", "chat_id")} AS session_id, '{{"ts_of":"feedback"}}' AS metadata,
  'open_webui' AS source_system
FROM {RECORDS} WHERE {_RATED} IS NOT NULL AND {_RATED} NOT IN (SELECT id FROM answers)
QUALIFY row_number() OVER (PARTITION BY {_RATED} ORDER BY {_CREATED}, doc) = 1
"""

_THUMB = f"TRY_CAST({at('data', 'rating')} AS INTEGER)"
_COMMENT = first(at("data", "comment"))
_DETAILED = at("data", "details", "rating")
_FEEDBACK = f"""
WITH messages AS ({_MESSAGES}),
-- Answers to the same message by the models that the record says were compared.
pairs AS (
  SELECT own.{PART}, own.{ROW}, other.id AS sibling, {_THUMB.replace("doc", "own.doc")} AS thumb
  FROM messages own JOIN messages other
    ON (own.{PART}, own.{ROW}, own.parent) = (other.{PART}, other.{ROW}, other.parent)
  WHERE own.id = {at("meta", "message_id", doc="own.doc")} AND other.id <> own.id
    AND other.role = 'assistant' AND thumb IN (1, -1) AND list_contains(
      list_transform({elements("own.doc -> '$.data.sibling_model_ids'")}, lambda s: s ->> '$'),
      other.model)
),
events AS (
  SELECT *, CASE WHEN {_THUMB} IN (1, -1) THEN 'thumb' WHEN {_COMMENT} IS NOT NULL THEN 'comment'
    END AS name, NULL AS chosen_id, NULL AS rejected_id, '' AS suffix,
    CASE name WHEN 'thumb' THEN CAST({_THUMB} > 0 AS VARCHAR) ELSE {_COMMENT} END AS value
  FROM {RECORDS}
  UNION ALL BY NAME
  SELECT *, 'rating' AS name, {_DETAILED} AS value, ':rating' AS suffix
  FROM {RECORDS} WHERE {_DETAILED} IS NOT NULL
  UNION ALL BY NAME
  SELECT {RECORDS}.*, 'preference' AS name, ':' || sibling AS suffix,
    if(thumb > 0, {_RATED}, sibling) AS chosen_id, if(thumb > 0, sibling, {_RATED}) AS rejected_id
  FROM {RECORDS} JOIN pairs USING ({PART}, {ROW})
)
SELECT {PART}, {ROW}, {RAW},
  CASE WHEN name IS NULL THEN 'no_verdict'
    WHEN row_number() OVER (PARTITION BY {at("id")}, suffix ORDER BY {_CHANGED} DESC NULLS LAST,
      {PART}, {ROW}) > 1 THEN 'superseded' END AS reason,
  'data' AS field,
  {at("id")} || suffix ||
    coalesce('@' || nullif({at("updated_at")}, {at("created_at")}), '') AS feedback_id,
  CASE WHEN name <> 'preference' THEN {_RATED} END AS request_id,
  {at("meta", "chat_id")} AS session_id,
  name, CASE name WHEN 'thumb' THEN 'binary' WHEN 'rating' THEN NULL ELSE name END AS kind,
  value, chosen_id, rejected_id, CASE WHEN name = 'thumb' THEN {_COMMENT} END AS comment,
  {at("user_id")} AS rater_id, 'human' AS rater_kind, {at("user_id")} AS user_id,
  {since_epoch(_CHANGED, 1)} AS ts,
  nullif(list_transform({elements("doc -> '$.data.tags'")}, lambda t: t ->> '$'), []) AS tags,
  {rest("id", "user_id", "snapshot")} AS metadata,
  'open_webui' AS source_system
FROM events
"""


def _notes(connection: duckdb.DuckDBPyConnection, table: str) -> Iterable[str]:
    if table != "inferences":
        return
    bare = engine.scalar(
        connection, 'SELECT count(*) FROM vendor_rows WHERE metadata = \'{"ts_of":"feedback"}\''
    )
    if bare:
        yield (
            f"{bare:,} rated messages are in no chat of the export: they have the time of their "
            "feedback, and no texts"
        )


def _holds(head: Head) -> frozenset[str]:
    ours = {"id", "user_id", "type", "data", "meta"} <= head.keys
    known = head.kind == "json" and isinstance(head.row.get("data"), dict)
    return frozenset({"inferences", "feedback"}) if ours and known else frozenset()


importer = Importer(
    name="open_webui",
    title="Open WebUI",
    grows=False,
    again=True,
    stage=stager({"inferences": _INFERENCES, "feedback": _FEEDBACK}, notes=_notes),
    holds=_holds,
)
