"""What the README and the guides tell a reader to type works as it stands."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def blocks(page: str, language: str) -> list[str]:
    """The fenced blocks of one language, in order."""
    text = (ROOT / page).read_text(encoding="utf-8")
    return re.findall(rf"^```{language}\n(.*?)^```", text, flags=re.DOTALL | re.MULTILINE)


def shell(command: str, cwd: Path) -> str:
    """Run a line as a reader would, with the running environment's commands first on PATH."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", command],
        cwd=cwd,
        env={**os.environ, "PATH": path},
        capture_output=True,
        text=True,
        check=False,
        stdin=subprocess.DEVNULL,
    )
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def python(code: str, cwd: Path) -> str:
    """Run a block of Python in a fresh interpreter."""
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=cwd, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, f"{code}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def write_logs(folder: Path) -> None:
    """A small log of calls and of thumbs, as a newcomer might have."""
    folder.mkdir()
    calls, thumbs = [], []
    for n in range(40):
        minute = f"2026-03-01T12:{n:02d}"
        calls.append(
            {
                "request_id": f"call-{n:03d}",
                "ts": f"{minute}:00Z",
                "model_version": f"v{1 + n % 2}",
                "user_id": f"user-{n % 7}",
                "input": f"Question {n}?",
                "output": f"Answer {n}.",
            }
        )
        if n % 4:
            thumbs.append(
                {
                    "feedback_id": f"thumb-{n:03d}",
                    "request_id": f"call-{n:03d}",
                    "ts": f"{minute}:30Z",
                    "name": "thumb",
                    "value": n % 3 > 0,
                }
            )
    for name, rows in (("inferences", calls), ("feedback", thumbs)):
        text = "".join(json.dumps(row) + "\n" for row in rows)
        (folder / f"{name}.jsonl").write_text(text, encoding="utf-8")


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which the README's commands have been run."""
    folder = tmp_path_factory.mktemp("reader")
    write_logs(folder / "logs")
    for block in blocks("README.md", "bash"):
        shell(block, folder)
    return folder


def test_the_commands_of_the_readme_give_the_whole_way(here: Path):
    status = json.loads(shell("workbench status --project my-project --json", here))
    assert (status["received"], status["attributed"]) == (30, 30)
    rows = (here / "slice.jsonl").read_text(encoding="utf-8").splitlines()
    assert len(rows) == sum(1 for n in range(40) if n % 4 and n % 3 == 0)


@pytest.mark.parametrize("block", blocks("README.md", "python"))
def test_the_python_of_the_readme(here: Path, block: str):
    assert "reward_mean" in python(block, here)


@pytest.mark.parametrize("page", ["README.md", "docs/sql.md", "docs/bad-input.md"])
def test_the_sql_that_is_shown(here: Path, page: str):
    for block in blocks(page, "sql"):
        if "ATTACH" not in block:
            shell(f"workbench sql --project my-project --format json {shlex.quote(block)}", here)


def test_the_guide_of_own_logs(here: Path, tmp_path: Path):
    write_logs(tmp_path / "logs")
    for block in blocks("docs/getting-started.md", "bash"):
        for line in block.splitlines():
            if not line.startswith("workbench serve"):
                shell(line, tmp_path)
    assert (tmp_path / "slice.jsonl").is_file()


def test_the_commands_of_the_sql_guide(here: Path):
    for block in blocks("docs/sql.md", "bash"):
        shell(block, here / "my-project")


def test_any_duckdb_client_opens_a_build(here: Path):
    (block,) = blocks("docs/sql.md", "python")
    code = f"{block}\nassert ('attributed', 30) in rows, rows"
    python(code, here)


def test_the_attach_that_is_shown(here: Path):
    (block,) = [block for block in blocks("docs/sql.md", "sql") if "ATTACH" in block]
    state = here / "my-project" / ".workbench"
    build = json.loads((state / "current").read_text(encoding="utf-8"))["build"]
    sql = block.replace("<build id>", build).replace("/full/path/to", str(here))
    code = f"import duckdb\nrows = duckdb.connect().sql({sql!r}).fetchall()\nassert rows, rows"
    python(code, here)


def test_the_targets_that_are_shown_exist():
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"^([a-z]+):", makefile, flags=re.MULTILINE))
    for page in ("README.md", "CONTRIBUTING.md"):
        text = (ROOT / page).read_text(encoding="utf-8")
        shown = set(re.findall(r"^make ([a-z]+)", text, flags=re.MULTILINE))
        shown |= set(re.findall(r"`make ([a-z]+)", text))
        assert shown
        assert shown <= targets


def test_the_metric_that_contributors_are_shown(tmp_path: Path):
    """The example of a metric, computed on two rows against the formula."""
    (block,) = re.findall(
        r"^   ```python\n(.*?)^   ```",
        (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8"),
        flags=re.DOTALL | re.MULTILINE,
    )
    code = re.sub(r"^   ", "", block, flags=re.MULTILINE)
    (tmp_path / "latency_seconds.py").write_text(code, encoding="utf-8")
    check = """
import ibis
from latency_seconds import metric
assert (metric.name, metric.about[:4]) == ("latency_seconds", "Mean")
rows = ibis.memtable({"latency_ms": [900.0, 400.0]})
value = ibis.duckdb.connect().execute(metric.expr(rows).mean())
assert abs(value - 0.65) < 1e-12, value
"""
    python(check, tmp_path)
