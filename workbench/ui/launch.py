"""Starts the dashboard's server. Nothing heavy is imported before it is needed."""

from __future__ import annotations

import os
import socket
import sys
from pathlib import Path

from workbench.contract import bundle_path
from workbench.errors import LockedError, NotFoundError

DEFAULT_PORT = 8501
_TRIES = 50


def serve(
    project_dir: str | Path = ".",
    *,
    port: int | None = None,
    host: str = "127.0.0.1",
    open_browser: bool = False,
) -> None:
    """Serve the dashboard of a project until it is stopped; this process becomes the server.

    Parameters
    ----------
    project_dir
        The project folder.
    port
        The port; the first free one from 8501 on when None.
    host
        Address to listen on. The dashboard asks nobody for a password.
    open_browser
        Open a browser window.

    Raises
    ------
    NotFoundError
        If there is no such folder.
    LockedError
        If the port is taken.
    """
    project = Path(project_dir).expanduser().absolute()
    if not project.is_dir():
        raise NotFoundError(f"There is no folder {project}.", "Name one with --project DIR.")
    chosen = free_port(host) if port is None else port
    if not is_free(host, chosen):
        raise LockedError(
            f"Port {chosen} of {host} is taken.",
            f"Try another: workbench serve --port {chosen + 1}",
        )
    arguments = command(chosen, host=host, open_browser=open_browser)
    environment = {**os.environ, "WORKBENCH_PROJECT": str(project)}
    sys.stdout.flush()
    sys.stderr.flush()
    os.execve(arguments[0], arguments, environment)


def command(port: int, *, host: str = "127.0.0.1", open_browser: bool = False) -> list[str]:
    """Give the command that runs the server.

    Streamlit reads the ``.streamlit/config.toml`` beside the script, so the theme is the same in a
    checkout and in an installed wheel.
    """
    flags = {
        "server.address": host,
        "server.port": str(port),
        "server.headless": str(not open_browser).lower(),
        "server.showEmailPrompt": "false",
        "browser.gatherUsageStats": "false",
    }
    return [
        *(sys.executable, "-m", "streamlit", "run", str(bundle_path("app.py"))),
        *(part for name, value in flags.items() for part in (f"--{name}", value)),
    ]


def is_free(host: str, port: int) -> bool:
    """Whether nobody listens on the port."""
    with socket.socket() as probe:
        # As the server does: a port whose last connections are only lingering is free.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
    return True


def free_port(host: str) -> int:
    """Find the first free port from `DEFAULT_PORT` on.

    Raises
    ------
    LockedError
        If there is none near.
    """
    for port in range(DEFAULT_PORT, DEFAULT_PORT + _TRIES):
        if is_free(host, port):
            return port
    raise LockedError(
        f"All ports from {DEFAULT_PORT} to {DEFAULT_PORT + _TRIES - 1} of {host} are taken.",
        "Name another: workbench serve --port 9000",
    )
