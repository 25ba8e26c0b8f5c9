"""The proposed configuration as commented TOML."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path

from workbench import contract
from workbench.guess.draft import Draft, Signal
from workbench.guess.files import Group, relative
from workbench.guess.names import PROTECTED, words
from workbench.guess.roles import Lookup

_BARE = re.compile(r"[A-Za-z0-9_-]+")


def text(value: str) -> str:
    """Return a TOML basic string."""
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def key(name: str) -> str:
    """Return a TOML key, quoted where it must be."""
    return name if _BARE.fullmatch(name) else text(name)


def comment(words_of_it: str) -> str:
    """Return a comment line that no character of a column's name can end."""
    shown = "".join(c if c.isprintable() else " " for c in words_of_it)
    return f"# {shown}"


def _paths(group: Group, project_dir: Path) -> str:
    written = [text(relative(path, project_dir)) for path in group.written]
    return written[0] if len(written) == 1 else "[" + ", ".join(written) + "]"


def _sql(query: str) -> str:
    printable = all(c.isprintable() or c == "\n" for c in query)
    if "\n" in query and "'''" not in query and printable and not query.endswith("'"):
        return f"'''\n{query}\n'''"
    return text(query)


def _mapping(draft: Draft) -> list[str]:
    if draft.exported:
        return [f"# [{draft.table}.columns]  # the importer maps them; a field here overrides it"]
    order = list(contract.table(draft.table).columns)
    lines = [f"[{draft.table}.columns]"]
    for name in order:
        ask = draft.asks.get(name)
        line = draft.columns.get(name)
        if ask is not None:
            lines.append(comment(f"QUESTION: {ask.question}"))
            lines.extend(f"# {name} = {text(option)}" for option in ask.options)
        if line is not None:
            why = "  " + comment(line.why) if line.why else ""
            lines.append(f"{name} = {text(line.expression)}{why}")
    return lines


def _source(draft: Draft | None, table: str, project_dir: Path) -> list[str]:
    lines = [f"[{table}]"]
    if draft is None:
        return [*lines, comment("QUESTION: which files are these?"), '# source = "logs/*.parquet"']
    lines.append(f"source = {_paths(draft.sample.group, project_dir)}")
    if draft.exported:
        return [*lines, f"format = {text(draft.sample.group.format)}"]
    lines.append('format = "auto"  # auto | parquet | jsonl | csv')
    if draft.settings.get("clock") == "none":
        lines.append('clock = "none"  # rows have no time')
    if draft.sql is not None:
        lines.append(comment("Please glance at this: it reshapes the source before the mapping."))
        lines.append(f"sql = {_sql(draft.sql)}")
    return lines


def _signals(signals: Sequence[Signal]) -> list[str]:
    lines: list[str] = []
    for signal in signals:
        body = [f"[feedback.signals.{key(signal.name)}]", f"kind = {text(signal.kind)}"]
        if signal.scale is not None:
            body.append(f"scale = [{signal.scale[0]}, {signal.scale[1]}]")
        if signal.positive is not None:
            body.append(f"positive = {text(signal.positive)}")
        lines.append("")
        if signal.question:
            lines.append(comment(f"QUESTION: {signal.question}"))
            body = [f"# {line}" for line in body]
        lines.extend(body)
    return lines


def render(
    name: str,
    inferences: Draft | None,
    feedback: Draft | None,
    lookups: Sequence[Lookup],
    project_dir: Path,
) -> str:
    """Return the whole file."""
    lines = [
        "# What is where, and what it means. A contract field is a column's bare name or an SQL",
        "# expression over the source's columns. Lines that begin with QUESTION need your answer.",
        "",
        "[project]",
        f"name = {text(name)}",
        "",
        *_source(inferences, "inferences", project_dir),
    ]
    if inferences is not None:
        if "positive_class" in inferences.settings:
            lines.append(f"positive_class = {text(inferences.settings['positive_class'])}")
        if "probabilities" in inferences.columns:
            lines.append('# classes = ["no", "yes"]  # the order of probabilities')
        lines += ["", *_mapping(inferences)]
        if inferences.features:
            lines += ["", "[inferences.features]  # a value that does not cast is refused"]
            lines += [f"{key(n)} = {text(dtype)}" for n, dtype in inferences.features.items()]
    if inferences is not None and inferences.sample.group.aliases:
        lines += ["", *_source(inferences, "aliases", project_dir)]
    lines += ["", *_source(feedback, "feedback", project_dir)]
    if feedback is not None:
        lines.append("# spam = \"rater_id IN ('load-test')\"  # events to count but not to use")
        lines += ["", *_mapping(feedback), *_signals(feedback.signals)]
    lines += [
        "",
        "[attribution]",
        '# fallback = ["session", "user"]  # for events without a request_id',
        '# window = "1h"',
        "",
        "[labels]",
        '# signals = ["thumb"]  # the deciding ones; default: kind label, else all with a reward',
        '# policy = "latest_per_rater_then_mean"  # latest | mean | majority | rater_weighted',
        '# maturity = "0s"',
        "",
        "[columns]",
        comment("May be grouped by and audited, but enters no dataset unless it is named there."),
        f"# protected = [{', '.join(_protected(inferences))}]",
        "",
    ]
    for lookup in lookups:
        listed = ", ".join(text(column) for column in lookup.columns)
        lines += [
            f"[context.{key(lookup.name)}]  # becomes the struct column {key(lookup.name)}",
            f"source = {_paths(lookup.group, project_dir)}",
            'join = "lookup"',
            f"on = {{ request_id = {text(lookup.key)} }}",
            f"columns = [{listed}]",
            "",
        ]
    lines += [
        "# Facts as they were known at the time of an inference become a struct column:",
        "# [context.user]",
        '# source = "users.parquet"',
        '# join = "as_of"  # or lookup, for facts without a time',
        '# on = "user_id"',
        '# ts = "valid_from"',
        '# columns = ["tier", "country"]',
        "",
    ]
    return "\n".join(lines)


def _protected(inferences: Draft | None) -> list[str]:
    features = inferences.features if inferences is not None else {}
    found = [name for name in features if PROTECTED & {name.casefold(), *words(name)}]
    return [text(f"features.{name}") for name in found] or ['"user.country"']
