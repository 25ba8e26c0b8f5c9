"""The page about the demo has the numbers that are planted."""

from __future__ import annotations

import re
from pathlib import Path

from workbench.configuration import load
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
    contexts = text.split("## The contexts")[1].split("## The planted dirt")[0]
    answers = {
        name: int(n.replace(",", ""))
        for name, n in re.findall(r"^\| `(\w+)` \| .* \| ([\d,]+) \|$", contexts, re.MULTILINE)
    }
    configured = [context.name for context in load(demo[0]).contexts]
    assert answers == {name: facts["contexts"][name] for name in configured}
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
        f"{facts['outcome']['resolved']:.1%} of".replace("%", " %"),
        f"{facts['outcome']['unresolved']:.1%} of".replace("%", " %"),
        f"For {facts['inferences']['accepted'] - facts['outcome']['mature']:,} answers",
        f"{facts['outcome']['recorded_too_late']} of the {facts['outcome']['purchases']} purchases",
        f"{facts['reopened']['unresolved']:.0%} of".replace("%", " %"),
        f"{facts['reopened']['resolved']:.0%} of".replace("%", " %"),
        f"adds {facts['attributions']['fault_language_effect']:.2f} to",
        f"{facts['attributions']['fault_explained']} explained answers",
        f"{facts['attributions']['flipped']} of {facts['attributions']['tried']} predictions",
        f"with {facts['incidents']['deploy of v3']} answers",
        f"{facts['handbook']['same_article']:,} times",
        f"{facts['handbook']['articles']} verified support articles",
        f"{facts['claims']['claims']:,} answers state",
        f"So {facts['claims']['supported']:,} claims are supported",
        f"{facts['claims']['unknown']} are of windows",
        f"and {facts['claims']['contradicted']} contradict",
        f"{facts['claims']['share']:.0%} of".replace("%", " %"),
        f"other versions in {facts['claims']['share_elsewhere']:.0%}.".replace("%", " %"),
        f"{facts['claims']['resolved_after_wrong']:.0%} of the tickets".replace("%", " %"),
        f"after a right one {facts['claims']['resolved_after_right']:.0%}:".replace("%", " %"),
    ):
        assert number in text
