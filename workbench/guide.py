"""What a registered thing says of itself: its guide, and the parameters that it takes."""

from __future__ import annotations

import inspect
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from workbench.errors import ConfigError, suggest


@dataclass(frozen=True, kw_only=True)
class Param:
    """One parameter of a metric or an artefact: its default and what it may be.

    Parameters
    ----------
    default
        The value where none is given; its type is the type of the parameter.
    about
        One sentence for help texts.
    choices
        The permitted values, if they are few.
    minimum, maximum
        The permitted range of a number.
    """

    default: Any
    about: str = ""
    choices: tuple[Any, ...] = ()
    minimum: float | None = None
    maximum: float | None = None


def check_params(
    owner: str, params: Mapping[str, Param], given: Mapping[str, Any]
) -> dict[str, Any]:
    """All parameters, with the defaults of those that were not given.

    Parameters
    ----------
    owner
        What takes them, for error messages.
    params
        The parameters that there are.
    given
        The given values by name.

    Returns
    -------
    dict
        Values by name, in the order of declaration.

    Raises
    ------
    ConfigError
        If there is no such parameter, or it cannot have the value.
    """
    for name, value in given.items():
        if name not in params:
            near = suggest(name, params) or f"Write {owner} without parameters."
            raise ConfigError(f"{owner} has no parameter called {name!r}.", near)
        _check_value(f"{name} of {owner}", params[name], value)
    return {name: given.get(name, param.default) for name, param in params.items()}


def _check_value(where: str, param: Param, value: Any) -> None:
    if param.choices and value not in param.choices:
        near = suggest(str(value), map(str, param.choices))
        raise ConfigError(f"{where} cannot be {value!r}.", near)
    number = isinstance(param.default, float) and type(value) is int
    if type(value) is not type(param.default) and not number:
        kinds = {int: "a whole number", float: "a number", str: "a text", bool: "True or False"}
        kind = kinds.get(type(param.default), type(param.default).__name__)
        raise ConfigError(f"{where} cannot be {value!r}.", f"Use {kind}.")
    if param.minimum is not None and not value >= param.minimum:
        raise ConfigError(f"{where} cannot be {value!r}.", f"Use at least {param.minimum}.")
    if param.maximum is not None and not value <= param.maximum:
        raise ConfigError(f"{where} cannot be {value!r}.", f"Use at most {param.maximum}.")


@dataclass(frozen=True)
class Guide:
    """What a person needs to know of a number, from the docstring of its file.

    Parameters
    ----------
    at_a_glance
        One sentence: the first line.
    shows, read, do
        The sections "What it shows", "How to read it" and "What to do".
    definition
        The section "Definition": formula, source, interval, edge cases.
    """

    at_a_glance: str
    shows: str = ""
    read: str = ""
    do: str = ""
    definition: str = ""

    def sections(self) -> list[tuple[str, str]]:
        """The sections with their titles, in order."""
        return [(title, getattr(self, name)) for title, name in _SECTIONS.items()]


_SECTIONS = {
    "What it shows": "shows",
    "How to read it": "read",
    "What to do": "do",
    "Definition": "definition",
}


def guide_of(docstring: str) -> Guide:
    """Read the sections of a docstring; each has its title on a line, underlined.

    Parameters
    ----------
    docstring
        Docstring of the module of a metric, a macro or an artefact.
    """
    text = inspect.cleandoc(docstring)
    first, _, rest = text.partition("\n")
    titles = "|".join(map(re.escape, _SECTIONS))
    parts = re.split(rf"^({titles})\n-+\n", rest, flags=re.MULTILINE)
    found = {
        _SECTIONS[title]: body.strip() for title, body in zip(parts[1::2], parts[2::2], strict=True)
    }
    return Guide(first, **found)
