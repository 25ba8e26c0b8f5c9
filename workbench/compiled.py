"""The SQL of the parts of a build, kept: to compile an expression takes longer than to run it.

A part is a function that makes tables out of Ibis expressions. What it runs may depend on the
names and types of the relations that it declares to read, on its arguments, and on the program;
these are the key under which its statements are kept, in the process and beside the build. A part
gets nothing else: no connection, no project and no rows.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields, is_dataclass
from datetime import timedelta
from functools import cache, cached_property
from importlib.metadata import version
from pathlib import Path
from typing import Any

import duckdb
import ibis.expr.types as ir

from workbench import engine, pieces, progress

_STARTED = time.time()
_PACKAGE = Path(__file__).resolve().parent
_CONTRACTS = (_PACKAGE.parent / "sql", _PACKAGE / "_bundle" / "sql")
_MOST_KEPT = 2_000
#: What is foreign to each part, and its statements, by all that they depend on.
_KEPT: dict[tuple[Any, ...], tuple[tuple[object, ...], tuple[str, ...]]] = {}

Part = Callable[..., None]


@dataclass(frozen=True, kw_only=True)
class Scope:
    """What a part reads and makes.

    Attributes
    ----------
    tables
        The relations that it declares to read, by name.
    run
        Runs a statement of DuckDB.
    variable
        The value of an SQL variable of the connection, by its name and type.
    """

    tables: Mapping[str, ir.Table]
    run: Callable[[str], object]
    _make: Callable[[str, ir.Table | None, str, str, Sequence[str], int], ir.Table]
    variable: Callable[[str, str], ir.Value] = engine.variable

    def make(
        self,
        name: str,
        expression: ir.Table | None,
        query: str = "{}",
        kind: str = "TABLE",
        empty: Sequence[str] = (),
        n_pieces: int = 1,
    ) -> ir.Table:
        """Make a table of schema ``narrow``, or a temporary one where `name` has no schema.

        Parameters
        ----------
        name
            Its name.
        expression
            Its rows; None where `query` says them all.
        query
            What is made of them in SQL of DuckDB, where they stand as ``{}``.
        kind
            ``TABLE``, or ``VIEW`` for what is read once.
        empty
            Columns of a table that are known to hold no value.
        n_pieces
            Number of the pieces that a table is made of; the expression is `of_piece` then.
        """
        return self._make(name, expression, query, kind, empty, n_pieces)

    def of_piece(self, rows: ir.Table, n_pieces: int, by: str = "row_id") -> ir.Table:
        """Those of `rows` that are of the piece whose turn it is; see `workbench.pieces`."""
        if n_pieces == 1:
            return rows
        first, end = (self.variable(name, "int64") for name in (pieces.FIRST, pieces.END))
        return rows.filter(rows[by] >= first, rows[by] < end)


@dataclass(frozen=True, kw_only=True)
class Parts:
    """Runs the parts of one build.

    Attributes
    ----------
    connection
        The connection to the build.
    backend
        The same connection, wrapped for Ibis.
    file
        Where statements are kept from one process to the next; None for nowhere.
    elsewhere
        What runs the parts in place of DuckDB; None for DuckDB. Called with these `Parts`, the
        part, what it reads, and its arguments.
    """

    connection: duckdb.DuckDBPyConnection
    backend: Any
    file: Path | None = None
    elsewhere: Callable[[Parts, Part, Sequence[str], Mapping[str, Any]], None] | None = None
    _used: dict[str, tuple[str, ...]] = field(default_factory=dict, repr=False)

    def run(
        self, part: Part, reads: Sequence[str] = (), foreign: Sequence[object] = (), **given: Any
    ) -> None:
        """Run a part: compile it, or run what it ran before in the same circumstances.

        Parameters
        ----------
        part
            A function of this package: ``(scope, **given)``.
        reads
            Names of relations of schema ``narrow``, and of temporary ones.
        foreign
            What it calls that is not of this package, and may change without it.
        given
            Its arguments: plain values, and dataclasses of such.
        """
        if self.elsewhere is not None:
            self.elsewhere(self, part, reads, given)
            return
        schemas = [[name, *self._columns(name)] for name in reads]
        name = f"{part.__module__}:{part.__qualname__}"
        text = json.dumps([name, schemas, _plain(given)])
        key = (part, tuple(map(id, foreign)), text)
        lasting = None if foreign or self.file is None else _digest(text)
        kept = _KEPT.get(key)
        statements = kept[1] if kept else self._stored.get(lasting or "")
        if statements is None:
            statements = self._compile(part, reads, given)
        else:
            for number, sql in enumerate(statements):
                progress.part(number, len(statements))
                self.connection.execute(sql)
        if len(_KEPT) >= _MOST_KEPT:
            _KEPT.clear()
        # Holding what is foreign keeps its identity from being given to something else.
        _KEPT[key] = (tuple(foreign), statements)
        if lasting is not None:
            self._used[lasting] = statements

    def save(self, *, beside: bool = False) -> None:
        """Keep what was run, in place of what was kept before, or `beside` it."""
        program = _program()
        parts = {**self._stored, **self._used} if beside else self._used
        if self.file is None or program is None or parts.keys() == self._stored.keys():
            return
        waiting = self.file.with_name(self.file.name + ".unfinished")
        waiting.write_text(json.dumps({"program": program, "parts": parts}), "utf-8")
        os.replace(waiting, self.file)

    def _compile(
        self, part: Part, reads: Sequence[str], given: Mapping[str, Any]
    ) -> tuple[str, ...]:
        statements: list[str] = []

        def run(sql: str) -> None:
            self.connection.execute(sql)
            statements.append(sql)

        def make(
            name: str,
            expression: ir.Table | None,
            query: str,
            kind: str,
            empty: Sequence[str],
            n: int,
        ) -> ir.Table:
            sql = query
            if expression is not None:
                sql = query.replace("{}", engine.sql_of(expression))
            whole = kind if "." in name else f"OR REPLACE TEMP {kind}"
            if kind == "TABLE" and (empty or n > 1):
                made = engine.table_statements(
                    self.connection, quoted(name), sql, empty, apart=n > 1, kind=whole
                )
                made = [*made[:-1], *pieces.in_turn(made[-1], n)] if n > 1 else made
            else:
                made = [f"CREATE {whole} {quoted(name)} AS {sql}"]
            for statement in made:
                run(statement)
            return self.open(name)

        tables = {name: self.open(name) for name in reads}
        part(Scope(tables=tables, run=run, _make=make), **given)
        return tuple(statements)

    def open(self, name: str) -> ir.Table:
        """A relation as a table for Ibis."""
        schema, _, table = name.rpartition(".")
        return self.backend.table(table, database=schema or None)

    def _columns(self, name: str) -> list[str]:
        found = self.connection.execute(f"SELECT * FROM {quoted(name)} LIMIT 0").description
        return [f"{engine.identifier(column[0])} {column[1]}" for column in found or ()]

    @cached_property
    def _stored(self) -> Mapping[str, tuple[str, ...]]:
        """What was kept by a process that ran the same program."""
        program = _program()
        if self.file is None or program is None:
            return {}
        try:
            stored = json.loads(self.file.read_text("utf-8"))
            same = stored["program"] == program
            return {k: tuple(v) for k, v in stored["parts"].items()} if same else {}
        except (OSError, ValueError, LookupError, TypeError, AttributeError):
            return {}


def quoted(name: str) -> str:
    """The name of a relation, with its schema if it has one, as SQL."""
    return ".".join(map(engine.identifier, name.split(".", 1)))


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _plain(value: Any) -> Any:
    """A value as JSON that no other value has.

    Raises
    ------
    TypeError
        If it is not plain: its key would not tell when it changes.
    """
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, timedelta):
        return ["timedelta", value.days, value.seconds, value.microseconds]
    if isinstance(value, Mapping):
        return ["mapping", [[_plain(key), _plain(item)] for key, item in value.items()]]
    if isinstance(value, (tuple, list)):
        return ["list", [_plain(item) for item in value]]
    if is_dataclass(value) and not isinstance(value, type):
        return [type(value).__name__, [_plain(getattr(value, f.name)) for f in fields(value)]]
    raise TypeError(f"{value!r} is no plain value.")


@cache
def _program() -> str | None:
    """What compiles: every file of this package, and the libraries that write and read SQL.

    None where a file was written after the process began, which may run what it held before.
    """
    digest = hashlib.sha256()
    contracts = [path for place in _CONTRACTS for path in place.glob("*.sql")]
    for path in sorted([*_PACKAGE.rglob("*.py"), *contracts]):
        status = path.stat()
        if max(status.st_ctime, status.st_mtime) > _STARTED - 1:
            return None
        digest.update(f"{path.relative_to(_PACKAGE.parent)}\0{status.st_size}\0".encode())
        digest.update(path.read_bytes())
    for library in ("duckdb", "ibis-framework", "sqlglot"):
        digest.update(f"{library} {version(library)}\0".encode())
    return digest.hexdigest()
