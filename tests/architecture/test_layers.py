"""The rules of the layout: who may import whom, what start-up loads, how long a module may be."""

from __future__ import annotations

import ast
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "workbench"
MODULES = sorted(PACKAGE.rglob("*.py"))
PAGES = sorted((PACKAGE / "ui" / "pages").glob("*.py"))

#: Loading one of these makes a command wait, so start-up may not.
HEAVY = ("streamlit", "ibis", "duckdb", "sklearn", "pandas", "plotly", "pyarrow", "deltalake")


def imported_by(code: str) -> set[str]:
    """Top-level packages that a fresh interpreter holds after running `code`."""
    script = (
        f"{code}\nimport sys\nprint('\\n'.join(sorted({{m.split('.')[0] for m in sys.modules}})))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return set(done.stdout.split())


def test_imports_point_downwards():
    done = subprocess.run(
        [str(Path(sys.executable).with_name("lint-imports")), "--no-cache"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_module_is_in_a_layer():
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]
    layers = next(c["layers"] for c in contracts["contracts"] if c["type"] == "layers")
    placed = {
        name.strip(" ()\n").removeprefix("workbench.")
        for layer in layers
        for part in layer.split("|")
        for name in part.split(":")
    }
    own = {m.relative_to(PACKAGE).with_suffix("").as_posix().replace("/", ".") for m in MODULES}
    unplaced = {
        module
        for module in (name.removesuffix(".__init__") for name in own)
        if not any(f"{module}.".startswith(f"{layer}.") for layer in placed)
    }
    assert unplaced <= {"__init__", "__main__", "ui"}


@pytest.mark.parametrize(
    "code",
    [
        "import workbench",
        "import contextlib, io\n"
        "from workbench.cli.main import main\n"
        "with contextlib.suppress(SystemExit), contextlib.redirect_stdout(io.StringIO()):\n"
        "    main(['--help'])",
    ],
    ids=["import workbench", "workbench --help"],
)
def test_start_up_loads_nothing_heavy(code: str):
    assert not imported_by(code) & set(HEAVY)


def test_scikit_learn_is_loaded_by_no_module_of_its_own_accord():
    names = [
        ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
        for path in MODULES
        if PACKAGE / "ui" not in path.parents and path.name != "__main__.py"
    ]
    imports = (
        "import importlib\nfor name in " + repr(names) + ":\n    importlib.import_module(name)"
    )
    assert not imported_by(imports) & {"sklearn", "scipy", "streamlit"}


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_module_is_short(path: Path):
    assert len(path.read_text(encoding="utf-8").splitlines()) <= 400


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.stem)
def test_a_page_is_thin(path: Path):
    body = [
        line
        for line in path.read_text(encoding="utf-8").splitlines()
        if line.strip() and not line.lstrip().startswith("#")
    ]
    assert len(body) <= 80


def test_the_app_only_starts_the_shell():
    tree = ast.parse((ROOT / "app.py").read_text(encoding="utf-8"))
    imported = {
        node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and node.module
    }
    assert imported == {"__future__", "workbench.ui.shell"}
