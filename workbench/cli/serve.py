"""``workbench serve``."""

from __future__ import annotations

import click

from workbench.cli._common import common, folder


@click.command("serve")
@click.option("--port", type=click.IntRange(1, 65535), help="Default: the first free from 8501.")
@click.option("--open/--no-open", "open_browser", default=False, help="Open a browser window.")
@common
def command(port: int | None, open_browser: bool, project_dir: str | None, as_json: bool) -> None:
    """Open the dashboard on this machine (127.0.0.1); stop it with Ctrl-C."""
    from workbench.handle import Workbench

    Workbench(folder(project_dir).absolute()).serve(port=port, open_browser=open_browser)
