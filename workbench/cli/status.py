"""``workbench status``."""

from __future__ import annotations

from typing import Any

import click

from workbench.cli._common import common, folder, print_json, print_table, say, wants_json


@click.command("status")
@common
def command(project_dir: str | None, as_json: bool) -> None:
    """Show what became of every received event and inference."""
    from workbench.handle import Workbench

    status = Workbench(folder(project_dir)).status()
    if wants_json(as_json):
        print_json(status)
        return
    _print(status)


def _print(status: dict[str, Any]) -> None:
    names = ("received", "invalid", "duplicate", "spam", "attributed", "ambiguous", "orphan")
    print_table(("feedback", "events"), [(name, status[name]) for name in names])
    click.echo()
    inferences = status["inferences"]
    fates = ("received", "invalid", "duplicate", "accepted", "labelled", "unlabelled")
    print_table(("inferences", "rows"), [(name, inferences[name]) for name in fates])
    details = [
        *(("refused feedback", reason, n) for reason, n in status["quarantine"].items()),
        *(("refused inferences", reason, n) for reason, n in inferences["quarantine"].items()),
        *(
            (f"refused {table}", reason, n)
            for table, reasons in status["context_quarantine"].items()
            for reason, n in reasons.items()
        ),
        *(("attributed by", method, n) for method, n in status["methods"].items()),
        *(("flagged feedback", flag, n) for flag, n in status["flags"].items() if n),
        *(("flagged inferences", flag, n) for flag, n in inferences["flags"].items()),
    ]
    if details:
        click.echo()
        print_table(("what", "which", "rows"), details)
    off = [
        clock
        for clock in status.get("clocks", ())
        if clock["skew"] or clock["reason"] == "inconsistent"
    ]
    if off:
        click.echo()
        print_table(
            ("clock of", "events", "ahead by (s)", "unknown because"),
            [(c["source"] or "all events", c["n"], c["skew"], c["reason"] or "") for c in off],
        )
    if status["contexts"]:
        click.echo()
        print_table(
            ("context", "join", "matched", "of", "median age (s)", "why not"),
            [
                (
                    name,
                    c["join"],
                    c["matched"],
                    c["rows"],
                    c["median_age"],
                    ", ".join(f"{reason} {n:,}" for reason, n in c["reasons"].items()),
                )
                for name, c in status["contexts"].items()
            ],
        )
    # A build of an earlier version says nothing of artefacts.
    applied = status.get("artefacts", {})
    if applied:
        click.echo()
        print_table(
            ("artefact", "id", "fitted to", "newer rows", "versions it has not seen"),
            [
                (kind, a["id"], a["fitted_to"] or "", a["newer"], ", ".join(a["other_versions"]))
                for kind, a in applied.items()
            ],
        )
    say(f"Build {status['build']}, as of {status['as_of'] or 'no clock'}.")
