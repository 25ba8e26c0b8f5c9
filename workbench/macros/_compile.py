"""The SQL of a macro: its compiled expression, with names of parameters in place of their marks."""

from __future__ import annotations

import re
from collections.abc import Callable

import ibis.expr.types as ir

from workbench.engine import sql_over
from workbench.errors import ConfigError
from workbench.macros._macro import MARK, Given, Macro

# The mark of a parameter by row takes one column, which Ibis writes as "table"."column".
_NAME = r'"(?:[^"]|"")*"'
_MARK = re.compile(rf"{MARK}(\w+?)(?:_\d+)?\((?:{_NAME}\.{_NAME})?\)", re.IGNORECASE)


def body(macro: Macro, rows: ir.Table) -> str:
    """What follows ``CREATE MACRO name(...) AS TABLE``.

    Parameters
    ----------
    macro
        The macro.
    rows
        Its relation in the build.
    """
    return _compiled(macro, rows, lambda name: name)


def view(macro: Macro, rows: ir.Table) -> str:
    """What follows ``CREATE VIEW name AS``: the same with the default of every parameter."""
    return _compiled(macro, rows, lambda name: f"({macro.arguments[name].default})")


def _compiled(macro: Macro, rows: ir.Table, written: Callable[[str], str]) -> str:
    names = {name.lower(): name for name in macro.arguments}
    # Compiling takes longer than all else in a small build: the view and the macro share it.
    made = (macro.expr, tuple((n, a.type, a.row) for n, a in macro.arguments.items()))
    sql = sql_over(rows, made, lambda: macro.expr(rows, Given(macro.arguments)))
    sql = _MARK.sub(lambda found: written(names[found[1].lower()]), sql)
    if re.search(MARK, sql, re.IGNORECASE):
        raise ConfigError(
            f"A parameter of the macro {macro.name} is not used as it is written down.",
            "Take a parameter by row from the macro's own relation, before it is joined.",
        )
    return sql
