"""One writer per project, and what a writer that was killed left behind."""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import shutil
from collections.abc import Iterator

import duckdb

from workbench import engine
from workbench.errors import ConfigError, DataError, LockedError
from workbench.project import Project

# DuckDB wraps what the operating system said in whatever it was doing.
_DISK = re.compile(r"Could not write|No space left|File too large|Permission denied|os error", re.I)


# Delta refuses some of these in a path, and DuckDB takes others for a pattern.
_ODD = re.compile(r"[\[\]\\^|*?\x00-\x1f\x7f]|%[0-9A-Fa-f]{2}")


@contextlib.contextmanager
def writing(project: Project) -> Iterator[None]:
    """Hold the project's write lock; the kernel drops it when the process ends, however it ends.

    Raises
    ------
    LockedError
        If another process holds it; its number is named.
    ConfigError
        If the project folder's path has a character that the lake or the engine cannot take.
    DataError
        If the project folder cannot be written.
    """
    odd = _ODD.search(str(project.root))
    if odd:
        raise ConfigError(
            f"The path of the project folder {str(project.root)!r} has the character "
            f"{odd[0]!r}, which its lake cannot have.",
            "Rename the folder, or choose another one.",
        )
    try:
        project.state.mkdir(parents=True, exist_ok=True)
        ignore = project.state / ".gitignore"
        if not ignore.exists():
            ignore.write_text("*\n")
        handle = os.open(project.state / "lock", os.O_RDWR | os.O_CREAT, 0o644)
    except OSError as error:
        raise unwritable(project, error.strerror or str(error)) from error
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            owner = os.pread(handle, 32, 0).decode(errors="replace").strip() or "unknown"
            raise LockedError(
                f"Another process (number {owner}) is writing to {project.root}.",
                "Wait until it is done, then run the command again.",
            ) from error
        try:
            os.ftruncate(handle, 0)
            os.pwrite(handle, str(os.getpid()).encode(), 0)
            _sweep(project)
            yield
        except OSError as error:
            raise unwritable(project, error.strerror or str(error)) from error
        except duckdb.OutOfMemoryException as error:
            raise DataError(
                f"The build needs more memory than there is: {engine.message(error)}",
                f"Raise {engine.MEMORY_LIMIT} where it is set, close other programs, or build on a "
                "larger machine; nothing was lost.",
            ) from error
        except duckdb.Error as error:
            if not isinstance(error, duckdb.IOException) and not _DISK.search(str(error)):
                raise
            raise unwritable(project, engine.message(error)) from error
    finally:
        os.close(handle)


def unwritable(project: Project, why: str) -> DataError:
    """The error for a folder that cannot be written."""
    return DataError(
        f"{project.state} cannot be written: {why.rstrip('.')}.",
        "Make room or give write permission, then run the command again; nothing was lost.",
    )


def _sweep(project: Project) -> None:
    shutil.rmtree(project.state / "tmp", ignore_errors=True)
    (project.state / "tmp").mkdir()
    engine.sweep(project.state)
    for name in ("builds", "artefacts"):
        for leftover in (project.state / name).glob("*.unfinished*"):
            leftover.unlink(missing_ok=True)
    for folder in (project.state / "builds").glob("*/"):
        # Tables that Spark made for a build that was never published.
        if not folder.with_suffix(".duckdb").exists():
            shutil.rmtree(folder, ignore_errors=True)
