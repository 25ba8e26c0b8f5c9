from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from workbench.demo import DemoTruth, generate

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Built:
    """A demo that was built through the command line, and what a build of it must find."""

    truth: DemoTruth
    build: dict[str, Any]
    run: Callable[..., Any]

    def sql(self, query: str) -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = self.run("sql", query, "--format", "json")
        return rows

    def metrics(self, only: str, *by: str) -> list[dict[str, Any]]:
        return self._measured(by, "--only", only)

    def disparities(self, only: str, *by: str) -> list[dict[str, Any]]:
        return self._measured(by, "--only", only, "--disparities")

    def _measured(self, by: Sequence[str], *options: str) -> list[dict[str, Any]]:
        groups = [option for expression in by for option in ("--by", expression)]
        rows: list[dict[str, Any]] = self.run("metrics", *options, *groups, "--json")
        return rows


@pytest.fixture(scope="session")
def demo(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, DemoTruth]:
    folder = tmp_path_factory.mktemp("demo")
    return folder, generate(folder)


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> Built:
    folder = tmp_path_factory.mktemp("built") / "a demo"

    def run(*arguments: str) -> Any:
        command = [sys.executable, "-m", "workbench.cli.main", "--project", str(folder)]
        done = subprocess.run(
            [*command, *arguments], cwd=ROOT, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    truth = generate(folder)
    return Built(truth, run("build", "--json"), run)
