"""Saved slices: one TOML file each in the project's folder ``slices``, to be reviewed in git."""

from __future__ import annotations

import json
import re
import tomllib
from dataclasses import fields
from pathlib import Path
from typing import Any

from workbench.datasets.slice import Slice
from workbench.errors import ConfigError, NotFoundError, suggest

FOLDER = "slices"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,60}")


def check_name(name: str, what: str) -> str:
    """`name`, if a file can be called so.

    Raises
    ------
    ConfigError
        If it cannot.
    """
    if not _NAME.fullmatch(name):
        raise ConfigError(
            f"A {what} cannot be called {name!r}.",
            "Use letters, digits, _ and -, the first a letter or a digit.",
        )
    return name


def to_toml(chosen: Slice) -> str:
    """The slice as TOML; what is as it is without being said is left out."""
    plain = Slice()
    lines = []
    for field in fields(Slice):
        value = getattr(chosen, field.name)
        if field.name == "relation" or value != getattr(plain, field.name):
            lines.append(f"{field.name} = {_toml(str(value) if field.name == 'split' else value)}")
    return "\n".join(lines) + "\n"


def _toml(value: Any) -> str:
    if isinstance(value, tuple):
        return "[" + ", ".join(_toml(entry) for entry in value) + "]"
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    return str(value)


def from_toml(text: str, where: str = "The slice") -> Slice:
    """Read what `to_toml` wrote, or what a person did.

    Raises
    ------
    ConfigError
        If it is no slice; every unknown key names the nearest.
    """
    from workbench.datasets.split import parse_split

    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{where} is not valid TOML: {error}.", "Correct that line.") from error
    known = {field.name: getattr(Slice(), field.name) for field in fields(Slice)}
    for name, value in data.items():
        if name not in known:
            raise ConfigError(f"{where} has an unknown key {name!r}.", suggest(name, known))
        if name in ("columns", "clean"):
            fits = isinstance(value, list) and all(isinstance(entry, str) for entry in value)
            wanted = "a list of texts"
        elif name in ("limit", "seed", "tokens"):
            fits, wanted = type(value) is int, "a whole number"
        else:
            fits, wanted = isinstance(value, str), "a text"
        if not fits:
            raise ConfigError(f"{where}: {name} cannot be {value!r}.", f"Use {wanted}.")
    values: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in data.items()}
    if "split" in values:
        values["split"] = parse_split(values["split"])
    return Slice(**values)


def path_of(project_dir: Path, name: str) -> Path:
    """Where the slice called `name` is saved."""
    return project_dir / FOLDER / f"{check_name(name, 'slice')}.toml"


def names(project_dir: Path) -> list[str]:
    """Names of the saved slices."""
    return sorted(path.stem for path in (project_dir / FOLDER).glob("*.toml"))


def load_slice(project_dir: Path, name: str) -> Slice:
    """Read a saved slice.

    Raises
    ------
    NotFoundError
        If there is none of that name; the nearest is in the hint.
    ConfigError
        If the file is wrong.
    """
    path = path_of(project_dir, name)
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        near = suggest(name, names(project_dir), label="one of the slices")
        raise NotFoundError(
            f"There is no slice {name!r}.", near or "Make one with: workbench slice new NAME"
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} cannot be read: {error}.", "Correct the file.") from error
    return from_toml(text, str(path))


def save_slice(project_dir: Path, name: str, chosen: Slice, *, force: bool = False) -> Path:
    """Save a slice under a name and return where.

    Raises
    ------
    ConfigError
        If there is one of that name and not `force`.
    """
    path = path_of(project_dir, name)
    if path.exists() and not force:
        raise ConfigError(f"There is a slice {name!r} already.", "Choose another name, or --force.")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(to_toml(chosen), encoding="utf-8")
    return path
