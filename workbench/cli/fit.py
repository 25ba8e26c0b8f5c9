"""``workbench fit``."""

from __future__ import annotations

import ast
from typing import Any

import click

from workbench.cli._common import common, folder, print_json, print_table, say, wants_json


@click.command("fit")
@click.argument("kind", required=False)
@click.option("--method", metavar="NAME", help="Short for --param method=NAME.")
@click.option("--param", "given", multiple=True, metavar="NAME=VALUE",
              help="A parameter of the kind; may be repeated.")  # fmt: skip
@click.option("--where", metavar="SQL", help="Condition on the inferences to fit on.")
@click.option("--since", metavar="TIME", help="Fit on inferences from this time on.")
@click.option("--until", metavar="TIME",
              help="Fit on inferences before this time; later ones judge the result.")  # fmt: skip
@click.option("--no-pin", is_flag=True, help="Keep the artefact, but do not use it.")
@click.option("--use", metavar="ID", help="Pin an artefact that was fitted before.")
@click.option("--drop", is_flag=True, help="Use no artefact of this kind from now on.")
@click.option("--list", "list_only", is_flag=True, help="List what was fitted, and the kinds.")
@common
def command(
    kind: str | None,
    method: str | None,
    given: tuple[str, ...],
    where: str | None,
    since: str | None,
    until: str | None,
    no_pin: bool,
    use: str | None,
    drop: bool,
    list_only: bool,
    project_dir: str | None,
    as_json: bool,
) -> None:
    """Fit an artefact on the build in force, such as a recalibration, and pin it.

    The next build applies what is pinned: it fills columns of the enriched views.
    """
    import workbench
    from workbench.errors import ConfigError

    project = workbench.open(folder(project_dir))
    if list_only or kind is None:
        if kind is None and not list_only:
            say("Name a kind to fit it; this is what there is.")
        _list(project, kind, wants_json(as_json))
        return
    if use and drop:
        raise ConfigError("--use and --drop exclude each other.", "Leave one of them out.")
    if use or drop:
        project.use_artefact(kind, use)
        if wants_json(as_json):
            print_json({"kind": kind, "pinned": use})
        say(f"The next workbench build uses {use or f'no {kind}'}.")
        return
    params = _params(given) | ({"method": method} if method else {})
    made = project.fit(kind, params=params, where=where, since=since, until=until, pin=not no_pin)
    if wants_json(as_json):
        print_json(made)
        return
    _show(made)


def _params(given: tuple[str, ...]) -> dict[str, Any]:
    """``NAME=VALUE`` texts; a value that is no number, True or False is a text."""
    from workbench.errors import ConfigError

    params = {}
    for text in given:
        name, sign, value = text.partition("=")
        if not sign:
            raise ConfigError(f"--param {text!r} has no value.", "Write it as: --param bins=20")
        try:
            params[name.strip()] = ast.literal_eval(value.strip())
        except (ValueError, SyntaxError):
            params[name.strip()] = value.strip()
    return params


def _show(made: dict[str, Any]) -> None:
    """What was fitted, and how the rows that were held out speak for it."""
    judged = made["figures"].get("held_out")
    if judged:
        print_table(
            ("metric", "before", "low", "high", "after", "low", "high", "n"),
            [
                (row["metric"],
                 *(row[side][name] for side in ("before", "after")
                   for name in ("value", "low", "high")),
                 row["after"]["n"])
                for row in judged
            ],
        )  # fmt: skip
        say(f"Judged by the rows it was not fitted on: {made['held_out']}.")
    elif made["figures"].get("bins"):
        names = list(made["figures"]["bins"][0])
        print_table(names, [[row[name] for name in names] for row in made["figures"]["bins"]])
    span = f", {made['fitted_from']} to {made['fitted_to']}" if made["fitted_from"] else ""
    say(f"Fitted {made['id']} on {made['n']:,} rows{span}.")
    if made["pinned"]:
        say("The next workbench build uses it.")
    else:
        say(f"It is not used until: workbench fit {made['kind']} --use {made['id']}")


def _list(project: Any, kind: str | None, as_json: bool) -> None:
    from workbench.artefacts import artefacts

    if kind is not None:
        artefacts.get(kind)
    made = [one for one in project.artefacts() if kind in (None, one["kind"])]
    if as_json:
        print_json(made)
        return
    print_table(
        ("kind", "id", "pinned", "n", "fitted_to"),
        [[one[n] for n in ("kind", "id", "pinned", "n", "fitted_to")] for one in made],
    )
    for one in artefacts:
        if kind in (None, one.name):
            say(f"{one.name}: {one.guide.at_a_glance}")
