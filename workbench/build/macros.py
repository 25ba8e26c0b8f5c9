"""Creates the macros of a build, each with a view of its defaults, and the comments of both."""

from __future__ import annotations

from typing import Any

import duckdb

from workbench.engine import literal
from workbench.macros import Macro, body, macros, view


def create(connection: duckdb.DuckDBPyConnection, backend: Any) -> None:
    """Create every registered macro in schema ``main``.

    Parameters
    ----------
    connection
        Connection to the build that is being made, whose narrow tables are there.
    backend
        The same connection, wrapped for Ibis.
    """
    for macro in macros:
        rows = backend.table(macro.relation, database="narrow")
        given = ", ".join(f"{name} := {a.default}" for name, a in macro.arguments.items())
        connection.execute(f"CREATE VIEW main.{macro.name} AS {view(macro, rows)}")
        connection.execute(f"CREATE MACRO main.{macro.name}({given}) AS TABLE {body(macro, rows)}")
        connection.execute(f"COMMENT ON MACRO TABLE main.{macro.name} IS {literal(_about(macro))}")


def _about(macro: Macro) -> str:
    arguments = [f"{name}: {argument.about}" for name, argument in macro.arguments.items()]
    return " ".join([macro.guide.at_a_glance, *arguments])
