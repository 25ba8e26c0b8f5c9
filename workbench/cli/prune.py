"""``workbench prune``."""

from __future__ import annotations

import click

from workbench.cli._common import common, folder, print_json, say, wants_json


@click.command("prune")
@click.option("--keep", type=click.IntRange(min=1), required=True, metavar="N",
              help="Builds to keep, the newest first; the one in force always stays.")  # fmt: skip
@common
def command(keep: int, project_dir: str | None, as_json: bool) -> None:
    """Remove old builds that no program has open; the lake and the datasets stay."""
    from workbench.handle import Workbench

    done = Workbench(folder(project_dir)).prune(keep)
    if wants_json(as_json):
        print_json(done)
        return
    say(f"Removed {len(done['removed'])} builds ({done['bytes']:,} bytes), "
        f"kept {len(done['kept'])}.")  # fmt: skip
    if done["open"]:
        say(f"Still open somewhere, and kept: {', '.join(done['open'])}.")
    if done["versions"]:
        say(f"Can be exported, but not made anew: {', '.join(done['versions'])}.")
