"""Prompts and answers: logged texts, or JSON of messages and of parts, as the formats need them.

A prompt is text, a JSON array of messages, or an object with ``messages`` and perhaps ``system``.
An answer is text, a JSON array of parts, or a message. A message without text, such as a tool call,
has its JSON as content: nothing is left out.
"""

from __future__ import annotations

_MESSAGE = "STRUCT(role VARCHAR, content VARCHAR)"

#: Macros that the SQL of the formats uses.
MACROS = (
    """CREATE OR REPLACE TEMP MACRO part_text(p) AS CASE json_type(p)
      WHEN 'VARCHAR' THEN p ->> '$'
      WHEN 'OBJECT' THEN coalesce(p ->> '$.text', p ->> '$.value', CAST(p AS VARCHAR))
      ELSE CAST(p AS VARCHAR) END""",
    """CREATE OR REPLACE TEMP MACRO content_text(c) AS CASE json_type(c)
      WHEN 'ARRAY' THEN array_to_string(
        list_transform(from_json(c, '["JSON"]'), lambda p: part_text(p)), '')
      WHEN 'NULL' THEN NULL ELSE part_text(c) END""",
    f"""CREATE OR REPLACE TEMP MACRO json_messages(j) AS list_transform(
      from_json(j, '["JSON"]'), lambda m: CAST({{
        'role': coalesce(m ->> '$.role', 'user'),
        'content': coalesce(nullif(content_text(m -> '$.content'), ''), CAST(m AS VARCHAR))
      }} AS {_MESSAGE}))""",
    f"""CREATE OR REPLACE TEMP MACRO as_messages(t) AS CASE
      WHEN json_type(TRY_CAST(t AS JSON)) = 'ARRAY'
        AND json_exists(TRY_CAST(t AS JSON), '$[0].role') THEN json_messages(TRY_CAST(t AS JSON))
      WHEN json_type(TRY_CAST(t AS JSON), '$.messages') = 'ARRAY' THEN list_concat(
        CASE WHEN content_text(TRY_CAST(t AS JSON) -> '$.system') IS NULL THEN []::{_MESSAGE}[]
          ELSE [{{'role': 'system', 'content': content_text(TRY_CAST(t AS JSON) -> '$.system')}}]
        END, json_messages(TRY_CAST(t AS JSON) -> '$.messages'))
      WHEN t IS NOT NULL THEN [CAST({{'role': 'user', 'content': t}} AS {_MESSAGE})] END""",
    """CREATE OR REPLACE TEMP MACRO as_written(messages) AS CASE
      WHEN len(messages) = 1 THEN messages[1].content
      ELSE array_to_string(list_transform(messages,
        lambda m: m.role || ': ' || m.content), chr(10) || chr(10)) END""",
    "CREATE OR REPLACE TEMP MACRO as_text(t) AS as_written(as_messages(t))",
    """CREATE OR REPLACE TEMP MACRO as_answer(t) AS CASE
      WHEN json_type(TRY_CAST(t AS JSON)) = 'ARRAY'
        AND json_exists(TRY_CAST(t AS JSON), '$[0].type') THEN content_text(TRY_CAST(t AS JSON))
      WHEN json_exists(TRY_CAST(t AS JSON), '$.role')
        AND json_exists(TRY_CAST(t AS JSON), '$.content')
        THEN coalesce(nullif(content_text(TRY_CAST(t AS JSON) -> '$.content'), ''), t)
      ELSE t END""",
    f"""CREATE OR REPLACE TEMP MACRO assistant(t) AS
      [CAST({{'role': 'assistant', 'content': t}} AS {_MESSAGE})]""",
)


def prompt(style: str, text: str = "t.input") -> str:
    """SQL of a prompt in the wanted style."""
    return f"as_messages({text})" if style == "messages" else f"as_text({text})"


def answer(style: str, text: str = "t.output") -> str:
    """SQL of an answer in the wanted style."""
    return f"assistant(as_answer({text}))" if style == "messages" else f"as_answer({text})"


#: SQL of why a record has no prompt or no answer; NULL where it has both.
MISSING = (
    "CASE WHEN coalesce(r.prompt_length, 0) = 0 THEN 'no_prompt' "
    "WHEN coalesce(r.answer_length, 0) = 0 THEN 'no_answer' END"
)
#: SQL of why a record has no label, where it has none.
UNLABELLED = "coalesce(r.label_reason, 'no_label')"


def of_each_inference(
    label: str, reason: str, *, source: str = "feedback", joined: str = ""
) -> str:
    """Query of one candidate for each record.

    Parameters
    ----------
    label, reason
        SQL of what it teaches, as text, and of why it cannot, over the record ``r`` and what is
        `joined` to it.
    source
        Where the label comes from.
    joined
        SQL of joins.
    """
    return f"""
    SELECT r.request_id AS example_id, r.request_id, NULL::VARCHAR AS other_id, r.feedback_ids,
      {label} AS label, r.label_ts, NULL::DOUBLE AS strength, '{source}' AS source,
      {reason} AS reason
    FROM records r {joined}"""


def answered(source: str, style: str, taught: str) -> str:
    """Query of the prompts and answers of single inferences, with the column `taught`."""
    return (
        f"SELECT e.example_id, {prompt(style)} AS prompt, {answer(style)} AS completion, {taught} "
        f"FROM {source} e JOIN texts t ON e.request_id = t.request_id"
    )


def asked(style: str, column: str) -> tuple[str, str]:
    """SQL texts of the columns ``prompt`` and `column` of a payload."""
    if style == "text":
        return "prompt", column
    return "as_written(prompt)", f"as_written({column})"
