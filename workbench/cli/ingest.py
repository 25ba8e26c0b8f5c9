"""``workbench ingest``."""

from __future__ import annotations

import click

from workbench.cli._bars import bars
from workbench.cli._common import common, folder, print_json, say, wants_json


@click.command("ingest")
@common
def command(project_dir: str | None, as_json: bool) -> None:
    """Read what is new in the sources into the lake; build does this too."""
    import workbench

    with bars():
        done = workbench.open(folder(project_dir)).ingest(narrate=say)
    if wants_json(as_json):
        print_json(done)
        return
    for note in done["notes"]:
        say(f"note: {note}")
    for table in done["files"]:
        say(
            f"{table}: {done['rows'][table]:,} rows from {done['files'][table]:,} file(s), "
            f"{done['refused'][table]:,} refused"
        )
    if not any(done["files"].values()):
        say("Nothing is new.")
