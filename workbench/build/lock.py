"""One writer per project, and what a writer that was killed left behind."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
from collections.abc import Iterator

from workbench.errors import DataError, LockedError
from workbench.project import Project


@contextlib.contextmanager
def writing(project: Project) -> Iterator[None]:
    """Hold the project's write lock; the kernel drops it when the process ends, however it ends.

    Raises
    ------
    LockedError
        If another process holds it; its number is named.
    DataError
        If the project folder cannot be written.
    """
    try:
        project.state.mkdir(parents=True, exist_ok=True)
        ignore = project.state / ".gitignore"
        if not ignore.exists():
            ignore.write_text("*\n")
        handle = os.open(project.state / "lock", os.O_RDWR | os.O_CREAT, 0o644)
    except OSError as error:
        raise unwritable(project, error) from error
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            owner = os.pread(handle, 32, 0).decode(errors="replace").strip() or "unknown"
            raise LockedError(
                f"Another process (number {owner}) is writing to {project.root}.",
                "Wait until it is done, then run the command again.",
            ) from error
        os.ftruncate(handle, 0)
        os.pwrite(handle, str(os.getpid()).encode(), 0)
        _sweep(project)
        try:
            yield
        except OSError as error:
            raise unwritable(project, error) from error
    finally:
        os.close(handle)


def unwritable(project: Project, error: OSError) -> DataError:
    """The error for a folder that cannot be written."""
    return DataError(
        f"{project.state} cannot be written: {error.strerror or error}.",
        "Make room or give write permission, then run the command again; nothing was lost.",
    )


def _sweep(project: Project) -> None:
    shutil.rmtree(project.state / "tmp", ignore_errors=True)
    (project.state / "tmp").mkdir()
    builds = project.state / "builds"
    if builds.is_dir():
        for leftover in builds.glob("*.unfinished*"):
            leftover.unlink(missing_ok=True)
