"""``workbench build``."""

from __future__ import annotations

import signal
import threading
from typing import Any

import click

from workbench.cli._common import common, folder, print_json, print_table, say, wants_json
from workbench.errors import ConfigError, WorkbenchError


@click.command("build")
@click.option("--as-of", metavar="TIME", help="Time to which the maturity of labels is measured.")
@click.option("--watch", is_flag=True, help="Go on, and build when something new has landed.")
@click.option(
    "--every",
    type=click.FloatRange(min=0.1),
    default=5.0,
    show_default=True,
    metavar="SECONDS",
    help="How often --watch looks at the files.",
)
@common
def command(
    as_of: str | None, watch: bool, every: float, project_dir: str | None, as_json: bool
) -> None:
    """Read what is new, build the enriched views and publish them; prints the ledger."""
    import workbench

    project = workbench.open(folder(project_dir))
    if not watch:
        _tell(project.build(as_of=as_of, narrate=say), as_json)
        return
    if as_of is not None:
        raise ConfigError(
            "--as-of fixes the time that --watch would let go on.", "Leave one of them out."
        )
    stop = threading.Event()
    # A build that has begun is published before the process ends.
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    say(f"Watching {project.folder}; stop with Ctrl-C.")
    for done in project.watch(lambda: not stop.wait(every), failed=_failed, narrate=say):
        _tell(done, as_json)


def _failed(error: WorkbenchError) -> None:
    say(f"Error: {error.message}")
    if error.hint:
        say(error.hint)


def _tell(done: dict[str, Any], as_json: bool) -> None:
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
