from __future__ import annotations

import json
import pickle
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import run
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


def build_demo(folder: Path) -> None:
    """Write and build the demo; what was planted and what the build said lie beside it."""
    truth = generate(folder)
    done = run("--project", folder, "build", "--json")
    assert done.code == 0, done.err
    (folder / "truth.pickle").write_bytes(pickle.dumps((dict(truth.ledger), dict(truth.facts))))
    (folder / "built.json").write_text(done.out, encoding="utf-8")


@pytest.fixture(scope="session")
def built(made_once: Callable[..., Path]) -> Built:
    folder = made_once("demo", build_demo)

    def asked(*arguments: str) -> Any:
        done = run("--project", folder, *arguments)
        assert done.code == 0, done.err
        return json.loads(done.out)

    ledger, facts = pickle.loads((folder / "truth.pickle").read_bytes())
    said = json.loads((folder / "built.json").read_text(encoding="utf-8"))
    return Built(DemoTruth(ledger, facts), said, asked)
