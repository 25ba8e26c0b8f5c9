"""``workbench export``."""

from __future__ import annotations

import click

from workbench.cli._common import common, folder, print_json, say, wants_json
from workbench.formats import formats


@click.command("export")
@click.argument("relation")
@click.option("--format", "form",
              help=f"{', '.join(formats.names())}. Default: by the file's ending.")  # fmt: skip
@click.option("-o", "--output", required=True, metavar="PATH",
              help="The file to write, or the folder.")  # fmt: skip
@click.option("--where", metavar="SQL", help="Condition on the rows.")
@click.option("--columns", metavar="NAME,...", help="Columns to take, in order. Default: all.")
@click.option("--limit", type=click.IntRange(min=0), metavar="N",
              help="Rows at most: a sample, the same each time.")  # fmt: skip
@click.option("--sampler", metavar="SAMPLER",
              help="How the rows are drawn, such as uncertainty(score='entropy'). They then carry "
                   "their score, inclusion probability and weight.")  # fmt: skip
@click.option("--seed", type=int, default=0, show_default=True, help="Seed of the draw.")
@click.option("--force", is_flag=True, help="Replace what exists.")
@common
def command(
    relation: str,
    form: str | None,
    output: str,
    where: str | None,
    columns: str | None,
    limit: int | None,
    sampler: str | None,
    seed: int,
    force: bool,
    project_dir: str | None,
    as_json: bool,
) -> None:
    """Write a relation, such as enriched_inferences, or a part of it, to a file or a folder."""
    from workbench.datasets import Slice
    from workbench.handle import Workbench

    names = tuple(name.strip() for name in columns.split(",")) if columns else ()
    chosen = Slice(
        relation=relation, where=where, columns=names, limit=limit, sampler=sampler, seed=seed
    )
    done = Workbench(folder(project_dir)).export(chosen, output, format=form, force=force)
    if wants_json(as_json):
        print_json(done)
    else:
        say(f"Wrote {done['rows']:,} rows ({done['bytes']:,} bytes) to {done['path']}.")
