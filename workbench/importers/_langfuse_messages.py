"""Inputs and outputs as Langfuse stores them, whatever the instrumented library put there.

A text may be JSON within JSON; a conversation may be a list, the ``messages`` of an object, an
answer of OpenAI's chat or Responses API, LangChain's messages, or a list of tool calls of the
Vercel AI SDK. All become messages of ``role``, ``content``, ``name``, ``tool_calls`` and
``tool_call_id``. What is no conversation stays as it is.
"""

from __future__ import annotations

import json

from workbench.engine import literal
from workbench.importers._records import elements

_TEXT, _JSON = "VARCHAR", "JSON"
_FIELDS = literal(
    json.dumps(
        {
            "role": _TEXT,
            "type": _TEXT,
            "name": _TEXT,
            "content": _JSON,
            "output": _JSON,
            "tool_calls": _JSON,
            "additional_kwargs": {"tool_calls": _JSON},
            "call_id": _TEXT,
            "tool_call_id": _TEXT,
            "toolCallId": _TEXT,
        }
    )
)
_CALL_KEYS = ("id", "call_id", "toolCallId", "name", "toolName", "arguments", "args", "input")
_CALL_FIELDS = literal(
    json.dumps(
        {**dict.fromkeys(_CALL_KEYS, _TEXT), "function": {"name": _TEXT, "arguments": _TEXT}}
    )
)


def _without(value: str, *keys: str) -> str:
    """SQL of a JSON object without some keys and without nulls."""
    return (
        f"json_merge_patch(json_merge_patch('{{}}', {value}), '{json.dumps(dict.fromkeys(keys))}')"
    )


def _all(condition: str, values: str) -> str:
    """SQL of whether a list is not empty, and a condition on ``e`` holds for all its values."""
    return f"coalesce(list_bool_and(list_transform({values}, lambda e: {condition})), false)"


def _each(values: str, result: str) -> str:
    """SQL of a list with a result for each value ``e`` of another."""
    return f"list_transform({values}, lambda e: {result})"


def _not_empty(objects: str) -> str:
    """SQL of the JSON objects of a list that have keys."""
    return f"list_filter({objects}, lambda e: CAST(e AS VARCHAR) <> '{{}}')"


# Of an element ``e``: ``m`` is its JSON, ``p`` its fields, ``kind`` what it is.
_KIND = """CASE WHEN json_type(e.m) <> 'OBJECT' THEN NULL
  WHEN json_type(e.p.content, '$.function') = 'OBJECT' THEN 'other'
  WHEN e.p.role IS NOT NULL THEN 'message'
  WHEN e.p.type = 'reasoning' THEN 'other'
  WHEN e.p.type = 'function_call' THEN 'call'
  WHEN e.p.type = 'function_call_output' THEN 'result'
  WHEN e.p.type IN ('human', 'ai', 'system', 'tool') AND e.p.content IS NOT NULL
  THEN 'message' END"""
_CALLS = """CASE WHEN e.p.type = 'function_call' THEN json_array(e.m)
  WHEN json_array_length(e.p.tool_calls) > 0 THEN e.p.tool_calls
  WHEN json_array_length(e.p.additional_kwargs.tool_calls) > 0
  THEN e.p.additional_kwargs.tool_calls END"""
_ELEMENT = f"{{'m': e.m, 'p': e.p, 'kind': {_KIND}, 'calls': {_CALLS}}}"
_ROLE = """coalesce(e.p.role, CASE e.p.type WHEN 'function_call' THEN 'assistant'
  WHEN 'function_call_output' THEN 'tool' WHEN 'human' THEN 'user' WHEN 'ai' THEN 'assistant'
  ELSE e.p.type END)"""
_AS_CALL = f"""json_merge_patch(
  CASE WHEN json_extract_string(c.m, '$.type') = 'function_call' THEN '{{}}'
    ELSE {_without("c.m", "function", "type", *_CALL_KEYS)} END,
  json_object('id', coalesce(c.p.call_id, c.p.id, c.p."toolCallId"), 'type', 'function',
    'function', json_object('name', coalesce(c.p.function.name, c.p.name, c.p."toolName"),
      'arguments', coalesce(c.p.function.arguments, c.p.arguments, c.p.args, c.p.input))))"""
_AS_MESSAGE = f"""json_merge_patch('{{}}', json_object(
  'role', {_ROLE},
  'content', CASE e.kind WHEN 'message' THEN e.p.content WHEN 'result' THEN e.p.output END,
  'name', CASE WHEN e.kind <> 'call' THEN e.p.name END,
  'tool_calls', CASE WHEN e.calls IS NOT NULL THEN to_json(list_transform(list_transform(
    from_json(e.calls, '["JSON"]'), lambda c: {{'m': c, 'p': from_json(c, {_CALL_FIELDS})}}),
    lambda c: {_AS_CALL})) END,
  'tool_call_id', CASE e.kind WHEN 'result' THEN e.p.call_id ELSE e.p.tool_call_id END))"""
_LEFT = f"""CASE e.kind WHEN 'call' THEN {_without("e.m", "name", "call_id", "arguments")}
  WHEN 'result' THEN {_without("e.m", "call_id", "output")}
  ELSE json_merge_patch(
    {_without("e.m", "role", "content", "name", "tool_calls", "tool_call_id")},
    CASE WHEN e.p.additional_kwargs IS NULL OR e.calls IS DISTINCT FROM
      e.p.additional_kwargs.tool_calls THEN '{{}}'
    ELSE '{{"additional_kwargs": {{"tool_calls": null}}}}' END) END"""

_PART_IS_TEXT = """(coalesce(json_extract_string(e, '$.type'), '') IN ('text', 'output_text')
  AND coalesce(json_type(e, '$.text'), '') = 'VARCHAR')"""


def _text_of(content: str) -> str:
    """SQL of a content that is one text, or parts that are all texts; else NULL."""
    parts = elements(content)
    texts = _each(parts, "json_extract_string(e, '$.text')")
    return (
        f"CASE WHEN json_type({content}) = 'VARCHAR' THEN json_extract_string({content}, '$') "
        f"WHEN {_all(_PART_IS_TEXT, parts)} THEN array_to_string({texts}, '') END"
    )


def _wrapped(doc: str) -> tuple[str, str]:
    """SQL of the list of messages that a document holds, and of what stands beside it."""
    system = f"json_type({doc}, '$.system') = 'VARCHAR'"
    first = (
        f"CASE WHEN {system} THEN [json_object('role', 'system', 'content', "
        f"json_extract({doc}, '$.system'))] ELSE CAST([] AS JSON[]) END"
    )
    choice = f"json_extract({doc}, '$.choices[0]')"
    messages = f"json_extract({doc}, '$.messages')"
    kinds = {
        f"json_type({doc}, '$.messages') = 'ARRAY'": (
            f"list_concat({first}, {elements(messages)})",
            f"CASE WHEN {system} THEN {_without(doc, 'messages', 'system')} "
            f"ELSE {_without(doc, 'messages')} END",
        ),
        f"json_extract_string({doc}, '$.object') = 'response' "
        f"AND json_type({doc}, '$.output') = 'ARRAY'": (
            elements(f"json_extract({doc}, '$.output')"),
            _without(doc, "output"),
        ),
        f"json_array_length({doc}, '$.choices') = 1 "
        f"AND json_type({choice}, '$.message') = 'OBJECT'": (
            f"[json_extract({choice}, '$.message')]",
            f"json_merge_patch({_without(doc, 'choices')}, "
            f"json_object('choice', {_without(choice, 'message')}))",
        ),
        f"json_type({doc}, '$.message.role') = 'VARCHAR'": (
            f"[json_extract({doc}, '$.message')]",
            _without(doc, "message"),
        ),
    }
    lists = " ".join(f"WHEN {kind} THEN {values}" for kind, (values, _) in kinds.items())
    beside = " ".join(f"WHEN {kind} THEN {others}" for kind, (_, others) in kinds.items())
    return (
        f"CASE json_type({doc}) WHEN 'ARRAY' THEN {elements(doc)} "
        f"WHEN 'OBJECT' THEN CASE {lists} ELSE [{doc}] END END",
        f"CASE json_type({doc}) WHEN 'OBJECT' THEN CASE {beside} END END",
    )


def with_messages(source: str, side: str, text: str, *, answer: bool) -> str:
    """Query that adds a conversation to the rows of a relation.

    Parameters
    ----------
    source
        The relation, as SQL.
    side
        Prefix of the columns that are added: ``{side}_text``, the JSON text of the messages, or
        the stored text; ``{side}_calls``, the tool calls of an answer; ``{side}_reasoning``;
        ``{side}_left``, what the messages did not take, as a JSON object, NULL where nothing is
        left.
    text
        SQL of the stored text.
    answer
        Whether one message with one text becomes that text.
    """
    lists, beside = _wrapped("__doc")
    content = "json_extract(__messages[1], '$.content')"
    plain = (
        "len(__messages) = 1 AND json_extract_string(__messages[1], '$.role') = 'assistant' "
        "AND json_extract(__messages[1], '$.name') IS NULL"
    )
    one = f"CASE WHEN {plain} THEN nullif({_text_of(content)}, '') END" if answer else "NULL"
    parts = _not_empty(_each(elements(content), _without("e", "type", "text")))
    said = "list_filter(__kept, lambda e: e.kind <> 'other')"
    others = "list_filter(__kept, lambda e: e.kind = 'other')"
    calls_of = elements("json_extract(e, '$.tool_calls')")
    last_calls = elements("json_extract(__messages[-1], '$.tool_calls')")
    answered = _all("json_extract_string(e, '$.role') = 'assistant'", "__messages")
    only_calls = _all("json_type(e, '$.toolCallId') = 'VARCHAR'", "__listed")
    bare_calls = "json_object('role', 'assistant', 'content', '', 'tool_calls', __doc)"

    def listed(values: str) -> str:
        return f"CASE WHEN len({values}) > 0 THEN to_json({values}) END"

    relation = source
    for added in (
        f"{text} AS __text",
        "TRY_CAST(__text AS JSON) AS __outer",
        "json_extract_string(__outer, '$') AS __inner",
        "CASE WHEN json_type(__outer) = 'VARCHAR' AND json_type(TRY_CAST(__inner AS JSON)) "
        "IN ('OBJECT', 'ARRAY') THEN __inner ELSE __text END AS __stored",
        "TRY_CAST(__stored AS JSON) AS __doc",
        f"{lists} AS __listed, {beside} AS __beside",
        f"CASE WHEN {only_calls} THEN [{bare_calls}] ELSE __listed END AS __elements",
        _each("__elements", f"{{'m': e, 'p': from_json(e, {_FIELDS})}}") + " AS __parsed",
        _each("__parsed", _ELEMENT) + " AS __found",
        f"CASE WHEN {_all('e.kind IS NOT NULL', '__found')} THEN __found ELSE [] END AS __kept",
        f"{_each(said, _AS_MESSAGE)} AS __messages, {_not_empty(_each(said, _LEFT))} AS __left, "
        f"{_each(others, 'e.m')} AS __others",
        f"{one} AS __one, {parts} AS __parts, CASE WHEN {answered} "
        f"THEN flatten({_each('__messages', calls_of)}) ELSE {last_calls} END AS __calls",
    ):
        relation = f"(SELECT *, {added} FROM {relation})"
    return f"""
    SELECT * EXCLUDE (__text, __outer, __inner, __stored, __doc, __listed, __beside, __elements,
        __parsed, __found, __kept, __messages, __left, __others, __one, __parts, __calls),
      CASE WHEN len(__messages) > 0 THEN coalesce(__one, CAST(to_json(__messages) AS VARCHAR))
        ELSE __stored END AS {side}_text,
      CAST({listed("__calls")} AS VARCHAR) AS {side}_calls,
      nullif(array_to_string(json_extract_string(to_json(__others), '$[*].summary[*].text'),
        chr(10)), '') AS {side}_reasoning,
      CASE WHEN len(__messages) > 0 THEN nullif(CAST(json_merge_patch(coalesce(__beside, '{{}}'),
        json_object('messages', {listed("__left")}, 'other', {listed("__others")},
          'parts', CASE WHEN __one IS NOT NULL THEN {listed("__parts")} END)) AS VARCHAR), '{{}}')
        END AS {side}_left
    FROM {relation}
    """
