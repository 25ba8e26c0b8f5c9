"""The command ``workbench``: finds the command, and turns errors into words and exit codes."""

from __future__ import annotations

import os
import signal
import sys
from importlib import import_module
from typing import Any

import click

from workbench import __version__
from workbench.errors import ExitCode, WorkbenchError

#: Every command with its one-line help: the modules are imported only when they are called.
COMMANDS = {
    "init": "Look at log files and propose a mapping.",
    "demo": "Make a demo project, build it and open the dashboard.",
    "ingest": "Read what is new in the sources into the lake.",
    "build": "Read what is new, build the enriched views and publish them.",
    "status": "Show what became of every received event.",
    "metrics": "Measure: accuracy, calibration, coverage, by any expression.",
    "fit": "Fit a recalibration or another artefact, for the next build.",
    "sql": "Ask in SQL.",
    "slice": "Name a choice of rows, and see what it gives.",
    "dataset": "Compile slices into versions of training sets.",
    "export": "Write a relation or a dataset, or a part of it, to a file.",
    "prune": "Remove old builds.",
    "forget": "Erase a user from everything that was written.",
    "serve": "Open the dashboard.",
    "receive": "Receive feedback, inferences and traces over HTTP.",
    "doctor": "Check the installation and the project; print schemas.",
}

_MORE_MEMORY = "Raise WORKBENCH_MEMORY_LIMIT where it is set, or close other programs."


class _Commands(click.Group):
    """Commands by name, imported on first use."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = import_module(f"workbench.cli.{cmd_name}").command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        from workbench.errors import suggest

        if args and args[0] not in COMMANDS:
            ctx.fail(f"There is no command {args[0]!r}. {suggest(args[0], COMMANDS)}")
        return super().resolve_command(ctx, args)


@click.group(
    cls=_Commands,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(__version__, prog_name="workbench")
@click.option("--project", metavar="DIR", help="The project folder. Default: here.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON on standard output.")
@click.pass_context
def cli(ctx: click.Context, project: str | None, as_json: bool) -> None:
    """Join feedback to the inference it judges, measure, and export training slices.

    Exit codes: 0 ok, 1 query or data error, 2 usage or configuration, 3 not found or locked,
    4 timeout, 5 a --fail-if gate failed, 130 interrupted.
    """
    ctx.obj = {"project": project, "json": as_json}


def main(arguments: list[str] | None = None) -> None:
    """Run the command line and exit."""
    interrupted = False

    def on_interrupt(*_: object) -> None:
        nonlocal interrupted
        interrupted = True
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGINT, on_interrupt)
    try:
        code = _run(arguments)
    except Exception:
        # An interrupt inside of a library's callback comes back as an error of that library.
        if not interrupted:
            raise
        code = ExitCode.DATA
    finally:
        signal.signal(signal.SIGINT, before)
    if interrupted:
        click.echo("Interrupted.", err=True)
        code = ExitCode.INTERRUPTED
    sys.exit(int(code))


def _run(arguments: list[str] | None) -> int:
    """Run the command line; its exit code."""
    try:
        code: Any = cli.main(arguments, prog_name="workbench", standalone_mode=False)
    except WorkbenchError as error:
        click.echo(f"Error: {error.message}", err=True)
        if error.hint:
            click.echo(error.hint, err=True)
        return error.exit_code
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except (click.Abort, KeyboardInterrupt):
        return ExitCode.INTERRUPTED
    except BrokenPipeError:
        # The reader of the pipe went away, as `head` does; that is its right.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return ExitCode.OK
    except Exception as error:
        # By its name: the engine is not imported for help.
        if type(error).__name__ != "OutOfMemoryException":
            raise
        said = str(error).splitlines()[0].removeprefix("Out of Memory Error: ")
        click.echo(f"Error: The memory did not suffice: {said}", err=True)
        click.echo(_MORE_MEMORY, err=True)
        return ExitCode.DATA
    return code if isinstance(code, int) else ExitCode.OK


if __name__ == "__main__":
    main()
