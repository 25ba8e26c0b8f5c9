"""The SQL of a macro: its compiled expression, with names of parameters in place of their marks."""

from __future__ import annotations

import re
from collections.abc import Callable

import ibis.expr.types as ir

from workbench.engine import sql_of
from workbench.errors import ConfigError
from workbench.macros._macro import MARK, Given, Macro

# The mark of a parameter by row takes one column, which Ibis writes as "table"."column".
_NAME = r'"(?:[^"]|"")*"'
_MARK = re.compile(rf"{MARK}(\w+?)(?:_\d+)?\((?:{_NAME}\.{_NAME})?\)", re.IGNORECASE)


def definitions(macro: Macro, rows: ir.Table) -> tuple[str, str]:
    """What follows ``CREATE VIEW name AS`` and ``CREATE MACRO name(...) AS TABLE``.

    They are the same query; in the view every parameter has its default.

    Parameters
    ----------
    macro
        The macro.
    rows
        Its relation in the build.
    """
    sql = sql_of(macro.expr(rows, Given(macro.arguments)))
    view = _written(macro, sql, lambda name: f"({macro.arguments[name].default})")
    return view, _written(macro, sql, lambda name: name)


def _written(macro: Macro, sql: str, written: Callable[[str], str]) -> str:
    names = {name.lower(): name for name in macro.arguments}
    sql = _MARK.sub(lambda found: written(names[found[1].lower()]), sql)
    if re.search(MARK, sql, re.IGNORECASE):
        raise ConfigError(
            f"A parameter of the macro {macro.name} is not used as it is written down.",
            "Take a parameter by row from the macro's own relation, before it is joined.",
        )
    return sql
