"""``workbench slice``."""

from __future__ import annotations

import click

from workbench.cli._common import common, folder, print_json, print_table, say, wants_json
from workbench.cli._datasets import listed, print_funnel, print_records


@click.group("slice")
def command() -> None:
    """Name a choice of rows, and see what it gives."""


@command.command("new")
@click.argument("name")
@click.option("--relation", default="enriched_inferences", show_default=True,
              help="Relation of the build whose rows are chosen.")  # fmt: skip
@click.option("--where", metavar="SQL", help="Condition on the rows.")
@click.option("--columns", metavar="NAME,...",
              help="Columns to take; a training set has them beside its own. A protected column "
                   "enters only where it is named.")  # fmt: skip
@click.option("--limit", type=click.IntRange(min=0), metavar="N", help="Examples at most.")
@click.option("--tokens", type=click.IntRange(min=0), metavar="N",
              help="Tokens of all prompts and answers at most.")  # fmt: skip
@click.option("--sampler", metavar="SAMPLER",
              help="How rows are drawn, such as uncertainty(score='entropy').")  # fmt: skip
@click.option("--seed", type=int, default=0, show_default=True, help="Seed of draw and split.")
@click.option("--target", metavar="TARGET",
              help="What an example teaches: label, prediction or none. Default: the first that "
                   "the training format can.")  # fmt: skip
@click.option("--clean", multiple=True, metavar="CLEANER",
              help="A cleaner, such as near_duplicates(threshold=0.9), after the project's own "
                   "rules and patterns; may be repeated.")  # fmt: skip
@click.option("--split", metavar="SPLIT", help='Such as "user_id: train=0.8, test=0.2".')
@click.option("--force", is_flag=True, help="Replace a slice of this name.")
@common
def new(
    name: str,
    relation: str,
    where: str | None,
    columns: str | None,
    limit: int | None,
    tokens: int | None,
    sampler: str | None,
    seed: int,
    target: str | None,
    clean: tuple[str, ...],
    split: str | None,
    force: bool,
    project_dir: str | None,
    as_json: bool,
) -> None:
    """Save a choice of rows as slices/NAME.toml, for a person to review."""
    import workbench
    from workbench.datasets import Slice, parse_split
    from workbench.datasets.slice import DEFAULT_CLEANERS

    chosen = Slice(
        relation=relation,
        where=where,
        columns=listed(columns),
        limit=limit,
        tokens=tokens,
        sampler=sampler,
        seed=seed,
        target=target,
        clean=(*DEFAULT_CLEANERS, *clean),
        split=parse_split(split) if split else None,
    )
    slices = workbench.open(folder(project_dir)).slices
    rows = slices.count(chosen)
    path = slices.save(name, chosen, force=force)
    if wants_json(as_json):
        print_json({"name": name, "id": chosen.id, "path": path, "rows": rows})
        return
    say(f"Saved {path}: {rows:,} rows of {relation}.")


@command.command("list")
@common
def list_slices(project_dir: str | None, as_json: bool) -> None:
    """List the saved slices."""
    import workbench

    slices = workbench.open(folder(project_dir)).slices
    names = ("name", "id", "relation", "where", "limit", "sampler", "split")
    rows = []
    for name in slices.names():
        found = slices.get(name)
        values = (found.relation, found.where, found.limit, found.sampler)
        rows.append((name, found.id, *values, str(found.split) if found.split else None))
    if wants_json(as_json):
        print_json([dict(zip(names, row, strict=True)) for row in rows])
        return
    print_table(names, rows)
    if not rows:
        say("There is none yet. Make one with: workbench slice new NAME")


@command.command("show")
@click.argument("name")
@common
def show(name: str, project_dir: str | None, as_json: bool) -> None:
    """Print a slice as TOML."""
    import workbench
    from workbench.datasets.slices import to_toml

    found = workbench.open(folder(project_dir)).slices.get(name)
    if wants_json(as_json):
        from dataclasses import asdict

        fields = asdict(found) | {"split": str(found.split) if found.split else None}
        print_json({"name": name, "id": found.id, **fields})
        return
    click.echo(to_toml(found), nl=False)
    say(f"id {found.id}")


@command.command("preview")
@click.argument("name")
@click.option("--format", "training_format", metavar="FORMAT",
              help="A training format, such as kto: what would become of every row.")  # fmt: skip
@click.option("-n", "n", type=click.IntRange(min=0), default=3, show_default=True,
              help="Rows to show.")  # fmt: skip
@common
def preview(
    name: str, training_format: str | None, n: int, project_dir: str | None, as_json: bool
) -> None:
    """Count what a slice gives in the build in force, and show the first of it."""
    import workbench

    slices = workbench.open(folder(project_dir)).slices
    found = slices.preview(name, training_format, limit=n, narrate=say)
    if wants_json(as_json):
        print_json(found)
        return
    if found["funnel"]:
        print_funnel(found["funnel"])
    print_records(found["first"])
    what = "rows" if training_format is None else f"examples for {found['training_format']}"
    say(f"{found['rows']:,} {what} in the build {found['build']}.")
