"""What a macro is, and its parameters as they stand in an Ibis expression."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import ibis
import ibis.expr.types as ir

from workbench.errors import ConfigError, suggest
from workbench.guide import Guide, guide_of
from workbench.registry import Registry

#: Begins the name of the function that stands for a parameter until the macro is compiled.
MARK = "macro_parameter_"


@dataclass(frozen=True, kw_only=True)
class Argument:
    """One parameter of a macro.

    Parameters
    ----------
    type
        Ibis type that the expression takes it for.
    default
        SQL of its value where none is given. DuckDB does not take names of columns.
    about
        One sentence for help texts.
    row
        Whether it may be an expression over the columns of a row.
    """

    type: str
    default: str
    about: str
    row: bool = False


class Given:
    """The parameters of a macro, as values for its expression.

    Parameters
    ----------
    arguments
        The declared ones by name.
    """

    def __init__(self, arguments: Mapping[str, Argument]) -> None:
        self._arguments = arguments

    def __contains__(self, name: str) -> bool:
        return name in self._arguments

    def constant(self, name: str) -> Any:
        """The value of a parameter that is the same for all rows."""
        return self._mark(name)

    def of(self, name: str, rows: ir.Table) -> Any:
        """The value of a parameter in each row, where `rows` is the relation of the macro itself.

        The mark takes a column of `rows`, which keeps it where those columns can be seen.
        """
        return self._mark(name, rows[rows.columns[0]])

    def _mark(self, name: str, *columns: ir.Value) -> Any:
        if name not in self._arguments:
            raise ConfigError(f"There is no parameter {name!r}.", suggest(name, self._arguments))

        def mark(*_columns: Any) -> Any: ...

        mark.__name__ = MARK + name
        signature = (tuple(column.type() for column in columns), self._arguments[name].type)
        return ibis.udf.scalar.builtin(mark, signature=signature)(*columns)


MacroFunction = Callable[[ir.Table, Given], ir.Table]


@dataclass(frozen=True, kw_only=True)
class Macro:
    """A view with parameters.

    Parameters
    ----------
    name
        Name of its file, of the macro and of the view.
    guide
        What its docstring says.
    relation
        The narrow table that it reads.
    arguments
        Parameters by name.
    expr
        ``(rows, given) -> Table``.
    """

    name: str
    guide: Guide
    relation: str
    arguments: Mapping[str, Argument]
    expr: MacroFunction


macros: Registry[Macro] = Registry("workbench.macros", "macro", label="macro")


def declare(
    *,
    expr: MacroFunction,
    arguments: Mapping[str, Argument],
    relation: str = "enriched_inferences",
) -> Macro:
    """Declare a macro, named like the calling module.

    Parameters
    ----------
    expr
        From the rows of `relation` and the parameters to the relation that is shown.
    arguments
        Parameters by name. No name may be a word that SQL reserves, such as ``by``.
    relation
        Narrow table to read.
    """
    module = sys._getframe(1).f_globals
    return Macro(
        name=module["__name__"].rpartition(".")[2],
        guide=guide_of(module.get("__doc__") or ""),
        relation=relation,
        arguments=dict(arguments),
        expr=expr,
    )
