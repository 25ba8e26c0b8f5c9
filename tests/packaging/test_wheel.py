"""An installed wheel works without a checkout: command, schema, SQL and dashboard."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

pytestmark = pytest.mark.wheel


def run(*command: str | Path, cwd: Path, check: bool = True) -> subprocess.CompletedProcess[str]:
    """Run a command outside of the checkout, with nothing of it on the path."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "WORKBENCH"))}
    done = subprocess.run(
        [str(part) for part in command],
        cwd=cwd,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        stdin=subprocess.DEVNULL,
    )
    if check:
        assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built with the hatchling of the test environment, so no network is needed."""
    folder = tmp_path_factory.mktemp("wheel")
    code = f"from hatchling.build import build_wheel; print(build_wheel({str(folder)!r}))"
    run(sys.executable, "-c", code, cwd=ROOT)
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture(scope="session")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`bin` of a fresh environment that holds the wheel and borrows its dependencies.

    The dependencies come from the running environment through a .pth file, which is read after
    the environment's own packages, so the installed wheel wins over an editable checkout; the
    checkout's own .pth file is not read that way at all.
    """
    home = tmp_path_factory.mktemp("installed") / "environment"
    venv.create(home, with_pip=False, symlinks=True)
    scheme = {"base": str(home), "platbase": str(home)}
    packages = Path(sysconfig.get_path("purelib", "venv", vars=scheme))
    pip = (sys.executable, "-m", "pip", "--disable-pip-version-check", "--python", home)
    run(*pip, "install", "--quiet", "--no-deps", "--no-index", wheel, cwd=home)
    (packages / "borrowed.pth").write_text(sysconfig.get_path("purelib") + "\n", encoding="utf-8")
    return home / "bin"


@pytest.fixture
def empty(tmp_path: Path) -> Path:
    """An empty folder outside of the checkout, with a name that needs quoting."""
    folder = tmp_path / "it's empty here"
    folder.mkdir()
    return folder


def test_the_wheel_holds_all_that_is_needed(wheel: Path):
    names = set(zipfile.ZipFile(wheel).namelist())
    bundle = "workbench/_bundle"
    assert {f"{bundle}/app.py", f"{bundle}/.streamlit/config.toml", "workbench/py.typed"} <= names
    sql = {f"{bundle}/{p.relative_to(ROOT)}" for p in (ROOT / "sql").rglob("*") if p.is_file()}
    assert sql <= names
    code = {str(p.relative_to(ROOT)) for p in (ROOT / "workbench").rglob("*.py")}
    assert code <= names
    assert any(name.endswith("licenses/LICENSE") for name in names)
    assert not any(name.startswith(("tests/", "docs/", "data/")) for name in names)


def test_the_package_in_use_is_the_installed_one(installed: Path, empty: Path):
    code = "import workbench; print(workbench.__file__)"
    found = Path(run(installed / "python", "-c", code, cwd=empty).stdout.strip())
    assert installed.parent in found.parents
    assert ROOT not in found.parents


def test_the_version_is_that_of_the_package(installed: Path, wheel: Path, empty: Path):
    shown = run(installed / "workbench", "--version", cwd=empty).stdout
    assert wheel.name.split("-")[1] in shown


def test_the_schema_comes_with_the_wheel(installed: Path, empty: Path):
    shown = run(installed / "workbench", "doctor", "--schema", "feedback", cwd=empty).stdout
    assert json.loads(shown)["title"]


def test_a_demo_is_built_and_read_without_a_checkout(installed: Path, empty: Path):
    command = installed / "workbench"
    run(command, "demo", "shop", "--no-serve", "-n", "1000", cwd=empty)
    status = json.loads(run(command, "status", "--project", "shop", "--json", cwd=empty).stdout)
    kept = ("invalid", "duplicate", "spam", "orphan", "ambiguous", "attributed")
    assert status["received"] == sum(status[name] for name in kept) > 0
    counted = run(
        command,
        "sql",
        "--project",
        "shop",
        "--format",
        "json",
        "SELECT count(*) AS n FROM enriched_feedback",
        cwd=empty,
    ).stdout
    assert json.loads(counted)[0]["n"] == status["attributed"]


def test_the_dashboard_is_in_the_wheel(installed: Path, empty: Path):
    code = (
        "from workbench.contract import bundle_path; "
        "import workbench.ui.shell; "
        "print(bundle_path('app.py').is_file(), bundle_path('.streamlit/config.toml').is_file())"
    )
    assert run(installed / "python", "-c", code, cwd=empty).stdout.split() == ["True", "True"]
