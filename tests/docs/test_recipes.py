"""What the recipes and the guide of datasets tell a reader to type works as it stands.

A page's blocks are taken in their order, in a demo project of its own:

``toml``
    A ``[context.NAME]``: it is added to ``workbench.toml``, in place of one of that name. A block
    that begins with ``[project]`` is the whole file of a project that holds only the page's files.
``csv``, ``jsonl``
    A file of the project, named between backticks in the line before the block.
``python``
    Run in the project's folder.
``bash``
    Each line that starts with ``workbench`` must succeed.
``sql``
    One query, which must find at least one row.

The project is built before the first command or query after a change. What is shown but cannot be
run has another language, such as ``text``. A page without a command and without a query fails.
"""

from __future__ import annotations

import importlib.util
import json
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.conftest import run
from tests.docs import recipes

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "docs" / "recipes"
PAGES = sorted(path for path in FOLDER.glob("*.md") if path.name != "README.md")
GUIDES = [ROOT / "docs" / "datasets.md", ROOT / "docs" / "capture.md"]


@pytest.fixture(scope="session")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small demo project, built once; every page gets a copy."""
    folder = tmp_path_factory.mktemp("recipes") / "demo"
    done = run("demo", folder, "-n", 1500, "--no-serve")
    assert done.code == 0, done.err
    return folder


def _succeed(*arguments: object) -> str:
    done = run(*arguments)
    assert done.code == 0, f"workbench {shlex.join(map(str, arguments))}\n{done.err}"
    return done.out


def _query(text: str) -> None:
    rows = json.loads(_succeed("sql", text.strip(), "--format", "json"))
    assert rows, f"no row: {text}"


def _python(text: str, folder: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", text], cwd=folder, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, f"{text}\n{done.stdout}\n{done.stderr}"


@pytest.mark.parametrize("page", [*PAGES, *GUIDES], ids=lambda page: page.stem)
def test_a_recipe(page: Path, demo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = page.read_text(encoding="utf-8")
    if 'join = "explain"' in text and importlib.util.find_spec("shap") is None:
        pytest.skip("shap is not installed: pip install 'feedback-workbench[explain]'")
    steps = recipes.steps(text)
    folder = tmp_path / "project"
    if any(step.text.lstrip().startswith("[project]") for step in steps):
        folder.mkdir()
    else:
        shutil.copytree(demo, folder)
    monkeypatch.chdir(folder)
    changed, ran = False, 0
    for step in steps:
        if step.language == "toml" or step.file is not None:
            recipes.write(folder, step)
            changed = True
        elif step.language == "python":
            _python(step.text, folder)
        elif step.language in ("bash", "sql"):
            if changed:
                _succeed("build")
                changed = False
            if step.language == "sql":
                _query(step.text)
                ran += 1
            for line in recipes.commands(step.text) if step.language == "bash" else ():
                _succeed(*shlex.split(line, comments=True)[1:])
                ran += 1
    assert ran, "the page shows no command and no query that can be run"


def test_every_recipe_is_in_the_index() -> None:
    index = (FOLDER / "README.md").read_text(encoding="utf-8")
    linked = re.findall(r"\]\(([\w-]+\.md)\)", index)
    assert sorted(linked) == [page.name for page in PAGES]


def test_a_context_of_the_same_name_is_replaced() -> None:
    before = '[a]\nx = 1\n[context.one]\njoin = "as_of"\n[context.one.more]\ny = 2\n[b]\nz = 3\n'
    after = recipes.configured(before, '[context.one]\njoin = "lookup"\n')
    assert after == '[a]\nx = 1\n[b]\nz = 3\n\n[context.one]\njoin = "lookup"\n'


def test_a_file_without_a_name_is_refused() -> None:
    assert recipes.steps("In `a.csv`:\n\n```csv\nx\n1\n```\n")[0].file == "a.csv"
    with pytest.raises(ValueError, match="names"):
        recipes.steps("A file:\n\n```csv\nx\n1\n```\n")
