"""Argilla: records with responses and suggestions, as ``records.to_json`` writes them.

A response of a user to a question is an event on the inference that the record is about: its
``id``, or ``request_id`` in its metadata. A suggestion is one of a model. A text corrects the
output, unless its question is called a comment. Argilla does not write down when somebody
answered: the time is that of the record where it has one, else there is none, and the source needs
``clock = "none"``.
"""

from __future__ import annotations

from workbench.engine import json_pointer
from workbench.importers import PART, RAW, ROW, Head, Importer
from workbench.importers._records import RECORDS, at, elements, first, json_at, rest, stager

_REQUEST = first(at("metadata", "request_id"), at("id"), at("_server_id"))
_IS_RECORD = f"json_type({json_at('fields')}) = 'OBJECT' AND {_REQUEST} IS NOT NULL"
_TIMES = [at(*path) for path in (("updated_at",), ("inserted_at",), ("metadata", "ts"))]
_TS = f"TRY_CAST({first(*_TIMES)} AS TIMESTAMPTZ)"

_INFERENCES = f"""
SELECT {PART}, {ROW}, {RAW},
  CASE WHEN NOT coalesce({_IS_RECORD}, false) THEN 'unknown_record' END AS reason,
  {_REQUEST} AS request_id,
  TRY_CAST({first(at("metadata", "ts"), at("inserted_at"))} AS TIMESTAMPTZ) AS ts,
  coalesce({at("metadata", "model_version")}, {at("metadata", "model")}, 'unknown')
    AS model_version,
  {at("metadata", "model")} AS model,
  {first(*(at("fields", name) for name in ("input", "prompt", "instruction", "question", "text")))}
    AS input,
  {first(*(at("fields", name) for name in ("output", "response", "answer", "completion")))}
    AS output,
  {rest("id", "responses", "suggestions")} AS metadata, 'argilla' AS source_system
FROM {RECORDS}
"""

_IS_COMMENT = "regexp_matches(question, '(?i)comment|reason|note|why')"
_JSON = json_at("value", doc="e")
_TEXT = at("value", doc="e")
_LONG = f"(json_type({_JSON}) = 'VARCHAR' AND regexp_matches({_TEXT}, '\\s'))"


def _asked(kind: str) -> str:
    """SQL of each question of a record that has answers of a kind, with what was answered."""
    value = json_at(kind)
    return f"""
SELECT *, json_extract({value}, {json_pointer("question")}) AS given FROM (
  SELECT *, unnest(json_keys({value})) AS question FROM known
  WHERE json_type({value}) = 'OBJECT')
"""


_FEEDBACK = f"""
WITH known AS (SELECT * FROM {RECORDS} WHERE coalesce({_IS_RECORD}, false)),
answers AS MATERIALIZED (
  SELECT *, 'human' AS rater_kind, {at("user_id", doc="e")} AS rater_id FROM (
    SELECT *, unnest({elements("given")}) AS e FROM ({_asked("responses")}))
  UNION ALL BY NAME
  SELECT *, given AS e, 'model' AS rater_kind, {at("agent", doc="given")} AS rater_id
  FROM ({_asked("suggestions")}) WHERE json_type(given) = 'OBJECT'
)
SELECT {PART}, {ROW}, CAST(e AS VARCHAR) AS {RAW},
  CASE WHEN {_TEXT} IS NULL THEN 'no_value'
    WHEN coalesce({at("status", doc="e")}, '') IN ('discarded', 'draft')
    THEN {at("status", doc="e")} END AS reason,
  'value' AS field,
  'argilla:' || md5(concat_ws(chr(31), {_REQUEST}, question, rater_kind, coalesce(rater_id, ''),
    CAST(e AS VARCHAR))) AS feedback_id,
  {_REQUEST} AS request_id,
  {_TS} AS ts,
  question AS name,
  CASE WHEN {_LONG} THEN CASE WHEN {_IS_COMMENT} THEN 'comment' ELSE 'correction' END END AS kind,
  CASE WHEN {_LONG} AND NOT {_IS_COMMENT} THEN NULL ELSE {_TEXT} END AS value,
  CASE WHEN {_LONG} AND NOT {_IS_COMMENT} THEN {_TEXT} END AS corrected_output,
  rater_id, rater_kind,
  {rest("value", "user_id", "agent", doc="e")} AS metadata,
  'argilla' AS source_system
FROM answers
UNION ALL BY NAME
SELECT {PART}, {ROW}, {RAW},
  CASE WHEN coalesce({_IS_RECORD}, false) THEN 'not_annotated' ELSE 'unknown_record' END AS reason,
  'responses' AS field
FROM {RECORDS} WHERE ({PART}, {ROW}) NOT IN (SELECT ({PART}, {ROW}) FROM answers)
"""


def _holds(head: Head) -> frozenset[str]:
    fields, keys = head.row.get("fields"), head.keys
    if not isinstance(fields, dict) or not {"responses", "suggestions"} & keys:
        return frozenset()
    metadata = head.row.get("metadata")
    named = isinstance(metadata, dict) and "request_id" in metadata
    return frozenset({"feedback"} if named else {"feedback", "inferences"})


importer = Importer(
    name="argilla",
    title="Argilla",
    grows=False,
    stage=stager({"inferences": _INFERENCES, "feedback": _FEEDBACK}),
    holds=_holds,
)
