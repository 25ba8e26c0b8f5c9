"""``workbench build``."""

from __future__ import annotations

import click

from workbench.cli._common import common, folder, print_json, print_table, say, wants_json


@click.command("build")
@click.option("--as-of", metavar="TIME", help="Time to which the maturity of labels is measured.")
@common
def command(as_of: str | None, project_dir: str | None, as_json: bool) -> None:
    """Read what is new, build the enriched views and publish them; prints the ledger."""
    import workbench

    done = workbench.open(folder(project_dir)).build(as_of=as_of, narrate=say)
    for note in done["notes"]:
        say(f"note: {note}")
    if wants_json(as_json):
        print_json(done)
        return
    print_table(("feedback", "events"), list(done["ledger"].items()))
    if done["fresh"]:
        say(f"Published build {done['build']} in {sum(done['seconds'].values()):.1f} s.")
    else:
        say(f"Nothing is new; build {done['build']} stays in force.")
