"""Argilla: records with responses and suggestions, as ``records.to_json`` writes them, or flat.

Of flat records (``to_list(flatten=True)``, ``to_datasets``) each column of responses has the status
of each response beside it, which the others leave out.

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

_RECORD = "argilla_records"


def _beside(key: str, suffix: str) -> str:
    """SQL of what stands in a column of a flat record that belongs to a question."""
    pointer = json_pointer(f"{key} || '{suffix}'")
    return f"json_extract(doc, {pointer})"


def _asked_flat(suffix: str) -> str:
    """SQL of the questions of a flat record that have a column of a kind."""
    keys = f"list_filter(json_keys(doc), lambda k: ends_with(k, '{suffix}'))"
    return f"list_transform({keys}, lambda k: k[:-{len(suffix) + 1}])"


def _object(keys: str, value: str) -> str:
    return f"map_from_entries(list_transform({keys}, lambda k: row(k, {value})))"


_ANSWERED = elements(_beside("k", ".responses"))
_ANSWERS = f"""list_transform({_ANSWERED}, lambda v, i: json_object(
  'value', v,
  'user_id', json_extract({_beside("k", ".responses.users")}, '/' || (i - 1)),
  'status', json_extract({_beside("k", ".responses.status")}, '/' || (i - 1))))"""
_GUESS = f"""json_object('value', {_beside("k", ".suggestion")},
  'score', {_beside("k", ".suggestion.score")}, 'agent', {_beside("k", ".suggestion.agent")})"""
_GUESSED = f"""list_filter({_asked_flat(".suggestion")},
  lambda k: nullif({_beside("k", ".suggestion")}, 'null') IS NOT NULL)"""
_OTHERS = """list_filter(json_keys(doc), lambda k: NOT regexp_matches(k,
  '^(id|status|_server_id)$|\\.(responses(\\.(users|status))?|suggestion(\\.(score|agent))?)$'))"""

#: Flat records as the others are. They do not tell fields from metadata.
_RECORDS = f"""
SELECT {PART}, {ROW}, {RAW}, CASE
  WHEN json_type(doc -> '$.fields') = 'OBJECT' OR (doc -> '$._server_id') IS NULL
    OR NOT list_bool_or(list_transform(json_keys(doc),
      lambda k: regexp_matches(k, '\\.(responses|suggestion)$'))) THEN doc
  ELSE json_object('id', doc -> '$.id', 'status', doc -> '$.status',
    '_server_id', doc -> '$._server_id', 'fields', {_object(_OTHERS, _beside("k", ""))},
    'responses', {_object(_asked_flat(".responses"), _ANSWERS)},
    'suggestions', {_object(_GUESSED, _GUESS)}) END AS doc
FROM {RECORDS}
"""


def _told(name: str) -> str:
    return first(at("metadata", name), at("fields", name))


_REQUEST = first(_told("request_id"), at("id"), at("_server_id"))
_IS_RECORD = f"json_type({json_at('fields')}) = 'OBJECT' AND {_REQUEST} IS NOT NULL"
_TS = f"TRY_CAST({first(at('updated_at'), at('inserted_at'), _told('ts'))} AS TIMESTAMPTZ)"

_INFERENCES = f"""
WITH {_RECORD} AS ({_RECORDS})
SELECT {PART}, {ROW}, {RAW},
  CASE WHEN NOT coalesce({_IS_RECORD}, false) THEN 'unknown_record' END AS reason,
  {_REQUEST} AS request_id,
  TRY_CAST({first(_told("ts"), at("inserted_at"))} AS TIMESTAMPTZ) AS ts,
  coalesce({_told("model_version")}, {_told("model")}, 'unknown') AS model_version,
  {_told("model")} AS model,
  {first(*(at("fields", name) for name in ("input", "prompt", "instruction", "question", "text")))}
    AS input,
  {first(*(at("fields", name) for name in ("output", "response", "answer", "completion")))}
    AS output,
  {rest("id", "responses", "suggestions")} AS metadata, 'argilla' AS source_system
FROM {_RECORD}
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
WITH {_RECORD} AS MATERIALIZED ({_RECORDS}),
known AS (SELECT * FROM {_RECORD} WHERE coalesce({_IS_RECORD}, false)),
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
    CAST({_JSON} AS VARCHAR))) AS feedback_id,
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
FROM {_RECORD} WHERE ({PART}, {ROW}) NOT IN (SELECT ({PART}, {ROW}) FROM answers)
"""


def _holds(head: Head) -> frozenset[str]:
    fields, keys = head.row.get("fields"), head.keys
    if "_server_id" in keys and any(key.endswith((".responses", ".suggestion")) for key in keys):
        return frozenset({"feedback"} if "request_id" in keys else {"feedback", "inferences"})
    if not isinstance(fields, dict) or not {"responses", "suggestions"} & keys:
        return frozenset()
    metadata = head.row.get("metadata")
    named = isinstance(metadata, dict) and "request_id" in metadata
    return frozenset({"feedback"} if named else {"feedback", "inferences"})


importer = Importer(
    name="argilla",
    title="Argilla",
    grows=False,
    again=True,
    stage=stager({"inferences": _INFERENCES, "feedback": _FEEDBACK}),
    holds=_holds,
)
