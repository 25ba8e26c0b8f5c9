"""The page about the demo has the numbers that are planted."""

from __future__ import annotations

import re
from pathlib import Path

from workbench.demo import DemoTruth

from .conftest import ROOT


def test_the_documentation_has_the_planted_numbers(demo: tuple[Path, DemoTruth]) -> None:
    truth = demo[1]
    facts = truth.facts
    text = (ROOT / "docs" / "demo.md").read_text(encoding="utf-8")
    table = text.split("## The planted dirt")[1]
    documented = [int(number) for number in re.findall(r"^\| .* \| (\d+) \| ", table, re.MULTILINE)]
    invalid = [n for name, n in facts["quarantine"].items() if name not in ("duplicate", "spam")]
    planted = [
        *invalid,
        *facts["duplicates"].values(),
        facts["load_test"]["events"],
        *facts["orphans"].values(),
        truth.ledger["ambiguous"],
        facts["methods"]["session"],
        facts["methods"]["user"],
        facts["flags"]["early"],
        facts["late"]["events"],
        facts["flags"]["other_model_version"],
        facts["flags"]["retracted"],
    ]
    assert documented == planted
    total = dict(
        re.findall(r"(\w+) ([\d,]+)(?= [=+]|\.$)", table.split("Together: ")[1].split("\n")[0])
    )
    assert {name: int(n.replace(",", "")) for name, n in total.items()} == truth.ledger
    for number in (
        f"{facts['overconfident']['labelled']} labelled answers",
        f"{facts['overconfident']['gap']:.2f}",
        f"{facts['silent']['coverage']:.0%}".replace("%", " % of ")
        + f"{facts['silent']['inferences']:,} answers",
        f"{facts['silent']['coverage_elsewhere']:.0%}".replace("%", " %"),
        f"{facts['bot']['events']} thumbs",
        f"{facts['bot']['seconds_between']} seconds apart",
        f"{facts['incident']['resolved']:.0%}".replace("%", " % of the"),
        f"{facts['incident']['resolved_elsewhere']:.0%}".replace("%", " %"),
        f"{facts['load_test']['events']} thumbs",
        f"the {facts['inferences']['received']:,} rows",
        f"{facts['inferences']['duplicate']} repeat",
        f"{facts['inferences']['invalid']} hold",
        f"{facts['inferences']['labelled']:,} of them",
    ):
        assert number in text
