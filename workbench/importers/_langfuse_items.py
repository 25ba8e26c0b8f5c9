"""The items of Langfuse's exports: observations, traces, scores and comments, however wrapped.

A record may be a row, a page of rows, or a trace with its observations and scores.
"""

from __future__ import annotations

import json
import re

from workbench.engine import identifier, literal
from workbench.importers import PART, ROW
from workbench.importers._records import RECORDS, elements, rest, since_epoch

#: Names of the fields that are read, as blob exports spell them; the API writes them in camel case.
_FIELDS = (
    "id", "type", "name", "trace_id", "observation_id", "parent_observation_id", "session_id",
    "user_id", "start_time", "end_time", "timestamp", "created_at", "updated_at", "tags", "version",
    "release", "bookmarked", "public", "trace_name", "model", "provided_model_name",
    "model_parameters", "usage_details", "usage", "prompt_tokens", "completion_tokens",
    "input_usage", "output_usage", "cost_details", "total_cost", "latency_ms", "value",
    "string_value", "long_string_value", "data_type", "source", "subject", "comment",
    "author_user_id", "author_email", "object_type", "object_id", "content",
)  # fmt: skip
#: Those that are large: they are read where they are needed, not carried along.
_LARGE = ("input", "output", "metadata", "comments", "tool_calls", "tool_call_names")
NOT_SCORES = (*_FIELDS, *_LARGE, "trace_tags", "observations", "scores", "corrections")
_NESTED = ("observations", "scores", "corrections")


def _camel(name: str) -> str:
    return re.sub(r"_(\w)", lambda match: match[1].upper(), name)


def spellings(*names: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(way for name in names for way in (name, _camel(name))))


STRUCTURE = literal(json.dumps(dict.fromkeys(spellings(*_FIELDS), "VARCHAR")))


def of(name: str, parsed: str = "p") -> str:
    """SQL of a field of an item as text; what is empty is NULL."""
    ways = ", ".join(f"{parsed}.{identifier(way)}" for way in spellings(name))
    return f"nullif(coalesce({ways}), '')"


def large(name: str, doc: str = "doc") -> str:
    """SQL of one of the large fields of an item as text."""
    ways = ", ".join(f"json_extract_string({doc}, '$.{way}')" for way in spellings(name))
    return f"coalesce({ways})"


def as_json(name: str, parsed: str = "p") -> str:
    """SQL of a field of an item as JSON, which may stand there as text."""
    text = large(name) if name in _LARGE else of(name, parsed)
    return f"TRY_CAST({text} AS JSON)"


def moment(name: str, parsed: str = "p") -> str:
    """SQL of a time, which is UTC where it has no zone."""
    text = of(name, parsed)
    return (
        f"CASE WHEN regexp_full_match({text}, '\\d{{13}}') THEN {since_epoch(text, 1000)} "
        f"ELSE TRY_CAST({text} AS TIMESTAMPTZ) END"
    )


def _objects(doc: str, key: str) -> str:
    """SQL of the objects in a list of a document; the API lists bare ids in places."""
    listed = elements(f"json_extract({doc}, '$.{key}')")
    return f"list_filter({listed}, lambda e: json_type(e) = 'OBJECT')"


def _bare(doc: str) -> str:
    """SQL of a document without the lists of objects that become items of their own."""
    for key in _NESTED:
        doc = (
            f"CASE WHEN json_type({doc}, '$.{key}[0]') = 'OBJECT' "
            f"THEN json_merge_patch({doc}, '{{\"{key}\": null}}') ELSE {doc} END"
        )
    return doc


def _beside(*keys: str) -> str:
    return f"CAST({rest(*keys)} AS JSON)"


_PAGED = "coalesce(json_type(doc, '$.data[0]') = 'OBJECT', false)"
_TRACED = (
    "coalesce(json_type(doc, '$.trace.id') IS NOT NULL AND json_type(doc, '$.id') IS NULL, false)"
)
_IDS = "list_transform({listed}, lambda e: json_extract_string(e, '$.id'))"
_OUTER = _objects("doc", "observations")
_INNER = (
    f"list_filter({_objects('trace', 'observations')}, lambda e: NOT list_contains("
    f"{_IDS.format(listed=_OUTER)}, json_extract_string(e, '$.id')))"
)
_KIND = f"""CASE WHEN {of("id")} IS NULL THEN NULL
  WHEN {of("data_type")} IS NOT NULL AND {of("name")} IS NOT NULL THEN 'score'
  WHEN {of("type")} IS NOT NULL AND {of("start_time")} IS NOT NULL THEN 'observation'
  WHEN {of("content")} IS NOT NULL
    AND coalesce({of("object_type")}, {of("author_email")}) IS NOT NULL THEN 'comment'
  WHEN {of("timestamp")} IS NOT NULL
    AND coalesce({of("public")}, {of("bookmarked")}) IS NOT NULL THEN 'trace' END"""
# Overlapping windows hold an item twice. Of equal age, the one that knows its user.
_AGE = f"""{moment("updated_at")} DESC NULLS LAST,
  coalesce({of("user_id")}, {of("session_id")}, {of("trace_name")}) IS NULL, md5(doc)"""


# What each record holds that is no list of items of its own.
_DOCUMENTS = f"""
SELECT {PART}, {ROW}, doc, NULL::JSON AS page, CAST([] AS JSON[]) AS more
  FROM {RECORDS} WHERE NOT {_PAGED} AND NOT {_TRACED}
UNION ALL
SELECT {PART}, {ROW}, data[i], CASE WHEN i = 1 THEN page END, []
  FROM (SELECT *, unnest(range(1, len(data) + 1)) AS i
    FROM (SELECT *, {elements("json_extract(doc, '$.data')")} AS data, {_beside("data")} AS page
      FROM {RECORDS} WHERE {_PAGED} AND NOT {_TRACED}))
UNION ALL
SELECT {PART}, {ROW}, json_merge_patch(trace, '{{"observations": null}}'),
    {_beside("trace", "observations", "scores")},
    list_concat({_OUTER}, list_concat({_objects("doc", "scores")}, {_INNER}))
  FROM (SELECT *, json_extract(doc, '$.trace') AS trace FROM {RECORDS} WHERE {_TRACED})"""


# The items, each with its fields ``p``.
_PARSED = f"""
SELECT *, from_json(doc, {STRUCTURE}) AS p FROM (
  SELECT {PART}, {ROW}, {_bare("doc")} AS doc, page FROM documents
  UNION ALL
  SELECT {PART}, {ROW}, e, NULL FROM (SELECT {PART}, {ROW},
    unnest(list_concat(more, list_concat({_objects("doc", "observations")}, list_concat(
      {_objects("doc", "scores")}, {_objects("doc", "corrections")})))) AS e FROM documents))"""


def items(kept: str) -> dict[str, str]:
    """Relations that end in ``items``, by name: those items of which `kept` is not false.

    An item has its document ``doc``, fields ``p`` and ``kind``, the ``page`` that its record said
    beside it, and a ``reason`` where it is refused.
    """
    query = f"""
SELECT *, CASE WHEN kind IS NULL THEN 'unknown_record' WHEN row_number() OVER (
  PARTITION BY kind, {of("id")} ORDER BY {_AGE}) > 1 THEN 'superseded' END AS reason
FROM (SELECT *, {_KIND} AS kind FROM parsed) WHERE coalesce({kept}, true)"""
    return {"documents": _DOCUMENTS, "parsed": _PARSED, "items": query}


def metadata(taken: tuple[str, ...], doc: str = "doc", item: str = "", **more: str) -> str:
    """SQL of what no column took of an item, its own metadata as JSON, and `more`."""
    stored = f"nullif({large('metadata', f'{item}doc')}, '')"
    own = f"TRY_CAST({stored} AS JSON)"
    kept = (
        f"nullif(CASE WHEN json_type({own}) IN ('OBJECT', 'ARRAY') THEN {own} "
        f"ELSE to_json({stored}) END, '{{}}')"
    )
    pairs = {"metadata": kept, "page": f"{item}page", **more}
    listed = ", ".join(f"{literal(key)}, {value}" for key, value in pairs.items())
    bare = rest(*spellings(*taken, "metadata"), doc=f"{item}{doc}")
    return (
        f"nullif(CAST(json_merge_patch(coalesce({bare}, '{{}}'), json_object({listed})) "
        "AS VARCHAR), '{}')"
    )
