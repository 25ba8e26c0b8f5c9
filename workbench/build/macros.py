"""Creates the macros of a build, each with a view of its defaults, and the comments of both."""

from __future__ import annotations

from workbench.compiled import Parts, Scope
from workbench.engine import literal
from workbench.macros import Macro, definitions, macros


def create(compiled: Parts) -> None:
    """Create every registered macro in schema ``main`` of the build, whose tables are there."""
    read = sorted({f"narrow.{macro.relation}" for macro in macros})
    compiled.run(_create, read, macros.foreign())


def _create(scope: Scope) -> None:
    for macro in macros:
        view, body = definitions(macro, scope.tables[f"narrow.{macro.relation}"])
        given = ", ".join(f"{name} := {a.default}" for name, a in macro.arguments.items())
        scope.run(f"CREATE VIEW main.{macro.name} AS {view}")
        scope.run(f"CREATE MACRO main.{macro.name}({given}) AS TABLE {body}")
        scope.run(f"COMMENT ON MACRO TABLE main.{macro.name} IS {literal(_about(macro))}")


def _about(macro: Macro) -> str:
    arguments = [f"{name}: {argument.about}" for name, argument in macro.arguments.items()]
    return " ".join([macro.guide.at_a_glance, *arguments])
