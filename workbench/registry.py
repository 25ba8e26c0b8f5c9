"""Finds the one object that each module of a package declares; names come without importing."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterator
from functools import cached_property
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any, Generic, TypeVar

from workbench.errors import ConfigError, suggest

T = TypeVar("T")


class Registry(Generic[T]):
    """The registered things of one kind: one file each, or one entry point of another package.

    Parameters
    ----------
    package
        Dotted name of the package whose modules are the entries. A module whose name starts
        with an underscore is a helper, not an entry. The same name is the entry-point group.
    attribute
        The module-level name that holds the object.
    label
        What an entry is called in an error message.
    """

    def __init__(self, package: str, attribute: str, *, label: str) -> None:
        self.package = package
        self.attribute = attribute
        self.label = label
        self._loaded: dict[str, T] = {}

    @cached_property
    def _plugins(self) -> dict[str, Any]:
        return {point.name: point for point in entry_points(group=self.package)}

    def names(self) -> list[str]:
        """All names in alphabetical order; nothing is imported but the package itself."""
        package = importlib.import_module(self.package)
        own = [m.name for m in pkgutil.iter_modules(package.__path__) if not m.name.startswith("_")]
        return sorted({*own, *self._plugins})

    def get(self, name: str) -> T:
        """The entry called `name`.

        Raises
        ------
        ConfigError
            If there is none; the nearest name is in the hint.
        """
        if name not in self._loaded:
            if name not in self.names():
                raise ConfigError(
                    f"There is no {self.label} called {name!r}.", suggest(name, self.names())
                )
            if name in self._plugins:
                entry = self._plugins[name].load()
            else:
                module = importlib.import_module(f"{self.package}.{name}")
                entry = getattr(module, self.attribute)
            self._loaded[name] = entry
        return self._loaded[name]

    def foreign(self) -> list[T]:
        """The entries whose code is not of this package, and may change without it."""
        ours = Path(__file__).resolve().parent
        package = importlib.import_module(self.package)
        own = {
            module.name
            for module in pkgutil.iter_modules(package.__path__)
            if Path(getattr(module.module_finder, "path", "")).resolve().is_relative_to(ours)
        }
        return [self.get(name) for name in self.names() if name in self._plugins or name not in own]

    def __iter__(self) -> Iterator[T]:
        return (self.get(name) for name in self.names())

    def __contains__(self, name: object) -> bool:
        return name in self.names()
