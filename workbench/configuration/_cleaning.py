"""The tables ``[cleaning.rules.NAME]`` and ``[cleaning.patterns.NAME]``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from workbench.configuration._checks import Checks
from workbench.project import Cleaning, CleaningPattern, CleaningRule

ACTIONS = ("mask", "drop")
#: The texts of an example.
TEXTS = ("prompt", "answer")
_RULE_KEYS = ("where",)
_PATTERN_KEYS = ("pattern", "builtin", "action", "replace", "columns")


@dataclass(frozen=True, kw_only=True)
class Builtin:
    """A pattern that a project can name.

    Attributes
    ----------
    about
        What it matches, and what it does not.
    pattern
        Regular expression (RE2).
    action
        What is done where the project does not say: a text with a secret is not worth keeping.
    """

    about: str
    pattern: str
    action: str = "mask"


_OCTET = r"(?:25[0-5]|2[0-4]\d|1\d\d|[1-9]?\d)"
_GAP = r"[ \x{a0}.-]?"
_KEY_MARK = r"[A-Z0-9 ]*PRIVATE KEY(?: BLOCK)?-----"

BUILTINS = {
    "email": Builtin(
        about="E-mail addresses, international ones too.",
        pattern=r"[\p{L}\p{N}._%+-]+@(?:[\p{L}\p{N}-]+\.)+\p{L}{2,}",
    ),
    "phone": Builtin(
        about="Telephone numbers that are written as such: with + and a country code, or in the "
        "North American form with separators. Plain digits are left alone.",
        pattern=rf"\+\d{{1,3}}{_GAP}(?:\(\d{{1,4}}\){_GAP})?\d{{1,4}}(?:{_GAP}\d{{2,4}}){{2,4}}\b"
        r"|(?:\(\d{3}\) ?|\b\d{3}[.-])\d{3}[.-]\d{4}\b",
    ),
    "credit_card": Builtin(
        about="Numbers of Visa, Mastercard, Discover and American Express by their first digits, "
        "in groups with spaces, dots or dashes, or in one. The check digit is not computed.",
        pattern=r"\b(?:(?:4\d{3}|5[1-5]\d{2}|2[2-7]\d{2}|6011|64[4-9]\d|65\d{2})"
        rf"(?:{_GAP}\d{{4}}){{3}}|3[47]\d{{2}}{_GAP}\d{{6}}{_GAP}\d{{5}})\b",
    ),
    "ipv4": Builtin(
        about="IPv4 addresses. A version number with four parts looks the same.",
        pattern=rf"\b(?:{_OCTET}\.){{3}}{_OCTET}\b",
    ),
    "api_key": Builtin(
        about="Keys with the prefixes of OpenAI, Anthropic, GitHub, GitLab, Slack, Google, Stripe "
        "and Hugging Face.",
        pattern=r"\b(?:sk-[A-Za-z0-9_-]{20,}|gh[pousr]_[A-Za-z0-9]{36,}"
        r"|github_pat_[A-Za-z0-9_]{22,}|glpat-[A-Za-z0-9_-]{20,}|xox[abeoprs]-[A-Za-z0-9-]{10,}"
        r"|AIza[A-Za-z0-9_-]{35}|[rs]k_live_[A-Za-z0-9]{16,}|hf_[A-Za-z0-9]{30,})",
        action="drop",
    ),
    "aws_key_id": Builtin(
        about="Ids of AWS access keys.",
        pattern=r"\b(?:AKIA|ASIA)[A-Z0-9]{16}\b",
        action="drop",
    ),
    "private_key": Builtin(
        about="Blocks of private keys in PEM or PGP form, whole or cut off.",
        pattern=rf"(?s)-----BEGIN {_KEY_MARK}.*?(?:-----END {_KEY_MARK}|\z)",
        action="drop",
    ),
}


def read(checks: Checks, given: Mapping[str, Any]) -> Cleaning:
    """Read the rules and patterns of ``[cleaning]``."""
    rules = [
        rule
        for name, entry in _tables(checks, "cleaning.rules", given.get("rules", {}))
        if (rule := _rule(checks, name, entry))
    ]
    patterns = [
        pattern
        for name, entry in _tables(checks, "cleaning.patterns", given.get("patterns", {}))
        if (pattern := _pattern(checks, name, entry))
    ]
    return Cleaning(rules=tuple(rules), patterns=tuple(patterns))


def _tables(checks: Checks, where: str, given: object) -> list[tuple[str, dict[str, Any]]]:
    if not isinstance(given, dict):
        checks.problems.append(f"[{where}] must hold one table per name.")
        return []
    wrong = [name for name, entry in given.items() if not isinstance(entry, dict)]
    checks.problems += [f"[{where}.{name}] must be a table." for name in wrong]
    return [(name, entry) for name, entry in given.items() if name not in wrong]


def _rule(checks: Checks, name: str, entry: Mapping[str, Any]) -> CleaningRule | None:
    place = f"cleaning.rules.{name}"
    checks.unknown(place, entry, _RULE_KEYS)
    where = checks.optional_text(f"{place}.where", entry.get("where"))
    if where is None:
        checks.problems.append(f"[{place}] has no condition. Write: where = \"country = 'XX'\".")
        return None
    return CleaningRule(name=name, where=where)


def _pattern(checks: Checks, name: str, entry: Mapping[str, Any]) -> CleaningPattern | None:
    # The engine takes long to load, and most projects have no patterns.
    from workbench.engine import pattern_problem

    place = f"cleaning.patterns.{name}"
    checks.unknown(place, entry, _PATTERN_KEYS)
    if ("pattern" in entry) == ("builtin" in entry):
        checks.problems.append(
            f"[{place}] needs either pattern, a regular expression, or builtin, one of "
            f"{', '.join(BUILTINS)}."
        )
        return None
    own, named = entry.get("pattern"), entry.get("builtin")
    if named is not None:
        if not checks.one_of(f"{place}.builtin", named, BUILTINS):
            return None
        pattern, action = BUILTINS[named].pattern, BUILTINS[named].action
    elif isinstance(own, str) and own:
        pattern, action = own, "mask"
        wrong = pattern_problem(pattern)
        if wrong:
            checks.problems.append(f"{place}.pattern is not a regular expression: {wrong}")
    else:
        checks.problems.append(f"{place}.pattern must be a text that is not empty.")
        return None
    action = entry.get("action", action)
    checks.one_of(f"{place}.action", action, ACTIONS)
    replace = entry.get("replace", f"[{name}]")
    if not isinstance(replace, str):
        checks.problems.append(f"{place}.replace must be a text.")
    elif "replace" in entry and action == "drop":
        checks.problems.append(f"[{place}] drops, so nothing is replaced. Leave out replace.")
    columns = checks.texts(f"{place}.columns", entry.get("columns", list(TEXTS)))
    for column in columns:
        checks.one_of(f"{place}.columns", column, TEXTS)
    if not columns:
        checks.problems.append(f"{place}.columns is empty. Use {' or '.join(TEXTS)}, or both.")
    return CleaningPattern(
        name=name, pattern=pattern, action=str(action), replace=str(replace), columns=columns
    )
