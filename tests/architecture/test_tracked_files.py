"""What is in the repository: no machine paths, no registry addresses, no data of others."""

from __future__ import annotations

import re
import subprocess
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[2]

#: Spelled in pieces, so that this file does not hold what it looks for.
FORBIDDEN = {
    "an absolute path of one machine": r"(?<![\w./~])/(?:"
    + "|".join(["work", "root", "home"])
    + r")/\w",
    "a package index": r"https?://[^\s\"'<>)]*(?:/simple\b|artifactory|nexus|py"
    + r"pi\.org/simple)",
    "an index option": r"--(?:extra-)?index" + "-url|--find" + "-links",
}
#: Groups whose versions are not in constraints.txt: each is in an environment of its own.
OPTIONAL = {"feast", "bench", "oracles", "readback", "trl", "vendors", "mlflow", "cluster",
            "recorded", "label-studio", "argilla", "open-webui",
            "open-webui-imports"}  # fmt: skip
SKIP_SUFFIXES = {".png", ".parquet", ".gz", ".ico"}


def tracked() -> list[Path]:
    """Files of the repository; of the source tree where there is no git."""
    done = subprocess.run(
        ["git", "-c", "safe.directory=*", "ls-files", "-z"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode == 0 and done.stdout:
        files = [ROOT / name for name in done.stdout.split("\0") if name]
    else:
        folders = ("workbench", "sql", "tests", "docs", "benchmarks", ".streamlit")
        files = [path for folder in folders for path in (ROOT / folder).rglob("*")]
        files = [path for path in files if path.is_file() and "__pycache__" not in path.parts]
    return [path for path in files if path.is_file() and path.suffix not in SKIP_SUFFIXES]


@pytest.mark.parametrize("what", FORBIDDEN)
def test_no_file_holds(what: str):
    pattern = re.compile(FORBIDDEN[what])
    found = [
        f"{path.relative_to(ROOT)}:{number}: {line.strip()[:120]}"
        for path in tracked()
        for number, line in enumerate(
            path.read_text(encoding="utf-8", errors="replace").splitlines(), start=1
        )
        if pattern.search(line)
    ]
    assert not found, "\n".join(found)


def test_no_file_is_large():
    large = {str(p.relative_to(ROOT)) for p in tracked() if p.stat().st_size > 500_000}
    assert not large


def test_constraints_are_plain_and_cover_what_is_declared():
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pins = [line for line in lines if line and not line.startswith("#")]
    assert all(re.fullmatch(r"[A-Za-z0-9._-]+==[A-Za-z0-9.]+", line) for line in pins)
    pinned = {canonicalize_name(line.partition("==")[0]): line.partition("==")[2] for line in pins}

    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    declared = list(project["project"]["dependencies"])
    for name, group in project["dependency-groups"].items():
        if name in OPTIONAL:
            continue
        declared += [entry for entry in group if isinstance(entry, str)]
    for requirement in map(Requirement, declared):
        version = pinned.get(canonicalize_name(requirement.name))
        assert version is not None, f"{requirement.name} is not in constraints.txt"
        assert requirement.specifier.contains(version), f"{requirement} but {version} is pinned"
