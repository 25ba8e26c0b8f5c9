"""The documentation names what there is, and its links lead somewhere."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from workbench import configuration
from workbench.errors import ExitCode
from workbench.registry import Registry

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])


def names(page: str) -> set[str]:
    """All that stands between backticks in a page, split into words."""
    text = re.sub(r"```.*?```", "", (ROOT / page).read_text(encoding="utf-8"), flags=re.DOTALL)
    return {
        word for quoted in re.findall(r"`([^`]+)`", text) for word in re.findall(r"\w+", quoted)
    }


def test_the_generated_pages_are_current():
    done = subprocess.run(
        [sys.executable, "docs/generate.py", "--check"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_to_a_file_and_a_heading(page: Path):
    text = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    broken = []
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, heading = target.partition("#")
        file = (page.parent / path).resolve() if path else page
        if not file.exists():
            broken.append(target)
        elif heading:
            titles = re.findall(r"^#+ (.*)$", file.read_text(encoding="utf-8"), flags=re.MULTILINE)
            anchors = {re.sub(r"[^\w -]", "", title).lower().replace(" ", "-") for title in titles}
            if heading not in anchors:
                broken.append(target)
    assert not broken


def test_every_key_of_the_configuration_is_documented():
    keys = {key for section in configuration._KEYS.values() for key in section}
    keys |= {*configuration._KEYS, *configuration._SIGNAL_KEYS}
    assert keys <= names("docs/configuration.md")


@pytest.mark.parametrize(
    "choices",
    [
        configuration.SIGNAL_KINDS,
        configuration.LABEL_POLICIES,
        configuration.FALLBACKS,
        tuple(Registry("workbench.importers", "importer", label="format").names()),
    ],
    ids=["kinds", "policies", "fallbacks", "formats"],
)
def test_every_choice_is_documented(choices: tuple[str, ...]):
    assert set(choices) <= names("docs/configuration.md")


@pytest.mark.parametrize("page", ["README.md", "docs/cli.md"])
def test_exit_codes_are_documented(page: str):
    text = (ROOT / page).read_text(encoding="utf-8")
    assert {int(code) for code in re.findall(r"^\| (\d+) \|", text, flags=re.MULTILINE)} == {
        int(code) for code in ExitCode
    }


def test_every_documented_reason_is_given_by_the_code():
    code = "\n".join(p.read_text(encoding="utf-8") for p in (ROOT / "workbench").rglob("*.py"))
    table = (ROOT / "docs" / "bad-input.md").read_text(encoding="utf-8")
    reasons = set(re.findall(r"\| `(\w+)` \|$", table, flags=re.MULTILINE))
    assert "not_json" in reasons
    assert not {reason for reason in reasons if reason not in code}
