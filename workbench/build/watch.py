"""Building whenever something new has landed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from workbench.build import build
from workbench.configuration import load
from workbench.errors import LockedError, WorkbenchError
from workbench.ingest.files import find, last_change
from workbench.project import CONFIG_NAME

Fingerprint = frozenset[tuple[str, int, int]]


def watch(
    folder: Path,
    wait: Callable[[], bool],
    *,
    narrate: Callable[[str], None] = lambda _: None,
    failed: Callable[[WorkbenchError], None],
) -> Iterator[dict[str, Any]]:
    """Build at once, and again whenever a file of a source, or the configuration, has changed.

    Parameters
    ----------
    folder
        The project folder. Its configuration is read anew for every build.
    wait
        Called between two looks at the files; watching ends when it returns false.
    narrate
        Receives one line per step.
    failed
        Receives the error of a build that failed. The next one is tried when something changes,
        or at once where another process held the project.

    Yields
    ------
    dict
        What `workbench.build.build` returns, for each build in which anything was new.
    """
    seen: Fingerprint | None = None
    while True:
        now = fingerprint(folder)
        if now != seen:
            seen = now
            try:
                done = build(load(folder), narrate=narrate)
            except WorkbenchError as error:
                failed(error)
                if isinstance(error, LockedError):
                    seen = None
            else:
                if done["fresh"]:
                    yield done
        if not wait():
            return


def fingerprint(folder: Path) -> Fingerprint:
    """Name, size and time of last change of every file that a build would look at."""
    paths = {CONFIG_NAME: folder / CONFIG_NAME}
    try:
        project = load(folder)
        for source in project.sources:
            paths.update((name, path) for name, path in find(project, source))
    except WorkbenchError:
        # The build that follows says what is wrong.
        pass
    found = []
    for name, path in paths.items():
        try:
            found.append((name, *last_change(path)))
        except OSError:
            continue
    return frozenset(found)
