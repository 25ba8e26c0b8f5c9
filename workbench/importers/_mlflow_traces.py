"""Traces of MLflow as documents of one shape, whichever way they left it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from workbench.engine import identifier, literal
from workbench.importers import PART, RAW, ROW
from workbench.importers._records import RECORDS, at, elements, first, json_at, rest, since_epoch

#: Columns of the frames of MLflow 2 and 3, which say again what the trace says.
_FRAME = (
    "trace", "spans", "trace_id", "request_id", "client_request_id", "state", "status",
    "request_time", "timestamp_ms", "execution_duration", "execution_time_ms", "request",
    "response", "trace_metadata", "request_metadata", "tags", "assessments",
)  # fmt: skip

# -- databases -------------------------------------------------------------------------------------


def _json(value: str) -> str:
    """What is no JSON stays a text: Python writes NaN, which must not hide all the rest."""
    return f"CASE WHEN json_valid({value}) THEN json({value}) ELSE {value} END"


def _pairs(table: str) -> str:
    return f"json((SELECT json_group_object(key, value) FROM {table} p WHERE request_id = k.id))"


def _traces(what: str, condition: str) -> str:
    """Query of one document per trace of a database.

    A name that the innermost table of an older schema lacks is that of the outer one, which is
    NULL. Columns that MLflow keeps for its charts are copies, and left out.
    """
    newer = ("client_request_id", "session_id", "request_preview", "response_preview")
    nulls = ", ".join(f"NULL AS {name}" for name in newer)
    found = ", ".join(f"'{name}', (SELECT {name} FROM trace_info WHERE request_id = k.id)"
                      for name in newer)  # fmt: skip
    return (
        f"SELECT json_object('info', json_object('trace_id', id, {found}, "
        "'experiment_id', experiment_id, 'request_time', timestamp_ms, "
        "'execution_duration_ms', execution_time_ms, 'state', status, "
        f"'trace_metadata', {_pairs('trace_request_metadata')}, 'tags', {_pairs('trace_tags')}"
        f"{what}) FROM (SELECT request_id AS id, experiment_id, timestamp_ms, execution_time_ms, "
        f"status, {nulls} FROM trace_info) k WHERE {condition} ORDER BY timestamp_ms, id"
    )


_SPANS_OF = (
    "), 'data', json_object('spans', json((SELECT json_group_array(CASE WHEN json_valid(content) "
    "THEN json(content) ELSE json_object('unreadable', content) END) FROM (SELECT content "
    "FROM spans WHERE trace_id = k.id ORDER BY start_time_unix_nano, span_id))))"
)
_ASSESSMENTS_OF = f"""
, 'assessments', json((SELECT json_group_array(json_object('assessment_id', assessment_id,
  'assessment_name', name, 'trace_id', trace_id, 'span_id', span_id,
  'source', json_object('source_type', source_type, 'source_id', source_id),
  'create_time', created_timestamp, 'last_update_time', last_updated_timestamp,
  assessment_type, CASE assessment_type WHEN 'issue' THEN {_json("value")}
    ELSE json_object('value', {_json("value")}, 'error', {_json("error")}) END,
  'rationale', rationale, 'metadata', {_json("assessment_metadata")}, 'run_id', run_id,
  'overrides', overrides, 'valid', json(CASE WHEN valid THEN 'true' ELSE 'false' END)))
  FROM (SELECT * FROM assessments WHERE trace_id = k.id
    ORDER BY created_timestamp, assessment_id))))"""
#: Before MLflow 3.4 spans were files beside the database, of which it holds previews only.
_NO_SPANS = "NOT EXISTS (SELECT 1 FROM sqlite_master WHERE name = 'spans')"
_JUDGED = "EXISTS (SELECT 1 FROM assessments WHERE trace_id = k.id)"
DATABASES = {
    "inferences": (_traces(_SPANS_OF, "true"), _traces(")", _NO_SPANS)),
    "feedback": (_traces(_ASSESSMENTS_OF, _JUDGED),),
    "aliases": (_traces(")", "true"),),
}

# -- traces ----------------------------------------------------------------------------------------


def there(value: str) -> str:
    """SQL of a JSON value; NULL where it is JSON's null."""
    return f"CASE WHEN json_type({value}) <> 'NULL' THEN {value} END"


def moment(value: str, per_second: int) -> str:
    """SQL of a time: a number since 1970, or a text as RFC 3339 has it."""
    return (
        f"CASE WHEN regexp_full_match({value}, '\\d+') THEN {since_epoch(value, per_second)} "
        f"ELSE TRY_CAST({value} AS TIMESTAMPTZ) END"
    )


def plain(value: str) -> str:
    """SQL of a JSON value as text; 5.0, as protocol buffers have it, is 5."""
    return (
        f"CASE WHEN left({value}, 1) = '\"' THEN {value} ->> '$' "
        f"WHEN left({value}, 1) IN ('{{', '[') THEN CAST(json({value}) AS VARCHAR) "
        f"ELSE regexp_replace({value}, '\\.0$', '') END"
    )


def shaped(doc: str, structure: Mapping[str, Any]) -> str:
    """SQL of those values of a document that are named, as a struct.

    Each function of JSON holds what it has parsed of thousands of rows: one is better than many.
    """
    return f"json_transform({doc}, {literal(json.dumps(structure))})"


def texts_of(*names: str) -> dict[str, Any]:
    """The structure of an object of texts."""
    return dict.fromkeys(names, "VARCHAR")


def info_of(*names: str) -> str:
    """SQL of the first of these values that is known of a trace."""
    return first(*(f"i.{name}" for name in names))


def metadata_of(*keys: str) -> str:
    """SQL of a value of a trace's metadata, which MLflow 2 calls the request's."""
    places = ("trace_metadata", "request_metadata")
    return first(*(f"i.{place}.{identifier(key)}" for key in keys for place in places))


_METADATA = texts_of(
    "mlflow.trace.user", "mlflow.trace.session", "mlflow.modelId", "mlflow.source.git.commit",
    "mlflow.traceInputs", "mlflow.traceOutputs",
)  # fmt: skip
_INFO = {
    **texts_of(
        "trace_id", "request_id", "client_request_id", "session_id", "experiment_id", "state",
        "status", "request_time", "timestamp_ms", "execution_duration_ms", "execution_duration",
        "execution_time_ms", "request_preview", "request", "response_preview", "response",
    ),
    "trace_location": {"mlflow_experiment": texts_of("experiment_id")},
    "trace_metadata": _METADATA,
    "request_metadata": _METADATA,
    "tags": "JSON",
    "assessments": "JSON",
}  # fmt: skip
EXPERIMENT = info_of("experiment_id", "trace_location.mlflow_experiment.experiment_id")

TRACES = f"""
pages AS (
  SELECT {PART}, {ROW}, {RAW}, unnest(CASE WHEN json_type({json_at("traces")}) = 'ARRAY'
    THEN {elements(json_at("traces"))} ELSE [doc] END) AS page
  FROM {RECORDS}
), opened AS (
  SELECT {PART}, {ROW}, {RAW}, {rest("info", "data", *_FRAME, doc="page")} AS others,
    CASE WHEN json_valid({at("trace", doc="page")}) THEN CAST({at("trace", doc="page")} AS JSON)
      ELSE page END AS doc
  FROM pages
), traces AS (
  -- A record may hold thousands of spans: what each of them carries along has to be small.
  SELECT * EXCLUDE ({RAW}, doc), CASE WHEN trace_id IS NULL THEN {RAW} ELSE CAST(info AS VARCHAR)
      END AS {RAW}, {rest("spans", doc=json_at("data"))} AS data,
    row_number() OVER () AS number
  FROM (
    SELECT *, regexp_replace(given_id, '^(trace:/.*/|tr-|0x)', '') AS trace_id
    FROM (
      SELECT *, {info_of("trace_id", "request_id")} AS given_id,
        {elements("i.assessments")} AS assessments,
        coalesce({there(json_at("data", "spans"))}, {json_at("spans")}) AS spans
      FROM (
        SELECT *, {shaped("info", _INFO)} AS i
        FROM (
          SELECT *, CASE WHEN json_type({json_at("info")}) = 'OBJECT' THEN {json_at("info")}
            ELSE json_merge_patch(doc, '{{"spans": null, "trace": null}}') END AS info
          FROM opened
        )
      )
    )
  )
)"""
