"""``workbench export``."""

from __future__ import annotations

import click

from workbench.cli._bars import bars
from workbench.cli._common import common, folder, print_json, say, wants_json
from workbench.cli._datasets import listed
from workbench.formats import formats


@click.command("export")
@click.argument("what", metavar="RELATION|NAME[@VERSION]")
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
@click.option("--since", metavar="VERSION",
              help="Of a dataset: what is new since then, with a column change.")  # fmt: skip
@click.option("--force", is_flag=True, help="Replace what exists.")
@common
def command(
    what: str,
    form: str | None,
    output: str,
    where: str | None,
    columns: str | None,
    limit: int | None,
    sampler: str | None,
    seed: int,
    since: str | None,
    force: bool,
    project_dir: str | None,
    as_json: bool,
) -> None:
    """Write a relation, such as enriched_inferences, or a dataset, to a file or a folder.

    A relation of the build goes before a dataset of the same name; NAME@VERSION is a dataset.
    """
    from workbench.datasets import Slice
    from workbench.errors import ConfigError
    from workbench.handle import Workbench

    project = Workbench(folder(project_dir))
    names = listed(columns)
    if project.datasets.holds(what):
        if limit is not None or sampler or seed:
            raise ConfigError(
                "A dataset was drawn when it was compiled, and is not drawn from again.",
                "Leave --limit, --sampler and --seed out; --where takes a part of it.",
            )
        with bars():
            done = project.datasets.export(
                what, output, format=form, where=where, columns=names, since=since, force=force
            )
    else:
        if since:
            raise ConfigError(
                f"--since is for datasets, and {what!r} is none.",
                "See what there is: workbench dataset list",
            )
        chosen = Slice(
            relation=what, where=where, columns=names, limit=limit, sampler=sampler, seed=seed
        )
        with bars():
            done = project.export(chosen, output, format=form, force=force)
    if wants_json(as_json):
        print_json(done)
    else:
        say(f"Wrote {done['rows']:,} rows ({done['bytes']:,} bytes) to {done['path']}.")
