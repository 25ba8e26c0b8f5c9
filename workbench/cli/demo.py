"""``workbench demo``."""

from __future__ import annotations

import click

from workbench.cli._bars import bars
from workbench.cli._common import print_json, say, wants_json

DEFAULT_FOLDER = "data/demo"
_UNFINISHED = "unfinished\n"


@click.command("demo")
@click.argument("directory", metavar="[DIR]", default=DEFAULT_FOLDER)
@click.option("-n", "--inferences", "n", type=click.IntRange(min=1000), default=20_000,
              show_default=True, help="Model calls to make up.")  # fmt: skip
@click.option(
    "--seed", type=int, default=7, show_default=True, help="The same seed, the same data."
)
@click.option("--serve/--no-serve", "serve", default=True, help="Open the dashboard at the end.")
@click.option("--port", type=click.IntRange(1, 65535), help="Default: the first free from 8501.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def command(
    directory: str, n: int, seed: int, serve: bool, port: int | None, as_json: bool
) -> None:
    """Make a demo project, build it and open the dashboard.

    Everything in it is made up, with faults planted in it to be found; see docs/demo.md. A folder
    that holds the same demo is built again, not made again.
    """
    import shutil
    from pathlib import Path

    import workbench
    from workbench.demo import generate
    from workbench.errors import ConfigError

    target = Path(directory)
    stamp = target / ".demo"
    wanted = f"seed={seed} n={n}\n"
    found = stamp.read_text() if stamp.is_file() else ""
    if found != wanted:
        if found == _UNFINISHED:
            shutil.rmtree(target)
        if target.exists() and any(target.iterdir()):
            raise ConfigError(
                f"{target} is not empty and holds no such demo.",
                "Name another folder: workbench demo DIR.",
            )
        say(f"Making {n:,} model calls of a made-up support assistant in {target}")
        target.mkdir(parents=True, exist_ok=True)
        stamp.write_text(_UNFINISHED)
        generate(target, seed=seed, n=n)
        stamp.write_text(wanted)
    project = workbench.open(target)
    with bars():
        done = project.build(narrate=say)
    if wants_json(as_json):
        print_json({"project": str(target), **done})
    else:
        say(f"Built {done['build']}: " + ", ".join(f"{v:,} {k}" for k, v in done["ledger"].items()))
    if serve:
        project.serve(port=port)
