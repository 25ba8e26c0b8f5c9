"""Enrichment expressions do not use what engines do differently without an error."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[2] / "workbench"
#: What `point_in_time.py` may use: it does so on DuckDB only.
NATIVE = "asof_join"
#: Methods that differ, and how.
BANNED = {
    NATIVE: "Spark has none: use workbench.point_in_time",
    "first": "skips NULL on Spark, and keeps it on DuckDB as a window: rank the rows",
    "last": "skips NULL on Spark, and keeps it on DuckDB as a window: rank the rows",
    "arbitrary": "any row: use min or max",
    "approx_median": "another number on each engine",
    "approx_quantile": "another number on each engine",
    "approx_nunique": "another number on each engine",
    "now": "the wall clock",
    "random": "another number in each run",
    "sample": "other rows in each run",
    "hash": "another function on each engine: use hexdigest",
    "map": "Spark does not return maps: use structs",
}
#: Methods that differ only when they are given an order.
UNORDERED = ("collect", "group_concat")


def sources() -> list[Path]:
    names = ("attribution", "contexts", "enrich", "formulas", "labels", "point_in_time", "steps")
    found = [
        path for name in names for path in (PACKAGE / f"{name}.py", *(PACKAGE / name).glob("*.py"))
    ]
    return [path for path in found if path.exists()]


def banned(source: str) -> Iterator[tuple[int, str]]:
    """Lines and names of calls that differ."""
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
            continue
        name, owner = node.func.attr, node.func.value
        ordered = any(keyword.arg == "order_by" for keyword in node.keywords)
        on_ibis = isinstance(owner, ast.Name) and owner.id == "ibis"
        # A map over the elements of a list is the same everywhere.
        wrong = name in BANNED and (name != "map" or on_ibis)
        if wrong or (name in UNORDERED and ordered):
            yield node.lineno, name


@pytest.mark.parametrize("path", sources(), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_expressions_are_portable(path: Path) -> None:
    allowed = {NATIVE} if path.name == "point_in_time.py" else set()
    found = [
        f"line {line}: .{name}(): {BANNED.get(name, 'the order is lost on Spark: sort the list')}"
        for line, name in banned(path.read_text())
        if name not in allowed
    ]
    assert found == []


@pytest.mark.parametrize(
    "code",
    [
        *(f"t.x.{name}()" for name in BANNED if name != "map"),
        "t.x.last().over(w)",
        "ibis.map(a, b)",
        "t.x.collect(where=y, order_by=t.ts)",
        "f(lambda t: t['x'].first(order_by='ts'))",
    ],
)
def test_what_differs_is_found(code: str) -> None:
    assert len(list(banned(code))) == 1


def test_what_does_not_differ_is_not_found() -> None:
    assert list(banned("t.x.map(f); t.x.collect(); t.first; first(t); t.x.max()")) == []
    assert len(sources()) > 10
