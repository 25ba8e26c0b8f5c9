"""The continuous check fails when a test was skipped that had to run."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parents[2]

PASSED = "".join(
    f'<testcase classname="tests.{kind}.test_{kind}" name="test_it"/>'
    for kind in ("browser", "wheel", "architecture", "portability", "real")
)
SKIPPED = (
    '<testcase classname="tests.x.test_x" name="test_it">'
    '<skipped type="{kind}" message="{reason}"/></testcase>'
)


@pytest.fixture
def check(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    spec = importlib.util.spec_from_file_location("check_skips", ROOT / ".ci" / "check_skips.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.setenv("WORKBENCH_REAL_DATA", str(ROOT))
    return module


def verdict(check: ModuleType, folder: Path, cases: str) -> int:
    report = folder / "junit.xml"
    report.write_text(f"<testsuites><testsuite>{cases}</testsuite></testsuites>", "utf-8")
    return check.main(str(report))


def test_it_passes_when_all_ran(check: ModuleType, tmp_path: Path):
    assert verdict(check, tmp_path, PASSED) == 0


def test_it_fails_for_a_skip(check: ModuleType, tmp_path: Path):
    skip = SKIPPED.format(kind="pytest.skip", reason="no Chromium")
    assert verdict(check, tmp_path, PASSED + skip) == 1


def test_a_module_that_skips_itself_gives_its_reason_in_the_text(check: ModuleType, tmp_path: Path):
    module = (
        '<testcase classname="" name="tests.x.test_x"><skipped type="pytest.skip" '
        "message=\"collection skipped\">('test_x.py', 24, 'Skipped: {}')</skipped></testcase>"
    )
    allowed = module.format("Feast is not installed: make feast")
    assert verdict(check, tmp_path, PASSED + allowed) == 0
    assert verdict(check, tmp_path, PASSED + module.format("no Spark")) == 1


def test_it_fails_when_a_kind_of_test_is_absent(check: ModuleType, tmp_path: Path):
    assert verdict(check, tmp_path, PASSED.replace("wheel", "other")) == 1


def test_an_expected_failure_is_no_skip(check: ModuleType, tmp_path: Path):
    skip = SKIPPED.format(kind="pytest.xfail", reason="known")
    assert verdict(check, tmp_path, PASSED + skip) == 0


def test_real_data_may_be_absent(
    check: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    skip = SKIPPED.format(kind="pytest.skip", reason="set WORKBENCH_REAL_DATA")
    assert verdict(check, tmp_path, PASSED + skip) == 1
    monkeypatch.setenv("WORKBENCH_REAL_DATA", str(tmp_path / "nowhere"))
    assert verdict(check, tmp_path, PASSED + skip) == 0
