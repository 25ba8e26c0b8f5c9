"""What the commands import, on which depends how long they take to start."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from tests.ingest.folder import Folder

#: Each command in turn, and which of the libraries and of our own modules were there after it.
CODE = """
import contextlib, io, json, sys
from workbench.cli.main import main
seen = {}

def note(what):
    seen[what] = sorted(
        name if name.startswith("workbench") else name.split(".")[0] for name in sys.modules
    )

for command in (["--help"], ["build", "--help"], ["status"], ["sql", "FROM labels"]):
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        with contextlib.suppress(SystemExit):
            main(command)
    note(" ".join(command[:2]))
import workbench.ui.shell
note("dashboard")
print(json.dumps(seen))
"""

ENGINE = {"duckdb", "pyarrow"}
#: Each takes longer to import than a query of a small build to run.
HEAVY = {
    "deltalake", "ibis", "pandas", "plotly", "rich", "scipy", "sklearn", "sqlglot", "streamlit",
}  # fmt: skip


@pytest.fixture(scope="module")
def imported(project: Folder) -> dict[str, set[str]]:
    done = subprocess.run(
        [sys.executable, "-c", CODE], cwd=project.path, capture_output=True, text=True, check=True
    )
    return {command: set(names) for command, names in json.loads(done.stdout).items()}


@pytest.mark.parametrize("command", ["--help", "build --help", "status"])
def test_what_reads_no_build_imports_no_engine(imported: dict[str, set[str]], command: str) -> None:
    assert not imported[command] & (HEAVY | ENGINE)
    assert not {name for name in imported[command] if name.startswith("workbench.ingest")}


def test_a_query_in_sql_imports_the_engine_and_nothing_else_that_is_heavy(
    imported: dict[str, set[str]],
) -> None:
    command = next(name for name in imported if name.startswith("sql"))
    assert imported[command] >= ENGINE
    assert not imported[command] & HEAVY


def test_the_dashboard_imports_nothing_that_builds_or_fits(imported: dict[str, set[str]]) -> None:
    assert not imported["dashboard"] & {"sklearn", "shap", "pyspark", "workbench.build"}
