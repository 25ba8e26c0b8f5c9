"""``workbench build``."""

from __future__ import annotations

import signal
import threading
from typing import Any

import click

from workbench.cli._bars import bars
from workbench.cli._common import common, folder, print_json, print_table, say, wants_json
from workbench.errors import ConfigError, WorkbenchError


@click.command("build")
@click.option("--as-of", metavar="TIME", help="Time to which the maturity of labels is measured.")
@click.option(
    "--engine",
    type=click.Choice(["duckdb", "spark"]),
    default="duckdb",
    show_default=True,
    help="What attributes, labels and enriches; spark needs --remote.",
)
@click.option(
    "--remote",
    envvar="SPARK_REMOTE",
    metavar="sc://HOST:PORT",
    help="Address of the Spark Connect server.",
)
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
    as_of: str | None,
    engine: str,
    remote: str | None,
    watch: bool,
    every: float,
    project_dir: str | None,
    as_json: bool,
) -> None:
    """Read what is new, build the enriched views and publish them; prints the ledger."""
    import workbench

    project = workbench.open(folder(project_dir))
    spark = _server(engine, remote)
    if not watch:
        with bars():
            done = project.build(as_of=as_of, spark=spark, narrate=say)
        _tell(done, as_json)
        return
    if spark is not None:
        raise ConfigError(
            "--watch builds on this machine what has changed; Spark builds everything.",
            "Leave out --watch, and let a scheduler run the command.",
        )
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


def _server(engine: str, remote: str | None) -> str | None:
    """The Spark Connect server that was asked for; None for DuckDB."""
    if engine == "duckdb":
        typed = click.get_current_context().get_parameter_source("remote")
        if typed is click.core.ParameterSource.COMMANDLINE:
            raise ConfigError("--remote is the server of --engine spark.", "Write both, or none.")
        return None
    if remote is None:
        raise ConfigError(
            "--engine spark needs the address of a Spark Connect server.",
            "Write: workbench build --engine spark --remote sc://host:15002",
        )
    return remote


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
