"""``workbench init``."""

from __future__ import annotations

import click

from workbench.cli._common import print_json, say, wants_json


@click.command("init")
@click.argument("directory", metavar="DIR")
@click.option("--inferences", multiple=True, required=True, metavar="PATH",
              help="Log of model calls: file, glob or folder; may be repeated.")  # fmt: skip
@click.option("--feedback", multiple=True, required=True, metavar="PATH",
              help="Log of feedback: file, glob or folder; may be repeated.")  # fmt: skip
@click.option("--name", help="Name of the project. Default: the folder's name.")
@click.option("--force", is_flag=True, help="Replace a workbench.toml that exists.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def command(
    directory: str,
    inferences: tuple[str, ...],
    feedback: tuple[str, ...],
    name: str | None,
    force: bool,
    as_json: bool,
) -> None:
    """Look at log files and propose a mapping.

    Writes DIR/workbench.toml. What is not certain is left out of it and asked: answer by
    editing the file.
    """
    from workbench.handle import init

    guess = init(directory, inferences, feedback, name=name, force=force)
    path = f"{directory.rstrip('/')}/workbench.toml"
    if wants_json(as_json):
        print_json({"config": path, "questions": list(guess.questions), "notes": list(guess.notes)})
        return
    say(f"Wrote {path}.")
    for note in guess.notes:
        say(f"  note: {note}")
    if guess.questions:
        say("Please decide (edit the file):")
        for question in guess.questions:
            say(f"  ? {question}")
    say(f"Then run: workbench build --project {directory}")
