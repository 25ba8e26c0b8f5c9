"""What the attributes of spans say of a call, whichever way they are written.

OpenTelemetry's attributes have names with dots and numbers in them, which systems store as they
are, nested, or as columns. `flat` makes one row per attribute of all of these, `KNOWN` a column of
each that is read, and `ANSWERS` what went in, what came out, and what is left.
"""

from __future__ import annotations

from workbench.importers import _gen_ai as gen_ai
from workbench.importers._gen_ai import member, text
from workbench.importers._otlp import lists, wide
from workbench.importers._records import elements

#: OpenInference names within the elements of a list what the elements are: ``0.message.role``.
_WRAPPERS = (
    "message", "message_content", "tool_call", "document", "embedding", "annotation", "evaluation",
    "prompt", "completion", "tool",
)  # fmt: skip

#: The model that was asked for, and the one that answered, by the attributes that may hold it.
_MODEL = ("gen_ai.request.model", "llm.request.model_name", "llm.model_name",
          "embedding.model_name", "reranker.model_name", "decision.request.model_name",
          "decision.model_name", "langfuse.observation.model.name",
          "gen_ai.response.model")  # fmt: skip
_VERSION = ("gen_ai.response.model", "llm.response.model_name", "decision.response.model_name",
            "llm.model_name", *_MODEL)  # fmt: skip
_PARAMS = ("llm.invocation_parameters", "embedding.invocation_parameters",
           "langfuse.observation.model.parameters")  # fmt: skip
_INPUT_TOKENS = ("gen_ai.usage.input_tokens", "gen_ai.usage.prompt_tokens",
                 "llm.token_count.prompt", "decision.token_count.input")  # fmt: skip
_OUTPUT_TOKENS = ("gen_ai.usage.output_tokens", "gen_ai.usage.completion_tokens",
                  "llm.token_count.completion", "decision.token_count.output")  # fmt: skip
#: What the AI SDK counts by names of its own: on the call, and once more on the span around it.
_AI_INPUT_TOKENS = ("ai.usage.inputTokens", "ai.usage.promptTokens", "ai.usage.tokens")
_AI_OUTPUT_TOKENS = ("ai.usage.outputTokens", "ai.usage.completionTokens")
_KEYS = tuple(dict.fromkeys((
    *gen_ai.KEYS, *_MODEL, *_VERSION, *_PARAMS, *_INPUT_TOKENS, *_OUTPUT_TOKENS,
    *_AI_INPUT_TOKENS, *_AI_OUTPUT_TOKENS,
    "ai.operationId", "ai.model.id", "openinference.span.kind",
)))  # fmt: skip

#: Lists of verdicts by the scope of what they judge.
VERDICTS = {
    "inference": ("annotations", "evaluations"),
    "trace": ("trace.annotations", "trace.evaluations"),
    "session": ("session.annotations", "session.evaluations"),
}
_LISTS = tuple(dict.fromkeys((*gen_ai.LISTS, *(n for names in VERDICTS.values() for n in names))))


def flat(relation: str, whole: str) -> str:
    """SQL of one row per value of nested JSON: ``n``, its path with dots as ``key``, ``value``.

    Lists of scalars, empty ones and what is called `whole` stay as they are; nulls are left out.

    Parameters
    ----------
    relation
        Relation with ``n`` and ``doc``.
    whole
        SQL list of the keys whose values are not looked into.
    """
    deep = (
        "(e.type = 'OBJECT' AND e.value <> '{}') "
        "OR coalesce(json_type(e.value -> 0) = 'OBJECT', false)"
    )
    return f"""
WITH RECURSIVE tree AS (
  SELECT n, e.key, e.value, ({deep}) AND NOT list_contains({whole}, e.key) AS deep
  FROM {relation} t, json_each(t.doc) e WHERE e.type <> 'NULL'
  UNION ALL
  SELECT n, t.key || '.' || e.key, e.value,
    ({deep}) AND NOT list_contains({whole}, t.key || '.' || e.key)
  FROM tree t, json_each(t.value) e WHERE t.deep AND e.type <> 'NULL'
)
SELECT n, key, value FROM tree WHERE NOT deep"""


def plain(key: str) -> str:
    """SQL of a name without what OpenInference calls the elements of its lists."""
    return f"regexp_replace({key}, '\\.(\\d+)\\.(?:{'|'.join(_WRAPPERS)})\\.', '.\\1.', 'g')"


def packed(relation: str, name: str) -> str:
    """SQL of rows of ``n``, ``key`` and ``value`` as one JSON object `name` per ``n``."""
    return (
        f"SELECT n, CAST('{{' || string_agg(to_json(key) || ':' || CAST(value AS VARCHAR), ',' "
        f"ORDER BY key) || '}}' AS JSON) AS {name} FROM {relation} GROUP BY n"
    )


#: Common table expressions over ``pairs``: attributes that are read as columns, and lists of them.
KNOWN = f"""
wide AS ({wide(_KEYS)}),
lists AS ({lists(_LISTS)})"""

_EMBEDDED = member("embedding.embeddings[]")
_INSTRUCTIONS = member(gen_ai.SYSTEM)
_SYSTEM = f"json_array(json_object('role', 'system', 'parts', {gen_ai.parsed(_INSTRUCTIONS)}))"
_CALLS = elements("(o -> '$.tool_calls')")

#: Common table expressions that end in ``answers``, over ``known``: ``n``, the columns of `KNOWN`,
#: ``asked`` and ``answered`` (messages that stood elsewhere).
ANSWERS = f"""
valued AS (
  SELECT *, {gen_ai.parsed(gen_ai.GIVEN)} AS given, {gen_ai.GIVEN_AT} AS given_at,
    {gen_ai.parsed(gen_ai.CAME)} AS came, {gen_ai.CAME_AT} AS came_at,
    CASE WHEN json_array_length({_EMBEDDED}) = 1 THEN {_EMBEDDED} -> 0 END AS embedded
  FROM known
),
spoken AS (
  SELECT *,
    CASE WHEN {gen_ai.is_messages("given")} THEN list_concat(
      CASE WHEN {_INSTRUCTIONS} IS NULL THEN [] ELSE {gen_ai.messages(_SYSTEM)} END,
      {gen_ai.messages("given")}) END AS ins,
    CASE WHEN {gen_ai.is_messages("came")} THEN {gen_ai.messages("came")} END AS outs
  FROM valued
),
-- Where the answer is one text, that is the output, and the rest of its message is kept beside it.
answers AS MATERIALIZED (
  SELECT *, {gen_ai.parts_of("outs", "reasoning", "thinking")} AS thoughts,
    {gen_ai.parts_of("outs", "text")} AS texts,
    list_concat(flatten(list_transform(outs, lambda o: {_CALLS})),
      {gen_ai.parts_of("outs", "tool_call", "tool_use", "tool-call")}) AS calls,
    CASE WHEN len(outs) = 1 AND json_type(outs[1] -> '$.content') = 'VARCHAR'
      THEN outs[1] ->> '$.content'
      WHEN len(outs) = 1 AND len(texts) = 1 THEN {gen_ai.part_text("texts[1]")} END AS answer,
    coalesce(len(outs) = 1 AND json_type(outs[1] -> '$.content') = 'NULL', false) AS silent
  FROM spoken
)"""


def _taken(place: str) -> str:
    within = f"right({place}, 2) = '[]' AND starts_with(key, replace({place}, '[]', '.'))"
    return f"coalesce(key = {place} OR ({within}), false)"


#: SQL of what no column of `COLUMNS` holds whole, as one object ``attributes`` per ``n``.
ABOUT = packed(
    f"""(
  SELECT n, key, value
  FROM pairs JOIN (SELECT n, given_at, came_at, ins, embedded FROM answers) USING (n)
  WHERE NOT {_taken("given_at")} AND NOT {_taken("came_at")}
    AND NOT (ins IS NOT NULL AND key = '{gen_ai.SYSTEM}')
    AND NOT (embedded IS NOT NULL AND key = 'embedding.embeddings.0.vector')
    AND NOT regexp_full_match(key, 'retrieval\\.documents\\.\\d+\\.(id|content|score)'))""",
    "attributes",
)


def _whole(*keys: str) -> str:
    return f"CAST(TRY_CAST({text(*keys)} AS DOUBLE) AS BIGINT)"


_DOCUMENTS = elements(f"coalesce({', '.join(member(f'{key}[]') for key in gen_ai.DOCUMENTS)})")
_TAGS = elements(gen_ai.parsed(f"coalesce({', '.join(member(key) for key in gen_ai.TAGS)})"))
# Only the inner of the two spans of the AI SDK is the call itself: ``ai.embed.doEmbed``.
_IS_CALL = f"regexp_matches({text('ai.operationId')}, '\\.do[A-Z]')"
_OWN_CALL = f"CASE WHEN {_IS_CALL} THEN {text('ai.model.id')} END"


def _tokens(keys: tuple[str, ...], of_a_call: tuple[str, ...]) -> str:
    return f"coalesce({_whole(*keys)}, CASE WHEN {_IS_CALL} THEN {_whole(*of_a_call)} END)"


#: Contract's columns of inferences by SQL over ``answers``.
COLUMNS = {
    "model": f"coalesce({text(*_MODEL)}, {_OWN_CALL})",
    "model_version": f"coalesce({text(*_VERSION)}, {_OWN_CALL}, 'unknown')",
    "params": f"coalesce(request, {text(*_PARAMS)})",
    "user_id": text(*gen_ai.USER),
    "session_id": text(*gen_ai.SESSION),
    "input": "coalesce(CAST(to_json(ins) AS VARCHAR), given ->> '$', embedded ->> '$.text')",
    "output": "CASE WHEN answer IS NOT NULL THEN answer "
    "WHEN NOT silent THEN coalesce(CAST(to_json(outs) AS VARCHAR), came ->> '$') END",
    "reasoning": "nullif(list_aggregate(list_transform(thoughts, lambda p: "
    f"{gen_ai.part_text('p')}), 'string_agg', E'\\n'), '')",
    "tool_calls": "CASE WHEN len(calls) > 0 THEN CAST(to_json(calls) AS VARCHAR) END",
    "retrieved": f"nullif(list_transform({_DOCUMENTS}, lambda d: struct_pack(id := d ->> '$.id', "
    "text := d ->> '$.content', score := TRY_CAST(d ->> '$.score' AS DOUBLE))), [])",
    "embedding": "TRY_CAST(embedded -> '$.vector' AS FLOAT[])",
    "input_tokens": _tokens(_INPUT_TOKENS, _AI_INPUT_TOKENS),
    "output_tokens": _tokens(_OUTPUT_TOKENS, _AI_OUTPUT_TOKENS),
    "cost": f"TRY_CAST({text(*gen_ai.COST)} AS DOUBLE)",
    "tags": f"nullif(list_transform({_TAGS}, lambda t: t ->> '$'), [])",
}

#: What an answer's message said beside its text and its calls, as JSON.
RESPONSE = """CASE WHEN answer IS NULL AND NOT silent THEN NULL
  WHEN json_type(outs[1] -> '$.content') = 'ARRAY' THEN outs[1]
  ELSE nullif(json_merge_patch(outs[1], '{"role":null,"content":null,"tool_calls":null}'), '{}')
  END"""
