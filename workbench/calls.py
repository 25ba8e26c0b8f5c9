"""The written form of a registered thing with parameters: ``ece`` or ``ece(bins=20)``."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Protocol, TypeVar

from workbench.errors import ConfigError
from workbench.guide import Param, check_params
from workbench.registry import Registry


class Parametrised(Protocol):
    """A registered thing that has a name and takes parameters."""

    @property
    def name(self) -> str:
        """Name of its file."""

    @property
    def params(self) -> Mapping[str, Param]:
        """Its parameters by name."""


P = TypeVar("P", bound=Parametrised)


def read_call(
    text: str, registry: Registry[P], *, noun: str, example: str
) -> tuple[P, dict[str, Any]]:
    """Read a name with parameters in brackets; the values are not checked.

    Parameters
    ----------
    text
        For example ``ece(bins=20, bin_rule='guo')``.
    registry
        Where the name must be known.
    noun
        What it is, for error messages: ``a metric``.
    example
        A right form to show in a hint.

    Returns
    -------
    tuple
        The registered thing, and the given parameters in the order in which they were written.

    Raises
    ------
    ConfigError
        If the text is no such call, the name is unknown, or a value is not plain.
    """
    hint = f"Write the name of {noun}, or for example {example}."
    not_a_call = ConfigError(f"{text.strip()!r} is not {noun}.", hint)
    try:
        node = ast.parse(text.strip(), mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        raise not_a_call from None
    if isinstance(node, ast.Name):
        return registry.get(node.id), {}
    if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Name):
        raise not_a_call
    entry = registry.get(node.func.id)
    if node.args:
        raise ConfigError(f"{entry.name} takes its parameters by name.", _usage(entry))
    params: dict[str, Any] = {}
    for keyword in node.keywords:
        if keyword.arg is None:
            raise not_a_call
        if keyword.arg in params:
            raise ConfigError(
                f"{entry.name} is given {keyword.arg} twice.", "Leave one of them out."
            )
        try:
            params[keyword.arg] = ast.literal_eval(keyword.value)
        except (ValueError, TypeError, RecursionError, MemoryError):
            # A bare word is what people type for a text.
            given = ast.unparse(keyword.value)
            raise ConfigError(
                f"The value of {keyword.arg} in {entry.name} is not a plain value: {given}.",
                f"Put a text in quotes: {keyword.arg}={given!r}.",
            ) from None
    return entry, params


def parse_call(
    text: str, registry: Registry[P], *, noun: str, example: str
) -> tuple[P, dict[str, Any]]:
    """Like `read_call`, with all parameters: checked, and with the defaults of the others."""
    entry, given = read_call(text, registry, noun=noun, example=example)
    return entry, check_params(entry.name, entry.params, given)


def checked_params(
    params: Mapping[str, Any], expressions: Iterable[str], check: Callable[[str], str]
) -> dict[str, Any]:
    """All parameters; `check` takes each SQL expression and returns what to use for it."""
    typed = {name: check(text) for name in expressions if (text := str(params[name])).strip()}
    return {**params, **typed}


def write_call(entry: Parametrised, params: Mapping[str, Any]) -> str:
    """The text that `read_call` reads; parameters that have their default are left out."""
    changed = ", ".join(
        f"{name}={value!r}" for name, value in params.items() if value != entry.params[name].default
    )
    return f"{entry.name}({changed})" if changed else entry.name


def _usage(entry: Parametrised) -> str:
    given = ", ".join(f"{name}={param.default!r}" for name, param in entry.params.items())
    return f"Write {entry.name}({given})." if given else f"Write {entry.name}."
