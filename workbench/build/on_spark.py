"""Runs the parts of a build on Spark Connect; DuckDB and Spark exchange tables as Parquet files.

What a part reads and Spark does not have is written by DuckDB. What a part makes is written by
Spark and read by DuckDB through a view of the same name, so that whatever else a build does goes on
as if DuckDB had made it. Tables of schema ``narrow`` are committed as Delta tables beside the
build's file. All files are in the project's state folder, which every worker of the cluster must
see under the same path.
"""

from __future__ import annotations

import itertools
import re
import shutil
import socket
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC
from pathlib import Path
from typing import Any

import duckdb
import ibis
import ibis.expr.types as ir
import pyarrow.parquet as pq

from workbench import engine, spark
from workbench.compiled import Part, Parts, Scope, quoted
from workbench.engine import identifier, literal
from workbench.errors import ConfigError, DataError
from workbench.ingest.in_place import located
from workbench.lake import Lake

_PORT = 15002
#: Seconds after which a server that does not answer is taken to be absent.
_PATIENCE = 10.0
_SETTINGS = {
    "spark.sql.session.timeZone": "UTC",
    # The other types of time lose the zone, or the microseconds.
    "spark.sql.parquet.outputTimestampType": "TIMESTAMP_MICROS",
}
_HINT = "See docs/scale.md for how to start a server, or build on this machine without --engine."


@dataclass(frozen=True, kw_only=True)
class Spark:
    """A Spark Connect server at work on one build.

    Attributes
    ----------
    session, backend
        The session, and the same wrapped for Ibis.
    state
        The project's state folder.
    folder
        Where the tables of the build go, relative to `state`.
    counts
        Whether the server can count rows while they are written.
    """

    session: Any
    backend: Any
    state: Path
    folder: str
    counts: bool
    _held: set[str] = field(default_factory=set, repr=False)
    _numbers: Iterator[int] = field(default_factory=itertools.count, repr=False)

    @property
    def _scratch(self) -> Path:
        return self.state / "tmp" / "spark"

    def run(
        self, compiled: Parts, part: Part, reads: Sequence[str], given: Mapping[str, Any]
    ) -> None:
        """Run a part; see `workbench.compiled.Parts.elsewhere`."""

        def make(
            name: str, expression: ir.Table | None, query: str, kind: str, *_: object
        ) -> ir.Table:
            if expression is None:
                self._replace(compiled.connection, name, f"TABLE {quoted(name)} AS {query}")
                self._held.discard(name)
                return self._table(compiled, name)
            if query != "{}":
                raise ValueError(f"{part.__name__} makes {name} in SQL of DuckDB.")
            sql = str(self.backend.compile(expression))
            return self._view(name, sql) if kind == "VIEW" else self._made(compiled, name, sql)

        def variable(name: str, dtype: str) -> ir.Value:
            moment = engine.scalar(compiled.connection, f"SELECT getvariable({literal(name)})")
            value = ibis.null(dtype) if moment is None else ibis.timestamp(moment.astimezone(UTC))
            return value.cast(dtype)

        spec = given.get("spec")
        with _explained(part, None if spec is None else spec.name):
            scope = Scope(
                tables={name: self._table(compiled, name) for name in reads},
                run=compiled.connection.execute,
                _make=make,
                variable=variable,
            )
            part(scope, **given)

    def _table(self, compiled: Parts, name: str) -> ir.Table:
        """A relation on Spark; what it does not have is written by DuckDB."""
        if name not in self._held:
            place = self._scratch / _plain(name)
            shutil.rmtree(place, ignore_errors=True)
            place.mkdir(parents=True)
            compiled.connection.execute(
                f"COPY (FROM {quoted(name)}) TO {literal(str(place))} "
                "(FORMAT parquet, COMPRESSION zstd, PER_THREAD_OUTPUT)"
            )
            self._read(name, place)
            # A temporary relation of DuckDB may have been made anew when it is read again.
            if "." in name:
                self._held.add(name)
        return self.backend.table(_plain(name))

    def _read(self, name: str, place: Path) -> None:
        rows = self.session.read.parquet(f"file://{place}")
        rows.createOrReplaceTempView(_plain(name))

    def _view(self, name: str, sql: str) -> ir.Table:
        self.session.sql(sql).createOrReplaceTempView(_plain(name))
        self._held.add(name)
        return self.backend.table(_plain(name))

    def _made(self, compiled: Parts, name: str, sql: str) -> ir.Table:
        """Write the rows of a query, and let both engines read them."""
        lasting = "." in name
        table = _plain(name.removeprefix("narrow."))
        lake = Lake(self.state, folder=self.folder)
        # A temporary one may be made of another of the same name.
        number = next(self._numbers)
        place = Path(lake.uri(table)) if lasting else self._scratch / f"{table}-{number}"
        rows, counted = self._counted(self.session.sql(sql))
        rows.write.parquet(f"file://{place}")
        if not any(place.glob("*.parquet")):
            # Of no rows some servers write no file.
            place.mkdir(parents=True, exist_ok=True)
            pq.write_table(rows.limit(0).toArrow(), place / "part-0.parquet")
        if lasting:
            lake.adopt(table)
            files = lake.files(table)
        else:
            files = sorted(str(path) for path in place.glob("*.parquet"))
        self._read(name, place)
        self._held.add(name)
        written = f"read_parquet({located(files)}, hive_partitioning = false)"
        here = engine.scalar(compiled.connection, f"SELECT count(*) FROM {written}")
        if counted is not None and counted.get["n"] != here:
            raise DataError(
                f"Spark wrote {counted.get['n']:,} rows of {name}, and {here:,} of them are here.",
                f"Every worker must see {self.state} under this path, and write to it.",
            )
        self._replace(compiled.connection, name, f"VIEW {quoted(name)} AS FROM {written}")
        return self.backend.table(_plain(name))

    def _counted(self, rows: Any) -> tuple[Any, Any]:
        """Rows that are counted where they are made, and their number; None if that is unknown."""
        if not self.counts:
            return rows, None
        from pyspark.sql import Observation, functions

        counted = Observation("rows")
        return rows.observe(counted, functions.count(functions.lit(1)).alias("n")), counted

    def _replace(self, connection: duckdb.DuckDBPyConnection, name: str, made: str) -> None:
        """Make a relation of DuckDB, whatever kind the one was that has its name."""
        if "." in name:
            connection.execute(f"CREATE {made}")
            return
        for kind in ("view", "table"):
            if engine.scalar(
                connection,
                f"SELECT count(*) FROM duckdb_{kind}s() "
                f"WHERE temporary AND {kind}_name = {literal(name)}",
            ):
                connection.execute(f"DROP {kind} {identifier(name)}")
        connection.execute(f"CREATE TEMP {made}")


@contextmanager
def joining(compiled: Parts, remote: str | None, state: Path, folder: str) -> Iterator[Parts]:
    """What runs the parts of a build that attribute, label and enrich.

    Parameters
    ----------
    compiled
        What runs parts on DuckDB.
    remote
        Address of a Spark Connect server; DuckDB runs everything when None.
    state
        The project's state folder.
    folder
        Where in it the tables of the build go that Spark makes.

    Raises
    ------
    DataError
        If Spark fails.
    """
    if remote is None:
        yield compiled
        return
    from pyspark.sql import SparkSession

    session = SparkSession.builder.remote(remote).create()
    try:
        for key, value in _SETTINGS.items():
            session.conf.set(key, value)
        server = Spark(
            session=session,
            backend=spark.backend(session),
            state=state,
            folder=folder,
            counts=_counts(session),
        )
        yield replace(compiled, elsewhere=server.run)
    finally:
        session.stop()
        shutil.rmtree(state / "tmp" / "spark", ignore_errors=True)


def check(remote: str) -> None:
    """Refuse a server that is not there, before anything is done.

    Raises
    ------
    ConfigError
        If there is no such server, or its client is not installed.
    """
    try:
        import pyspark.sql  # noqa: F401
    except ImportError as error:
        raise ConfigError(
            "Building on Spark needs its client, which is not installed.",
            "Install it with: pip install 'feedback-workbench[spark]'",
        ) from error
    found = re.fullmatch(r"sc://(\[[^\]]+\]|[^:/;]+)(?::(\d+))?(/.*)?", remote)
    if found is None:
        raise ConfigError(
            f"--remote {remote!r} is no address of a Spark Connect server.",
            f"Write it as sc://host:{_PORT}.",
        )
    host, port = found[1].strip("[]"), int(found[2] or _PORT)
    # The client itself would go on trying for minutes.
    try:
        socket.create_connection((host, port), timeout=_PATIENCE).close()
    except OSError as error:
        raise ConfigError(
            f"No Spark Connect server answers at {host}:{port}: {error.strerror or error}.", _HINT
        ) from error


def _counts(session: Any) -> bool:
    """Whether the server can count rows on their way; Sail cannot yet."""
    from pyspark.errors import PySparkException
    from pyspark.sql import Observation, functions

    counted = Observation("probe")
    try:
        session.range(3).observe(counted, functions.count(functions.lit(1)).alias("n")).collect()
    except PySparkException:
        return False
    return bool(counted.get["n"] == 3)


@contextmanager
def _explained(part: Part, context: str | None) -> Iterator[None]:
    """Say which part of a build failed on Spark, and what to do."""
    from ibis.common.exceptions import IbisError
    from pyspark.errors import PySparkException

    what = f"[context.{context}]" if context else f"The part {part.__name__!r} of the build"
    try:
        yield
    except (IbisError, PySparkException) as error:
        said = str(error).strip().split("\n")[0][:500]
        raise DataError(
            f"{what} failed on Spark: {said}",
            (
                "If its join is of another package, it may not be portable: build without "
                f"--engine spark, or leave [context.{context}] out."
                if context
                else "Nothing was published. Look at the log of the server, then run it again; or "
                "build without --engine spark."
            ),
        ) from error


def _plain(name: str) -> str:
    return name.replace(".", "__")
