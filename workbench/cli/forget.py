"""``workbench forget``."""

from __future__ import annotations

import click

from workbench.cli._common import common, folder, print_json, say, wants_json


@click.command("forget")
@click.option("--user", required=True, metavar="ID", help="The user_id or rater_id to erase.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@common
def command(user: str, yes: bool, project_dir: str | None, as_json: bool) -> None:
    """Erase a user from the lake, the datasets and the artefacts, and build anew.

    The calls of the user, the feedback by and on them, and the facts of contexts about them are
    taken out of every table with its history; versions of datasets that held them are withdrawn.
    Files of yours are not touched: the command names those that mention the user, and leaves out
    what they say whenever they are read again.
    """
    from workbench.handle import Workbench

    if not yes:
        click.confirm(f"Erase the user {user!r} for good?", abort=True, err=True)
    done = Workbench(folder(project_dir)).forget(user, narrate=say)
    if wants_json(as_json):
        print_json(done)
        return
    rows = ", ".join(f"{n:,} rows of {table}" for table, n in done["rows"].items()) or "no rows"
    say(f"Erased {rows}; the build was made anew.")
    for what in ("versions", "artefacts"):
        if done[what]:
            say(f"Withdrawn or removed: {', '.join(done[what])}.")
    if done["mentioned"]:
        say(f"These files of yours still mention the user: {', '.join(done['mentioned'])}.")
