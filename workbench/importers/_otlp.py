"""OTLP JSON as relations: one row per span and per log record, with attributes as plain JSON.

Both spellings of names are read (``traceId`` of the protocol's JSON, ``trace_id`` of protobuf's own
and of Phoenix), and ids in hex as in base64.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from itertools import chain

from workbench.engine import identifier, literal
from workbench.importers import PART, ROW
from workbench.importers._records import RECORDS, elements, hex_id, since_epoch

NANOS = 1_000_000_000

#: How deep lists and maps within attributes are read; what lies deeper stays as it was written.
_DEPTH = 8
#: Parts of a name that are read apart, from its first number on.
_FOLDS = 9


def _spellings(*names: str) -> list[str]:
    """Names as OTLP's JSON spells them and as protobuf does."""
    snakes = ("".join(f"_{c.lower()}" if c.isupper() else c for c in name) for name in names)
    return list(dict.fromkeys(chain(names, snakes)))


def value_of(name: str, doc: str) -> str:
    """SQL of a member of an OTLP object as JSON, in either spelling."""
    found = [f"{doc} -> '$.{key}'" for key in _spellings(name)]
    return f"coalesce({', '.join(found)})"


def has(name: str, doc: str) -> str:
    """SQL of whether an OTLP object has a member, without a copy of it."""
    found = [f"json_type({doc}, '$.{key}') IS NOT NULL" for key in _spellings(name)]
    return f"({' OR '.join(found)})"


def text_of(name: str, doc: str) -> str:
    """SQL of a member of an OTLP object as text; NULL where it is empty."""
    return f"nullif({value_of(name, doc)} ->> '$', '')"


def hex_of(name: str, doc: str) -> str:
    """SQL of a member of an OTLP object that is the id of a span or a trace."""
    return hex_id(text_of(name, doc))


def names(listed: Sequence[str]) -> str:
    """SQL of texts in brackets."""
    return "(" + ", ".join(literal(name) for name in listed) + ")"


def rest_of(doc: str, *names: str) -> str:
    """SQL of what an OTLP object holds beside these members, as JSON."""
    without = json.dumps(dict.fromkeys(_spellings(*names)))
    return f"CAST(json_merge_patch({doc}, '{without}') AS JSON)"


def plain(value: str, depth: int = _DEPTH) -> str:
    """SQL of an AnyValue as the text of the JSON that it means."""
    if depth == 0:
        return f"CAST({value} AS VARCHAR)"
    key = f"json_keys({value})[1]"
    inner = f"({value} -> ('/' || {key}))"
    values = f"({inner} -> '$.values')"
    # The elements of a list are values, those of a map are pairs of a key and a value.
    children = (
        f"list_transform({elements(values)}, lambda c{depth}: "
        f"struct_pack(k := c{depth} ->> 'key', v := coalesce(c{depth} -> 'value', c{depth})))"
    )
    child = f"concat(to_json(e{depth}.k) || ':', {plain(f'e{depth}.v', depth - 1)})"
    return f"""CASE
      WHEN {key} IN ('arrayValue', 'array_value', 'kvlistValue', 'kvlist_value') THEN concat(
        if({key}[1] = 'a', '[', '{{'),
        list_aggregate(list_transform({children}, lambda e{depth}: {child}), 'string_agg', ','),
        if({key}[1] = 'a', ']', '}}'))
      WHEN {key} IN ('intValue', 'int_value') AND regexp_full_match({inner} ->> '$', '-?\\d+')
        THEN {inner} ->> '$'
      WHEN {key} = 'key' THEN 'null'
      ELSE coalesce(CAST({inner} AS VARCHAR), 'null') END"""


def members(doc: str) -> str:
    """SQL of a JSON object as a list of ``key`` and ``value`` (JSON)."""
    return f"""map_entries(from_json({doc}, '"MAP(VARCHAR, JSON)"'))"""


def attributes(holder: str) -> str:
    """SQL of the attributes of an OTLP object as a list of ``key`` and ``value`` (JSON)."""
    listed = f"({holder} -> '$.attributes')"
    pairs = (
        f"list_transform({elements(listed)}, lambda c0: "
        "struct_pack(key := c0 ->> 'key', value := coalesce(c0 -> 'value', '{}')))"
    )
    # SDKs in JavaScript, and Phoenix, write attributes as the object that they mean.
    return (
        f"CASE WHEN json_type({listed}) = 'OBJECT' THEN {members(listed)} "
        f"ELSE list_transform({pairs}, lambda e0: "
        f"struct_pack(key := e0.key, value := CAST({plain('e0.value')} AS JSON))) END"
    )


def json_of(pairs: str) -> str:
    """SQL of a list of ``key`` and ``value`` as one JSON object."""
    members = f"list_transform({pairs}, lambda p: to_json(p.key) || ':' || p.value)"
    return f"CAST(concat('{{', list_aggregate({members}, 'string_agg', ','), '}}') AS JSON)"


def _holder(doc: str) -> str:
    """SQL of a resource or a scope with plain attributes; NULL for an empty one."""
    patched = (
        f"json_merge_patch({rest_of(doc, 'attributes')}, "
        f"json_object('attributes', nullif({json_of(attributes(doc))}, '{{}}')))"
    )
    return f"CAST(nullif(CAST({patched} AS VARCHAR), '{{}}') AS JSON)"


def _unnested(signal: str, items: str, name: str) -> str:
    """SQL of the rows of one signal: resource and scope with each of them.

    A line may hold hundreds of spans, and DuckDB takes 2,048 lines at a time: one cast of a line
    copies it once, a path for each level would copy it for each.
    """
    rows = {key: ["JSON"] for key in _spellings(items)}
    scopes = [{"scope": "JSON", **rows}]
    levels = _spellings(f"scope{signal}", f"instrumentationLibrary{signal}")
    resources = [{"resource": "JSON", **dict.fromkeys(levels, scopes)}]
    tops = _spellings(f"resource{signal}")
    shape = literal(json.dumps(dict.fromkeys(tops, resources)))

    def first_of(holder: str, keys: Sequence[str]) -> str:
        return "coalesce(" + ", ".join(f"{holder}.{key}" for key in keys) + ")"

    return f"""
SELECT *, row_number() OVER () AS n FROM (
  SELECT {PART}, {ROW}, resource, scope, unnest({first_of("s", list(rows))}) AS {name}
  FROM (
    SELECT {PART}, {ROW}, resource, s, {_holder("s.scope")} AS scope
    FROM (
      SELECT {PART}, {ROW}, {_holder("r.resource")} AS resource,
        unnest({first_of("r", levels)}) AS s
      FROM (SELECT {PART}, {ROW}, unnest({first_of("t", tops)}) AS r
        FROM (SELECT {PART}, {ROW}, from_json(doc, {shape}) AS t FROM {RECORDS}))
    )
  )
)"""


SPANS = f"""
SELECT *, {hex_of("spanId", "span")} AS span_id,
  {hex_of("traceId", "span")} AS trace_id,
  {hex_of("parentSpanId", "span")} AS parent_id,
  {since_epoch(text_of("startTimeUnixNano", "span"), NANOS)} AS started,
  {attributes("span")} AS own
FROM ({_unnested("Spans", "spans", "span")})
"""

LOGS = f"""
SELECT *, coalesce({text_of("eventName", "log")}, attributes ->> '$."event.name"') AS name,
  {hex_of("spanId", "log")} AS span_id, {hex_of("traceId", "log")} AS trace_id,
  coalesce(nullif({text_of("timeUnixNano", "log")}, '0'),
    {text_of("observedTimeUnixNano", "log")}) AS time
FROM (SELECT *, {json_of("own")} AS attributes FROM (
  SELECT *, {attributes("log")} AS own, CAST({plain("(log -> '$.body')")} AS JSON) AS body
  FROM ({_unnested("Logs", "logRecords", "log")})))
"""


def events(span: str) -> str:
    """SQL of the events of a span as a list of JSON objects with plain attributes."""
    listed = f"({span} -> '$.events')"
    return (
        f"list_transform({elements(listed)}, lambda ev: "
        f"json_merge_patch({rest_of('ev', 'attributes', 'timeUnixNano')}, json_object('time', "
        f"{text_of('timeUnixNano', 'ev')}, 'attributes', {json_of(attributes('ev'))})))"
    )


def _folded(pairs: str) -> str:
    """SQL of what names with numbers in them mean: ``a.b.0.c`` is within a list ``a.b``.

    Parameters
    ----------
    pairs
        Relation with ``n``, ``name`` (that of the list), ``inner_name`` and ``value`` (JSON).

    Returns
    -------
    str
        Relation with ``n``, ``name`` and ``value``.
    """
    query = f"""
    SELECT n, name, CAST(value AS VARCHAR) AS value, if(len(steps) > {_FOLDS},
      steps[:{_FOLDS - 1}] || [array_to_string(steps[{_FOLDS}:], '.')], steps) AS path
    FROM (SELECT *, string_split(inner_name, '.') AS steps FROM {pairs})"""
    for length in range(_FOLDS, 0, -1):
        last = f"path[{length}]"
        query = f"""
    SELECT n, name, outer_path AS path, CASE WHEN NOT deep THEN any_value(value)
      WHEN bool_and(regexp_full_match({last}, '\\d{{1,9}}'))
      THEN '[' || string_agg(value, ',' ORDER BY TRY_CAST({last} AS INTEGER)) || ']'
      ELSE '{{' || string_agg(to_json({last}) || ':' || value, ',' ORDER BY {last}) || '}}' END
      AS value
    FROM (SELECT *, len(path) = {length} AS deep,
      if(len(path) = {length}, path[:{length - 1}], path) AS outer_path FROM ({query}))
    GROUP BY n, name, outer_path, deep"""
    return f"SELECT n, name, CAST(value AS JSON) AS value FROM ({query})"


def wide(keys: Sequence[str]) -> str:
    """SQL of attributes as columns, and of the parameters of the request, whatever their names."""
    columns = ", ".join(
        f"any_value(value) FILTER (key = {literal(key)}) AS {identifier(key)}" for key in keys
    )
    request = "(starts_with(key, 'gen_ai.request.') AND key <> 'gen_ai.request.model')"
    pair = "to_json(substr(key, 16)) || ':' || value"
    return f"""
  SELECT n, {columns},
    '{{' || string_agg({pair}, ',' ORDER BY key) FILTER ({request}) || '}}' AS request
  FROM pairs WHERE key IN {names(keys)} OR {request} GROUP BY n"""


def lists(wanted: Sequence[str]) -> str:
    """SQL of what attributes with numbers in their names mean, as a column for each list."""
    columns = ", ".join(
        f"any_value(value) FILTER (name = {literal(name)}) AS {identifier(name + '[]')}"
        for name in wanted
    )
    numbered = f"""(SELECT * FROM (
      SELECT n, value, regexp_extract(key, '^(.*?)\\.\\d+(\\.|$)', 1) AS name,
        regexp_extract(key, '^.*?\\.(\\d+(\\..*)?)$', 1) AS inner_name
      FROM pairs WHERE regexp_matches(key, '\\.\\d+(\\.|$)')) WHERE name IN {names(wanted)})"""
    return f"SELECT n, {columns} FROM ({_folded(numbered)}) GROUP BY n"
