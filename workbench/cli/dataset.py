"""``workbench dataset``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import click

from workbench.cli._bars import bars
from workbench.cli._common import common, folder, print_json, print_table, say, wants_json
from workbench.cli._datasets import print_funnel


@click.group("dataset")
def command() -> None:
    """Compile slices into versions of training sets.

    NAME stands for the newest version of a dataset, NAME@v1.0 or NAME@TAG for another.
    """


@command.command("compile")
@click.argument("name", required=False)
@click.option("--slice", "slice_name", metavar="SLICE", help="Name of the slice.")
@click.option("--format", "training_format", metavar="FORMAT",
              help="A training format, such as kto or dpo(margin=0.5).")  # fmt: skip
@click.option("--tag", "tags", multiple=True, metavar="TAG",
              help="A name for the version; may be repeated.")  # fmt: skip
@click.option("--from", "origin", metavar="NAME@VERSION|FILE",
              help="Make a version anew from its manifest and compare; write nothing unless its "
                   "examples are not here.")  # fmt: skip
@common
def compile_(
    name: str | None,
    slice_name: str | None,
    training_format: str | None,
    tags: tuple[str, ...],
    origin: str | None,
    project_dir: str | None,
    as_json: bool,
) -> None:
    """Compile a slice into the next version of a dataset, or check that one can be made anew."""
    import workbench
    from workbench.errors import ConfigError

    if origin:
        if name or slice_name or training_format or tags:
            raise ConfigError(
                "--from stands alone: the manifest says the rest.",
                f"Type: workbench dataset compile --from {origin}",
            )
        with bars():
            made = workbench.open(folder(project_dir)).datasets.reproduce(origin, narrate=say)
        if wants_json(as_json):
            keys = ("dataset", "version", "rows", "content_hash", "build")
            print_json({**{key: made[key] for key in keys}, "same": True})
        say(f"{_called(made)} made anew: the same {made['rows']:,} examples.")
        return
    if not (name and slice_name and training_format):
        raise ConfigError(
            "A compile needs the dataset's name, a slice and a format.",
            "Type: workbench dataset compile NAME --slice SLICE --format FORMAT",
        )
    datasets = workbench.open(folder(project_dir)).datasets
    with bars():
        made = datasets.compile(name, slice_name, training_format, tags=tags, narrate=say)
    if wants_json(as_json):
        print_json(made)
    else:
        print_funnel(made["funnel"])
    _tell(made)


@command.command("list")
@click.argument("name", required=False)
@common
def list_versions(name: str | None, project_dir: str | None, as_json: bool) -> None:
    """List the versions of every dataset, or of one."""
    import workbench

    found = workbench.open(folder(project_dir)).datasets.versions(name)
    if wants_json(as_json):
        print_json(found)
        return
    names = ("dataset", "version", "tags", "training_format", "rows", "added", "revised", "erased",
             "created_at")  # fmt: skip
    print_table(
        names,
        [[", ".join(row[n]) if n == "tags" else row[n] for n in names] for row in found],
    )
    if not found:
        say("There is none yet. Make one with: workbench dataset compile NAME --slice S --format F")


@command.command("show")
@click.argument("what", metavar="NAME[@VERSION]")
@click.option("--card", "as_card", is_flag=True, help="Print the card, in Markdown.")
@common
def show(what: str, as_card: bool, project_dir: str | None, as_json: bool) -> None:
    """Show a version: what is in it, and how it came to be. --json prints its manifest."""
    import workbench

    datasets = workbench.open(folder(project_dir)).datasets
    made = datasets.show(what)
    if wants_json(as_json):
        print_json({**made, "card": datasets.card(what)} if as_card else made)
        return
    if as_card:
        click.echo(datasets.card(what), nl=False)
        return
    print_table(("column", "type"), list(made["columns"].items()))
    for name, rows in made["counts"].items():
        click.echo()
        print_table((name, "rows"), [(row["value"], row["rows"]) for row in rows])
    click.echo()
    print_funnel(made["funnel"])
    _tell(made)


@command.command("diff")
@click.argument("first", metavar="NAME@VERSION")
@click.argument("second", metavar="NAME@VERSION")
@common
def diff(first: str, second: str, project_dir: str | None, as_json: bool) -> None:
    """Compare two versions: examples, slices, and what is in them."""
    import workbench

    found = workbench.open(folder(project_dir)).datasets.diff(first, second)
    if wants_json(as_json):
        print_json(found)
        return
    print_table(
        ("examples", "n"),
        [(name, found[name]) for name in ("added", "revised", "unchanged", "withdrawn")],
    )
    one, two = found["versions"]
    for name, sides in found["slice"].items():
        click.echo()
        print_table((f"slice: {name}", "is"), list(zip((one, two), sides, strict=True)))
    for name, shift in found["counts"].items():
        click.echo()
        print_table((name, one, two), [(v, *shares) for v, shares in shift["values"].items()])
        say(f"{name}: {shift['distance']:.3f} apart (total variation distance).")
    if found["test_was_trained"]:
        say(
            f"Mind: {found['test_was_trained']:,} examples that {two} does not train on were "
            f"trained on in {one}."
        )


@command.command("replay")
@click.argument("what", metavar="NAME[@VERSION]")
@click.option("--since", required=True, metavar="VERSION",
              help="Examples up to this version are old.")  # fmt: skip
@click.option("-n", "n", type=click.IntRange(min=0), required=True, metavar="N",
              help="Examples in all, at most.")  # fmt: skip
@click.option("--old-share", type=click.FloatRange(0, 1), default=0.5, show_default=True,
              help="Share of old examples.")  # fmt: skip
@click.option("--seed", type=int, default=0, show_default=True, help="Seed of the draw.")
@click.option("--format", "form", help="File format. Default: by the file's ending.")
@click.option("-o", "--output", required=True, metavar="PATH", help="The file to write.")
@click.option("--force", is_flag=True, help="Replace what exists.")
@common
def replay(
    what: str,
    since: str,
    n: int,
    old_share: float,
    seed: int,
    form: str | None,
    output: str,
    force: bool,
    project_dir: str | None,
    as_json: bool,
) -> None:
    """Write what is new since a version, mixed with a sample of what is old."""
    import workbench

    with bars():
        done = workbench.open(folder(project_dir)).datasets.replay(
            what, output, since=since, n=n, old_share=old_share, seed=seed, format=form, force=force
        )
    if wants_json(as_json):
        print_json(done)
        return
    say(f"Wrote {done['new']:,} new and {done['old']:,} old examples to {done['path']}.")


@command.command("tag")
@click.argument("what", metavar="NAME[@VERSION]")
@click.argument("tag")
@common
def tag_version(what: str, tag: str, project_dir: str | None, as_json: bool) -> None:
    """Give a version a name of your own, such as golden; another one loses it."""
    import workbench

    version = workbench.open(folder(project_dir)).datasets.tag(what, tag)
    name = what.partition("@")[0]
    if wants_json(as_json):
        print_json({"dataset": name, "version": version, "tag": tag})
        return
    say(f"{name}@{tag} is {name}@{version}.")


def _called(made: Mapping[str, Any]) -> str:
    return f"{made['dataset']}@{made['version']}"


def _tell(made: Mapping[str, Any]) -> None:
    """What became of the examples since the version before, and what leaks."""
    text = f"{_called(made)}: {made['rows']:,} examples for {made['training_format']}"
    if made["previous"]:
        text += (
            f"; since {made['previous']} {made['added']:,} added, {made['revised']:,} revised, "
            f"{made['unchanged']:,} unchanged, {made['withdrawn']:,} withdrawn"
        )
    say(f"{text}.")
    for leak in made["leaks"]:
        say(f"leak: {leak['kind']} ({leak['between']}), examples: {leak['rows']:,}")
