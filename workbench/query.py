"""Reading a published build: our own SQL, expressions, and the queries that people type.

All of it runs on one locked in-memory connection to which the build is attached read-only.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import duckdb
import pyarrow as pa

from workbench import engine, published
from workbench.errors import LockedError, NotFoundError, QueryError, suggest
from workbench.project import STATE_NAME
from workbench.running import Params, RunningQuery
from workbench.running import Result as Result
from workbench.statement import plain_error, select_statement

if TYPE_CHECKING:
    import ibis.expr.types as ir

_MOST_COMPILED = 500


@dataclass(frozen=True)
class Build:
    """One published build, opened for reading. Safe to share between threads.

    Attributes
    ----------
    id
        Name of the build.
    manifest
        What `.workbench/current` said when it was opened.
    root
        The project's `.workbench` folder, absolute.
    """

    id: str
    manifest: Mapping[str, Any]
    root: Path
    _base: duckdb.DuckDBPyConnection = field(repr=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)
    _compiled: dict[Any, str] = field(default_factory=dict, repr=False)
    _known: dict[str, Any] = field(default_factory=dict, repr=False)

    @property
    def project_dir(self) -> Path:
        """The project folder."""
        return self.root.parent

    @cached_property
    def _backend(self) -> Any:
        """The connection for Ibis, which SQL does without."""
        return engine.locked_backend(self._base)

    def close(self) -> None:
        """Let go of the build's file."""
        self._base.close()

    def __enter__(self) -> Build:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def cursor(self) -> duckdb.DuckDBPyConnection:
        """Make a cursor of one's own: another statement on a shared one would end its rows."""
        with self._lock:
            cursor = self._base.cursor()
        cursor.execute(f"USE build; SET VARIABLE root = {engine.literal(f'{self.root}/')}")
        return cursor

    def run(
        self,
        sql: str,
        *,
        limit: int | None = 1000,
        timeout: float | None = 30.0,
        params: Params = None,
        explain: bool = False,
    ) -> Result:
        """Run a query that a person typed and return its rows.

        Parameters
        ----------
        sql
            Exactly one SELECT.
        limit
            Rows to return at most; None for all.
        timeout
            Seconds; None for no limit.
        params
            Values of its parameters: a list for ``?``, a dict for ``$name``.
        explain
            Return the plan in place of the rows.

        Raises
        ------
        QueryError
            If it is refused or fails, in plain words.
        QueryTimeoutError
            If it ran longer than `timeout`.
        """
        query = self.start(sql, limit=limit, timeout=timeout, params=params, explain=explain)
        try:
            # The engine does not look for signals: wait where Ctrl-C arrives.
            while not query.wait(0.1):
                pass
        except KeyboardInterrupt:
            query.cancel()
            query.wait(5)
            raise
        return query.result()

    def start(
        self,
        sql: str,
        *,
        limit: int | None = 1000,
        timeout: float | None = 30.0,
        params: Params = None,
        explain: bool = False,
    ) -> RunningQuery:
        """Like `run`, but in a thread of its own; the returned query can be cancelled."""
        query = self._query(sql, limit, timeout, params, explain)
        threading.Thread(target=query.run, daemon=True).start()
        return query

    def _query(
        self, sql: str, limit: int | None, timeout: float | None, params: Params, explain: bool
    ) -> RunningQuery:
        return RunningQuery(
            self.cursor(),
            sql,
            relations=self.relation_names,
            limit=limit,
            timeout=timeout,
            params=params,
            explain=explain,
        )

    def arrow(self, sql: str, params: Params = None) -> pa.Table:
        """Return the whole result of our own `sql`."""
        cursor = self.cursor()
        try:
            return cursor.execute(sql, params).to_arrow_table()
        except duckdb.Error as error:
            raise plain_error(error, sql, self.relation_names) from error
        finally:
            cursor.close()

    def stream(self, sql: str, params: Params = None) -> pa.RecordBatchReader:
        """Stream the result of our own `sql`, on a cursor that belongs to the reader."""
        cursor = self.cursor()
        try:
            return cursor.execute(sql, params).to_arrow_reader(engine.BATCH_ROWS)
        except duckdb.Error as error:
            raise plain_error(error, sql, self.relation_names) from error

    def count(self, sql: str, params: Params = None) -> int:
        """Count the rows that our own `sql` returns."""
        return int(self.arrow(f"SELECT count(*) AS n FROM (\n{sql}\n)", params)["n"][0].as_py())

    def relations(self) -> list[dict[str, str]]:
        """List what can be asked: one dict of relation, column, type and comment per column."""
        return list(map(dict, self._columns("main")))

    def macros(self) -> dict[str, str]:
        """How each view that takes parameters is called with all of them, by its name."""
        rows = self.arrow(
            "SELECT function_name AS name, parameters FROM duckdb_functions() "
            "WHERE database_name = 'build' AND schema_name = 'main' "
            "AND function_type = 'table_macro' ORDER BY 1"
        ).to_pylist()
        return {row["name"]: f"{row['name']}({', '.join(row['parameters'])})" for row in rows}

    def relation_names(self) -> list[str]:
        """Names of the relations that can be asked."""
        return list(dict.fromkeys(row["relation"] for row in self._columns("main")))

    def columns(self, relation: str, *, narrow: bool = False) -> dict[str, str]:
        """Columns and types of one relation.

        Raises
        ------
        NotFoundError
            If the build has no such relation; the nearest name is in the hint.
        """
        rows = self._columns("narrow" if narrow else "main")
        found = {row["column"]: row["type"] for row in rows if row["relation"] == relation}
        if not found:
            hint = suggest(relation, self.relation_names(), label="one of the relations")
            raise NotFoundError(f"The build has no relation {relation!r}.", hint)
        return found

    def _columns(self, schema: str) -> list[dict[str, str]]:
        sql = (
            "SELECT table_name AS relation, column_name AS column, data_type AS type, "
            "coalesce(comment, '') AS comment FROM duckdb_columns() "
            f"WHERE database_name = 'build' AND schema_name = {engine.literal(schema)} "
            "AND column_name <> 'row_id' ORDER BY table_name, column_index"
        )
        return self.once(schema, lambda: self.arrow(sql).to_pylist())  # type: ignore[no-any-return]

    def once(self, name: str, make: Callable[[], Any]) -> Any:
        """What `make` says of the build, asked once: a build never changes."""
        if name not in self._known:
            self._known[name] = make()
        return self._known[name]

    def expression(self, text: str) -> str:
        """Check an expression that a person typed and bracket it for use in our SQL.

        Raises
        ------
        QueryError
            If it is not one expression.
        """
        cursor = self.cursor()
        try:
            # Both forms: the bare one refuses "a) OR (b", the bracketed one "a FROM x".
            for form in (f"SELECT\n{text}\n", f"SELECT (\n{text}\n)"):
                select_statement(cursor, form)
        except QueryError as error:
            raise QueryError(
                f"{text.strip()!r} is not one SQL expression: {error.message}",
                "Write a condition or a value over columns, such as: confidence > 0.8",
            ) from error
        finally:
            cursor.close()
        return f"(\n{text}\n)"

    def narrowest(self, relation: str, *expressions: str) -> str:
        """Choose the cheapest form of `relation` that has what `expressions` need, as quoted SQL.

        Wide columns cost a join with the lake, so they are read only where they are named.

        Raises
        ------
        NotFoundError
            If there is no such relation.
        QueryError
            If an expression does not fit the relation.
        """
        self.columns(relation)
        name = engine.identifier(relation)
        selected = ", ".join(expressions) or "1"
        cursor = self.cursor()
        try:
            for source in (f"narrow.{name}", name):
                try:
                    cursor.execute(f"DESCRIBE SELECT {selected} FROM {source}")
                except (duckdb.BinderException, duckdb.CatalogException) as error:
                    failure: duckdb.Error = error
                else:
                    return source
        except duckdb.Error as error:
            failure = error
        finally:
            cursor.close()
        raise plain_error(failure, selected, self.relation_names) from failure

    def table(self, relation: str, *, narrow: bool = False) -> ir.Table:
        """Make an Ibis table over a relation; expressions over it are run by `execute`."""
        with self._lock:
            return self._backend.table(relation, database="narrow" if narrow else "main")

    def query_table(self, sql: str) -> ir.Table:
        """Make an Ibis table over our own `sql`; expressions over it are run by `execute`."""
        with self._lock:
            return self._backend.sql(sql, dialect="duckdb")

    def sql_of(self, expression: ir.Expr) -> str:
        """Compile an expression, for ``execute`` and for "View SQL"."""
        operation = expression.op()
        # Compiling may ask the one backend for a schema, so it is done by one thread at a time. It
        # often costs more than the query: what a slider asks again is compiled once.
        with self._lock:
            if operation not in self._compiled:
                if len(self._compiled) >= _MOST_COMPILED:
                    self._compiled.clear()
                import ibis

                self._compiled[operation] = str(ibis.to_sql(expression, dialect="duckdb"))
            return self._compiled[operation]

    def execute(self, expression: ir.Expr) -> pa.Table:
        """Run an Ibis expression on a cursor of its own."""
        return self.arrow(self.sql_of(expression))


def open_build(
    project_dir: str | Path,
    build_id: str | None = None,
    *,
    memory_limit: str | None = None,
    folders: Sequence[Path] = (),
) -> Build:
    """Open the current build of a project, or the one called `build_id`.

    Parameters
    ----------
    project_dir
        The project folder.
    build_id
        Name of a build that is still there.
    memory_limit
        Memory from which on it spills; see `workbench.engine.connect`.
    folders
        Other folders whose files may be read.

    Raises
    ------
    NotFoundError
        If there is no such build.
    LockedError
        If another process writes to it.
    DataError
        If a file that is read in place is not what it was.
    """
    root = Path(project_dir).expanduser().absolute() / STATE_NAME
    manifest = read_manifest(project_dir, build_id)
    path = root / str(manifest["file"])
    if not path.is_file():
        raise NotFoundError(
            f"The build {manifest['build']} has no file {path}.", published.BUILD_HINT
        )
    if pins := manifest.get("in_place", ()):
        # It brings all that reads sources with it.
        from workbench.ingest.pins import verify

        verify(root, pins)
    base = engine.connect(engine.spill_folder(root), memory_limit, engine.TEXT_THREAD_BYTES)
    try:
        base.execute(f"ATTACH {engine.literal(str(path))} AS build (READ_ONLY)")
        base.execute(f"USE build; SET VARIABLE root = {engine.literal(f'{root}/')}")
        # To read one row of a file takes less than to read where in it the rows are.
        base.execute("SET GLOBAL parquet_metadata_cache = true")
        names = [*manifest.get("files", ()), *(entry["path"] for entry in pins)]
        engine.lock(base, [root / name for name in names], folders)
    except duckdb.IOException as error:
        base.close()
        if "lock" in str(error):
            raise LockedError(
                f"The build {manifest['build']} is being written by another process.",
                "Wait for it to end, then try again.",
            ) from error
        raise NotFoundError(
            f"The build {manifest['build']} cannot be opened: {engine.message(error)}",
            "Make it again with: workbench build",
        ) from error
    return Build(str(manifest["build"]), manifest, root, base)


def read_manifest(project_dir: str | Path, build_id: str | None = None) -> dict[str, Any]:
    """Read the manifest of the current build, or of the one called `build_id`.

    Raises
    ------
    NotFoundError
        If there is no such build.
    """
    current = published.current(project_dir)
    if build_id in (None, current["build"]):
        return current
    root = Path(project_dir).expanduser().absolute() / STATE_NAME
    kept = sorted(path.stem for path in (root / "builds").glob("*.duckdb"))
    if build_id not in kept:
        raise NotFoundError(
            f"There is no build {build_id!r}.", suggest(str(build_id), kept, label="one of")
        )
    file = f"builds/{build_id}.duckdb"
    return {**current, "build": build_id, "file": file, "files": _lake_files(root / file)}


def _lake_files(path: Path) -> list[str]:
    """List the lake files that the views of a build name."""
    connection = engine.connect()
    try:
        connection.execute(f"ATTACH {engine.literal(str(path))} AS build (READ_ONLY)")
        views = connection.execute(
            "SELECT sql FROM duckdb_views() WHERE database_name = 'build' AND NOT internal"
        ).fetchall()
    finally:
        connection.close()
    found = {
        text.replace("''", "'")
        for (sql,) in views
        for text in re.findall(r"'((?:[^']|'')*)'", sql)
        if text.startswith(("lake/", "builds/"))
    }
    return sorted(found)
