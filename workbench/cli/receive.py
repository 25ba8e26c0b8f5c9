"""``workbench receive``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from workbench.cli._common import common, folder, print_json, say, wants_json
from workbench.errors import ConfigError, NotFoundError

if TYPE_CHECKING:
    from workbench.project import Project

_STREAMS = ("feedback", "inferences", "traces")


@click.command("receive")
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--port", type=click.IntRange(0, 65535), default=8600, show_default=True)
@click.option("--landing", metavar="DIR", help="Landing folder. Default: landing in the project.")
@click.option("--origin", "origins", multiple=True, help="Web page that may send; repeatable.")
@click.option(
    "--rate",
    type=click.FloatRange(0, min_open=True),
    default=20_000,
    show_default=True,
    help="Events per second of one sender.",
)
@click.option(
    "--max-body",
    type=click.IntRange(1),
    default=10_000_000,
    show_default=True,
    help="Bytes of a body, unpacked.",
)
@click.option(
    "--remember",
    type=click.IntRange(1),
    default=500_000,
    show_default=True,
    help="Events, at least, that are known again when they are repeated.",
)
@click.option(
    "--publish-after",
    type=click.FloatRange(0.1, 60),
    default=5.0,
    show_default=True,
    help="Seconds until a build sees what landed.",
)
@click.option("--without-keys", is_flag=True, help="Let everybody send who reaches the address.")
@click.option("--new-key", metavar="NAME", help="Make a key, print it once, and end.")
@click.option(
    "--only", type=click.Choice(_STREAMS), multiple=True, help="What the new key may write."
)
@common
def command(
    host: str, port: int, landing: str | None, origins: tuple[str, ...], rate: float,
    max_body: int, remember: int, publish_after: float, without_keys: bool, new_key: str | None,
    only: tuple[str, ...], project_dir: str | None, as_json: bool,
) -> None:  # fmt: skip
    """Receive feedback, inferences and traces over HTTP, into files that a build reads.

    What is answered with 202 is on the disk. Stop it with SIGTERM or Ctrl-C.
    """
    from workbench.project import STATE_NAME
    from workbench.receive import keys

    root = folder(project_dir).absolute()
    known = keys.keys_file(root / STATE_NAME)
    if new_key is not None:
        made = keys.create(known, new_key, only or _STREAMS)
        if wants_json(as_json):
            print_json({"name": new_key, "key": made})
        else:
            click.echo(made)
            say("This is shown only now. Send it as: Authorization: Bearer KEY")
        return
    try:
        from workbench.receive import server
    except ModuleNotFoundError as error:
        raise ConfigError(
            f"workbench receive needs {error.name}, which is not installed.",
            "pip install 'feedback-workbench[receive]'",
        ) from error
    project = _project(root)
    optional, clocks = server.rules_of(project) if project else (False, _STREAMS)
    settings = server.Settings(
        landing=root / (landing or "landing"),
        keys=keys.read(known),
        origins=origins,
        max_body=max_body,
        rate=rate,
        remember=remember,
        publish_after=publish_after,
        optional_request_id=optional,
        clocks=clocks,
    )
    if not settings.keys and not server.is_local(host) and not without_keys:
        raise ConfigError(
            f"{host} can be reached by others, and there are no keys.",
            "Make one with --new-key NAME, or let everybody send: --without-keys.",
        )
    listening = server.bind(host, port)
    served, recovered = server.application(settings)
    if recovered.files or recovered.cut_off:
        say(
            f"Recovered {recovered.files} file(s) of a run that was killed; "
            f"{recovered.cut_off} unfinished line(s), never acknowledged, were dropped."
        )
    for line in _notes(project, settings.landing):
        say(line)

    def ready() -> None:
        shown = f"[{host}]" if ":" in host else host
        address = f"http://{shown}:{listening.getsockname()[1]}"
        if wants_json(as_json):
            click.echo(json.dumps({"address": address, "landing": str(settings.landing)}))
        else:
            say(f"Receiving at {address} into {settings.landing}")

    server.run(served, listening, ready)


def _project(root: Path) -> Project | None:
    from workbench.configuration import load

    try:
        return load(root)
    except NotFoundError:
        return None


def _notes(project: Project | None, landing: Path) -> list[str]:
    """What to write into the configuration so that a build reads what lands."""
    if project is None:
        return ["There is no workbench.toml yet: see docs/receive.md for one that reads landing/."]
    notes = []
    for source in project.sources:
        folder = (landing / source.table).resolve()
        paths = [(project.root / pattern).resolve() for pattern in source.patterns]
        read = any(folder == path or path in folder.parents for path in paths)
        if source.table in ("feedback", "inferences") and not read:
            notes.append(
                f"[{source.table}] does not read {folder}: add it to its source for a build to "
                "see it."
            )
    return notes
