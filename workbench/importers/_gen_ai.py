"""What attributes of spans mean: OpenTelemetry's conventions for GenAI, new and old, and others'.

Keys are tried in order, the newest of OpenTelemetry first. Expressions are over a relation that has
a column for each of `KEYS`, by its name, and one for each of `LISTS`: what numbered names mean.
"""

from __future__ import annotations

from workbench.engine import identifier, json_path, literal
from workbench.importers._records import elements, first

#: Texts of a column by the attributes that may hold it.
SESSION = ("gen_ai.conversation.id", "session.id", "langfuse.session.id",
           "traceloop.association.properties.session_id")  # fmt: skip
USER = ("user.id", "enduser.id", "langfuse.user.id", "traceloop.association.properties.user_id")
COST = ("gen_ai.usage.cost", "llm.cost.total")
RESPONSE = ("gen_ai.response.id", "ai.response.id")
#: Where what went in and what came out may stand: lists of messages, events, texts.
_INPUTS = (
    "gen_ai.input.messages", "gen_ai.prompt[]", "llm.input_messages[]", "events", "gen_ai.prompt",
    "ai.prompt.messages", "ai.prompt", "input.value", "llm.prompts[]", "gen_ai.tool.call.arguments",
    "ai.toolCall.args", "traceloop.entity.input", "langfuse.observation.input",
    "mlflow.spanInputs",
)  # fmt: skip
_OUTPUTS = (
    "gen_ai.output.messages", "gen_ai.completion[]", "llm.output_messages[]", "events",
    "gen_ai.completion", "ai.response.text", "ai.response.object", "output.value",
    "gen_ai.tool.call.result", "ai.toolCall.result", "traceloop.entity.output",
    "langfuse.observation.output", "mlflow.spanOutputs",
)  # fmt: skip
SYSTEM = "gen_ai.system_instructions"
TAGS = ("tag.tags", "langfuse.trace.tags")
DOCUMENTS = ("retrieval.documents", "reranker.output_documents")
EMBEDDINGS = "embedding.embeddings"
KEYS = tuple(dict.fromkeys(
    (*SESSION, *USER, *COST, *TAGS, SYSTEM,
     "error.type", *(key for key in (*_INPUTS, *_OUTPUTS) if key[-1] != "]" and key != "events"))
))  # fmt: skip
LISTS = (*DOCUMENTS, EMBEDDINGS, *(k[:-2] for k in (*_INPUTS, *_OUTPUTS) if k[-1] == "]"))

#: Spans' events and log records that carry a message each, and those that carry attributes.
MESSAGES = ("gen_ai.system.message", "gen_ai.user.message", "gen_ai.assistant.message",
            "gen_ai.tool.message", "gen_ai.choice")  # fmt: skip
DETAILS = "gen_ai.client.inference.operation.details"
CARRIERS = (DETAILS, "gen_ai.content.prompt", "gen_ai.content.completion")
SAID = (*MESSAGES, *CARRIERS)


def member(key: str, doc: str | None = None) -> str:
    """SQL of an attribute as JSON: a column, or a member of the JSON object `doc`."""
    if doc is None:
        return identifier(key)
    return f"({doc} -> {json_path(key)})"


def text(*keys: str, doc: str | None = None) -> str:
    """SQL of the first of these attributes that is there and not empty, as text."""
    return first(*(f"({member(key, doc)} ->> '$')" for key in keys))


def parsed(value: str) -> str:
    """SQL of a JSON value; of a text that is itself a JSON list or object, that one."""
    inner = f"{value} ->> '$'"
    return (
        f"CASE WHEN json_type({value}) = 'VARCHAR' AND regexp_matches({inner}, '^\\s*[\\[{{]') "
        f"AND json_valid({inner}) THEN CAST({inner} AS JSON) ELSE {value} END"
    )


def chosen(places: tuple[str, ...], events: str) -> tuple[str, str]:
    """SQL of the first value that is there, and of the name of where it stood."""
    there = [
        f"nullif({events if place == 'events' else member(place)}, 'null')" for place in places
    ]
    names = " ".join(
        f"WHEN {value} IS NOT NULL THEN {literal(place)}"
        for place, value in zip(places, there, strict=True)
    )
    return f"coalesce({', '.join(there)})", f"CASE {names} END"


GIVEN, GIVEN_AT = chosen(_INPUTS, "asked")
CAME, CAME_AT = chosen(_OUTPUTS, "answered")


def is_messages(value: str) -> str:
    """SQL of whether a JSON value is a list of messages."""
    keys = ("role", "message", "parts")
    found = ", ".join(f"{value} ->> '$[0].{key}'" for key in keys)
    return f"(json_type({value}) = 'ARRAY' AND coalesce({found}) IS NOT NULL)"


def messages(value: str) -> str:
    """SQL of messages, however they are written, as a list of JSON ``{"role", "content", ...}``.

    The content is a text where it is one text, else its parts as they are.
    """
    message = parsed("(m -> '$.message')")
    # A choice, and a message of OpenInference, is wrapped in an object.
    unwrapped = (
        "CASE WHEN (m -> '$.message') IS NULL THEN m ELSE json_merge_patch(m, "
        f"""'{{"message":null}}', {message}) END"""
    )
    parts = "coalesce(i -> '$.parts', i -> '$.contents', i -> '$.content')"
    one = f"({parts} -> 0)"
    content = (
        f"CASE WHEN json_type({parts}) <> 'ARRAY' THEN i -> '$.content' "
        f"WHEN json_array_length({parts}) = 1 AND {part_type(one)} = 'text' "
        f"THEN to_json({part_text(one)}) ELSE {parts} END"
    )
    others = """'{"role":null,"content":null,"parts":null,"contents":null}'"""
    made = (
        f"json_merge_patch(json_object('role', i ->> '$.role', 'content', {content}), "
        f"json_merge_patch(i, {others}))"
    )
    inner = f"list_transform({elements(value)}, lambda m: {unwrapped})"
    return f"list_transform({inner}, lambda i: {made})"


def part_text(part: str) -> str:
    """SQL of the text of a part of a message."""
    keys = ("content", "text", "message_content.text")
    return "coalesce(" + ", ".join(f"{part} ->> '$.{key}'" for key in keys) + ")"


def part_type(part: str) -> str:
    """SQL of the type of a part of a message."""
    return f"coalesce({part} ->> '$.type', {part} ->> '$.message_content.type')"


def parts_of(listed: str, *types: str) -> str:
    """SQL of the parts of these types of all of a list of messages, as a list of JSON."""
    wanted = ", ".join(literal(name) for name in types)
    content = elements("(o -> '$.content')")
    parts = f"flatten(list_transform({listed}, lambda o: {content}))"
    return f"list_filter({parts}, lambda p: {part_type('p')} IN ({wanted}))"
