"""One run of a query that a person typed: a row limit that knows, a timeout, a cancel."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import duckdb
import pyarrow as pa

from workbench.errors import QueryError, QueryTimeoutError, WorkbenchError
from workbench.statement import plain_error, select_statement

Params = Mapping[str, Any] | Sequence[Any] | None


@dataclass(frozen=True)
class Result:
    """What a query returned.

    Attributes
    ----------
    columns, types
        Names and DuckDB types, in order.
    table
        The rows, at most as many as the limit.
    truncated
        Whether there are more rows than the limit; exact, for one row more was asked for.
    elapsed
        Seconds.
    sql
        The query as it was typed.
    """

    columns: tuple[str, ...]
    types: tuple[str, ...]
    table: pa.Table
    truncated: bool
    elapsed: float
    sql: str


class RunningQuery:
    """One run of a typed query, which any thread may cancel.

    Parameters
    ----------
    cursor
        A cursor of its own on the build; it is closed at the end.
    sql
        The query as typed.
    relations
        Names of what can be asked, for the error that names the nearest.
    limit
        Rows to return at most; None for all.
    timeout
        Seconds after which it is interrupted; None for never.
    params
        Values of its parameters.
    explain
        Return the plan in place of the rows.
    """

    def __init__(
        self,
        cursor: duckdb.DuckDBPyConnection,
        sql: str,
        *,
        relations: Callable[[], Iterable[str]],
        limit: int | None,
        timeout: float | None,
        params: Params = None,
        explain: bool = False,
    ) -> None:
        self.sql = sql
        self._limit = limit
        self._timeout = timeout
        self._params = params
        self._explain = explain
        self._relations = relations
        self._cursor = cursor
        self._stop = threading.Event()
        self._over = threading.Event()
        self._done = threading.Event()
        self._cancelled = False
        self._result: Result | None = None
        self._error: WorkbenchError | None = None
        self.started = time.monotonic()

    @property
    def done(self) -> bool:
        """Whether it has ended, in whatever way."""
        return self._done.is_set()

    @property
    def elapsed(self) -> float:
        """Seconds since it was started."""
        return time.monotonic() - self.started

    def cancel(self) -> None:
        """End it; `result` then raises a QueryError. Does nothing when it has ended."""
        if not self.done:
            self._cancelled = True
            self._stop.set()

    def wait(self, seconds: float) -> bool:
        """Wait for its end, at most so many seconds; returns whether it has ended."""
        return self._done.wait(seconds)

    def result(self) -> Result:
        """Return its rows, once it has ended.

        Raises
        ------
        QueryError
            If it was refused, failed or was cancelled.
        QueryTimeoutError
            If it ran longer than its timeout.
        """
        self._done.wait()
        if self._error is not None:
            raise self._error
        assert self._result is not None
        return self._result

    def run(self) -> None:
        """Run it to its end in this thread and keep the outcome."""
        watchdog = threading.Thread(target=self._watch, daemon=True)
        watchdog.start()
        try:
            self._result = self._execute()
        except WorkbenchError as error:
            self._error = error
        except duckdb.InterruptException:
            self._error = self._interrupted()
        except (duckdb.Error, RuntimeError) as error:
            self._error = plain_error(error, self.sql, self._relations, first_line=2)
        finally:
            self._over.set()
            self._stop.set()
            watchdog.join()
            self._cursor.close()
            # Last: a process that ends while a thread is still inside of the engine is aborted.
            self._done.set()

    def _watch(self) -> None:
        self._stop.wait(self._timeout)
        # An interrupt that comes before the statement has begun is lost, so it is repeated.
        while not self._over.is_set():
            self._cursor.interrupt()
            self._over.wait(0.05)

    def _interrupted(self) -> WorkbenchError:
        if self._cancelled:
            return QueryError("The query was cancelled.", "")
        return QueryTimeoutError(
            f"The query ran longer than {self._timeout:g} s and was stopped.",
            "Filter or aggregate first, or allow more time with --timeout.",
        )

    def _execute(self) -> Result:
        text = select_statement(self._cursor, self.sql)
        if self._explain:
            plan = self._cursor.execute(f"EXPLAIN\n{text}", self._params).fetchall()
            table = pa.table({"plan": [row[1] for row in plan]})
            return Result(("plan",), ("VARCHAR",), table, False, self.elapsed, self.sql)
        # On lines of its own: a comment at the end would swallow the bracket.
        wrapped = f"FROM (\n{text}\n)"
        if self._limit is not None:
            wrapped += f" LIMIT {self._limit + 1}"
        select_statement(self._cursor, wrapped)
        cursor = self._cursor.execute(wrapped, self._params)
        described = cursor.description or []
        table = cursor.to_arrow_table()
        truncated = self._limit is not None and table.num_rows > self._limit
        return Result(
            columns=tuple(entry[0] for entry in described),
            types=tuple(str(entry[1]) for entry in described),
            table=table.slice(0, self._limit) if truncated else table,
            truncated=truncated,
            elapsed=self.elapsed,
            sql=self.sql,
        )
