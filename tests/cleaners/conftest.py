from __future__ import annotations

from collections.abc import Iterator

import duckdb
import pytest

from workbench.engine import connect


@pytest.fixture(scope="package")
def connection() -> Iterator[duckdb.DuckDBPyConnection]:
    with connect() as opened:
        yield opened
