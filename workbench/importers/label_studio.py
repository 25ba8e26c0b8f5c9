"""Label Studio: tasks with their annotations and predictions, as its JSON export has them.

Each result of an annotation or prediction is an event on the inference that the task's data names
by ``request_id``; a task that names none is an inference itself. A text that was typed corrects the
output, unless its control is called a comment. A pair of inferences, ``left_request_id`` and
``right_request_id``, makes a preference.
"""

from __future__ import annotations

from workbench.importers import PART, RAW, ROW, Head, Importer
from workbench.importers._records import RECORDS, at, elements, first, json_at, rest, stager

_OWN = f"coalesce({at('data', 'request_id')}, {at('meta', 'request_id')})"
_REQUEST = f"coalesce({_OWN}, 'label_studio:' || {at('id')})"
_PROJECT = "coalesce(" + ", ".join(at(key) for key in ("project", "project_id")) + ", '')"
_IS_TASK = f"json_type({json_at('data')}) = 'OBJECT' AND {at('id')} IS NOT NULL"


def _text(*names: str) -> str:
    return first(*(at("data", name) for name in names))


_INFERENCES = f"""
SELECT {PART}, {ROW}, {RAW},
  CASE WHEN NOT coalesce({_IS_TASK}, false) THEN 'unknown_record' END AS reason,
  {_REQUEST} AS request_id,
  TRY_CAST({first(at("data", "ts"), at("created_at"), at("updated_at"))} AS TIMESTAMPTZ) AS ts,
  coalesce({at("data", "model_version")}, {at("data", "model")}, 'unknown') AS model_version,
  {at("data", "model")} AS model,
  {_text("input", "prompt", "question", "text")} AS input,
  {_text("output", "response", "answer", "completion")} AS output,
  {rest("annotations", "predictions", "created_at")} AS metadata,
  'label_studio' AS source_system
FROM {RECORDS}
"""

_VALUE = "(r -> '$.value')"
_TYPE = at("type", doc="r")
_CHOICES = elements("(r -> '$.value.choices')")
_TEXTS = elements("(r -> '$.value.text')")
_TYPED = f"""CASE WHEN json_type(r -> '$.value.text') = 'ARRAY'
  THEN array_to_string(list_transform({_TEXTS}, lambda t: t ->> '$'), E'\\n')
  ELSE (r ->> '$.value.text') END"""
_NAME = at("from_name", doc="r")
_IS_COMMENT = f"regexp_matches({_NAME}, '(?i)comment|reason|note|why')"
_SIDE = at("value", "selected", doc="r")
_LEFT, _RIGHT = at("data", "left_request_id"), at("data", "right_request_id")
_PREFERS = f"({_TYPE} = 'pairwise' AND {_LEFT} IS NOT NULL AND {_RIGHT} IS NOT NULL)"
# What becomes of a task while others work on it: an event that was read before stays what it was.
_COUNTED = (
    "drafts", "updated_at", "updated_by", "total_annotations", "cancelled_annotations",
    "total_predictions", "comment_count", "unresolved_comment_count", "last_comment_updated_at",
    "comment_authors",
)  # fmt: skip
_CHANGED = first(at("updated_at", doc="a"), at("created_at", doc="a"), at("created_at"))
_BY = f"""coalesce({at("completed_by", "email", doc="a")}, {at("completed_by", "id", doc="a")},
  {at("completed_by", doc="a")})"""

# Annotations that were cancelled say nothing; a result that links two others has no value. Of the
# predictions the export without a snapshot has nothing but the ids.
_EVENTS = f"""
SELECT *, {elements("(a -> '$.result')")} AS results FROM (
  SELECT *, unnest({elements(json_at("annotations"))}) AS a, 'human' AS rater_kind FROM tasks
  UNION ALL
  SELECT *, unnest({elements(json_at("predictions"))}) AS a, 'model' FROM tasks)
WHERE json_type(a) = 'OBJECT'
"""
_REASON = f"""CASE WHEN {at("was_cancelled", doc="a")} = 'true' THEN 'cancelled'
  WHEN {_NAME} IS NULL OR {_VALUE} IS NULL THEN 'no_value' END"""
_FEEDBACK = f"""
WITH tasks AS (SELECT * FROM {RECORDS} WHERE coalesce({_IS_TASK}, false)),
judged AS MATERIALIZED ({_EVENTS}),
results AS (
  SELECT *, row_number() OVER (PARTITION BY {PART}, {ROW}
    ORDER BY reason IS NOT NULL, rater_kind, TRY_CAST({at("id", doc="a")} AS BIGINT), a, i) = 1
    AS leads
  FROM (SELECT *, {_REASON} AS reason FROM (SELECT *, results[i] AS r FROM (
    SELECT *, unnest(range(1, len(results) + 1)) AS i FROM judged))))
SELECT {PART}, {ROW}, CAST(a AS VARCHAR) AS {RAW}, reason, 'value' AS field,
  concat_ws(':', 'label_studio', nullif({_PROJECT}, ''), rater_kind, {at("id", doc="a")},
    coalesce({at("id", doc="r")}, i::VARCHAR)) || coalesce('@' || {_CHANGED}, '') AS feedback_id,
  CASE WHEN NOT {_PREFERS} THEN {_REQUEST} END AS request_id,
  CASE WHEN {_PREFERS} THEN CASE {_SIDE} WHEN 'left' THEN {_LEFT} ELSE {_RIGHT} END END
    AS chosen_id,
  CASE WHEN {_PREFERS} THEN CASE {_SIDE} WHEN 'left' THEN {_RIGHT} ELSE {_LEFT} END END
    AS rejected_id,
  TRY_CAST({_CHANGED} AS TIMESTAMPTZ) AS ts,
  {_NAME} AS name,
  CASE WHEN {_PREFERS} THEN 'preference' WHEN {_TYPE} = 'textarea'
    THEN CASE WHEN {_IS_COMMENT} THEN 'comment' ELSE 'correction' END END AS kind,
  CASE WHEN {_PREFERS} THEN NULL
    WHEN {_TYPE} = 'choices' AND len({_CHOICES}) = 1 THEN ({_CHOICES}[1] ->> '$')
    WHEN {_TYPE} = 'choices' THEN CAST((r -> '$.value.choices') AS VARCHAR)
    WHEN {_TYPE} = 'rating' THEN (r ->> '$.value.rating')
    WHEN {_TYPE} = 'number' THEN (r ->> '$.value.number')
    WHEN {_TYPE} = 'pairwise' THEN {_SIDE}
    WHEN {_TYPE} = 'textarea' AND NOT {_IS_COMMENT} THEN NULL
    WHEN {_TYPE} = 'textarea' THEN {_TYPED}
    ELSE CAST({_VALUE} AS VARCHAR) END AS value,
  CASE WHEN {_TYPE} = 'textarea' AND NOT {_IS_COMMENT} THEN {_TYPED} END AS corrected_output,
  CASE rater_kind WHEN 'human' THEN {_BY} ELSE {at("model_version", doc="a")} END AS rater_id,
  rater_kind,
  CAST(json_object(
    'annotation', CAST({rest("result", doc="a")} AS JSON),
    'result', CAST({rest("from_name", doc="r")} AS JSON),
    'task', CASE WHEN leads THEN CAST({rest("annotations", "predictions", *_COUNTED)} AS JSON) END)
    AS VARCHAR) AS metadata,
  'label_studio' AS source_system
FROM results
UNION ALL BY NAME
SELECT {PART}, {ROW}, CAST(a AS VARCHAR) AS {RAW},
  CASE WHEN {at("was_cancelled", doc="a")} = 'true' THEN 'cancelled' ELSE 'no_value' END AS reason,
  'result' AS field
FROM judged WHERE len(results) = 0
UNION ALL BY NAME
SELECT {PART}, {ROW}, {RAW},
  CASE WHEN coalesce({_IS_TASK}, false) THEN 'not_annotated' ELSE 'unknown_record' END AS reason,
  'annotations' AS field
FROM {RECORDS} WHERE ({PART}, {ROW}) NOT IN (SELECT ({PART}, {ROW}) FROM judged)
"""


def _holds(head: Head) -> frozenset[str]:
    data = head.row.get("data")
    if not isinstance(data, dict) or "id" not in head.keys:
        return frozenset()
    if not head.keys & {"annotations", "predictions"}:
        return frozenset()
    named = "request_id" in data or "left_request_id" in data
    return frozenset({"feedback"} if named else {"feedback", "inferences"})


importer = Importer(
    name="label_studio",
    title="Label Studio",
    grows=False,
    again=True,
    stage=stager({"inferences": _INFERENCES, "feedback": _FEEDBACK}),
    holds=_holds,
)
