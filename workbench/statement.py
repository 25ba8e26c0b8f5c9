"""The rule for typed SQL, exactly one SELECT, and DuckDB's errors in plain words."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable

import duckdb

from workbench import engine
from workbench.errors import QueryError, WorkbenchError, suggest

_ONE_SELECT = "Type exactly one SELECT statement."


def select_statement(cursor: duckdb.DuckDBPyConnection, sql: str) -> str:
    """Return `sql` without its last semicolon, if it is exactly one SELECT.

    Raises
    ------
    QueryError
        If it is anything else.
    """
    statements = _statements(cursor, sql)
    kinds = [statement.type.name for statement in statements]
    if not statements:
        raise QueryError("The query is empty.", _ONE_SELECT)
    if kinds == ["CREATE", "SELECT"] and re.search(r"\bPIVOT", sql, re.IGNORECASE):
        raise QueryError(
            "PIVOT must name its values, or it needs a second statement to find them.",
            "Write them out: PIVOT t ON column IN ('a', 'b') USING count(*)",
        )
    if len(statements) > 1:
        raise QueryError(f"These are {len(statements)} statements.", _ONE_SELECT)
    if kinds == ["EXPLAIN"]:
        raise QueryError(
            "EXPLAIN is added for you.",
            "Leave it out and choose Explain (on the page, or --explain).",
        )
    if kinds != ["SELECT"]:
        raise QueryError(
            f"{kinds[0].replace('_', ' ')} is not allowed: a build is never changed by a query.",
            _ONE_SELECT,
        )
    return _without_semicolon(cursor, sql)


def _statements(cursor: duckdb.DuckDBPyConnection, sql: str) -> list[duckdb.Statement]:
    try:
        return list(cursor.extract_statements(sql))
    except duckdb.Error as error:
        raise QueryError(_message(error, sql)) from error


def _without_semicolon(cursor: duckdb.DuckDBPyConnection, sql: str) -> str:
    while (end := sql.rfind(";")) >= 0:
        try:
            if cursor.extract_statements(sql[end + 1 :]):
                break
            if len(cursor.extract_statements(sql[:end])) != 1:
                break
        except duckdb.Error:
            break
        sql = sql[:end]
    return sql


def _message(error: Exception, sql: str, first_line: int = 1) -> str:
    """Say what DuckDB complains of in plain words, and where in `sql`."""
    text = engine.message(error)
    place = re.search(r"\nLINE (\d+): (.*)\n( *)\^", str(error))
    if place is None:
        return text
    number = int(place[1]) - first_line + 1
    if not 1 <= number <= sql.count("\n") + 1:
        return text
    return f"{text} (line {number}: {place[2].strip()[:120]})"


def plain_error(
    error: Exception,
    sql: str,
    relations: Callable[[], Iterable[str]] = tuple,
    first_line: int = 1,
) -> WorkbenchError:
    """Make the error that a person is shown of one of DuckDB's."""
    text = _message(error, sql, first_line)
    missing = re.search(r"Table(?: Function)? with name (\S+) does not exist", text)
    if missing:
        return QueryError(
            f"There is no relation {missing[1]!r}.",
            suggest(missing[1], relations(), label="one of the relations"),
        )
    macro = re.search(r"^Macro (\w+)\(\) does not support the supplied arguments", text)
    if macro:
        return _wrong_arguments(macro[1], engine.message(error), sql)
    if isinstance(error, duckdb.PermissionException):
        return QueryError(
            f"{text.split(' - ')[0]}: a query reads the relations of the build, and nothing else.",
            "To bring more data in, add it to workbench.toml and run: workbench build",
        )
    if isinstance(error, duckdb.OutOfMemoryException):
        return QueryError(
            text, f"Filter or aggregate first, or raise {engine.MEMORY_LIMIT} where it is set."
        )
    if "Values were not provided for the following prepared statement parameters" in text:
        names = [text.rsplit(":", 1)[-1].strip()]
        return QueryError(
            f"The query has parameters without a value: {', '.join(names)}.",
            "Write the values into the query.",
        )
    if isinstance(error, duckdb.BinderException | duckdb.CatalogException):
        return QueryError(
            text, "List relations and columns with: workbench sql 'DESCRIBE inferences'"
        )
    return QueryError(text, "")


def _wrong_arguments(macro: str, text: str, sql: str) -> QueryError:
    """Say which parameter a macro does not have; DuckDB only lists those that it has."""
    listed = re.search(rf"Candidate macros:\n\s*{macro}\((.*)\)", text)
    known = re.findall(r"(\w+) :=", listed[1] if listed else "")
    given = re.findall(r"(\w+)\s*(?::=|=>)", sql)
    strange = [name for name in given if name not in known]
    if not strange:
        return QueryError(
            f"{macro} takes {len(known)} parameters at most.", f"They are {', '.join(known)}."
        )
    return QueryError(
        f"{macro} has no parameter called {strange[0]!r}.",
        suggest(strange[0], known, label="one of its parameters"),
    )
