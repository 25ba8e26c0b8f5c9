"""Files of JSON lines in a landing folder: hidden while they are written, then renamed as a whole.

Who logs and who receives share the folder and this form: ``.<writer>-<n>.jsonl.open`` becomes
``<writer>-<n>.jsonl``, and a writer is ``<utc>-<host>-<pid>``.
"""

from __future__ import annotations

import os
import re
import socket
from datetime import UTC, datetime
from pathlib import Path

SUFFIX, _OPEN = ".jsonl", ".open"


def host_name() -> str:
    """The name of the machine, as it stands in those of files."""
    return re.sub(r"[^A-Za-z0-9.]", "_", socket.gethostname())


def writer_name() -> str:
    """When a writer began, where, and its process."""
    return f"{datetime.now(UTC):%Y%m%dT%H%M%S%fZ}-{host_name()}-{os.getpid()}"


def open_path(folder: Path, writer: str, number: int) -> Path:
    """The name of a writer's file while it is being written."""
    return folder / f".{writer}-{number}{SUFFIX}{_OPEN}"


def published_path(path: Path) -> Path:
    """The name of an open file once it is whole."""
    return path.with_name(path.name.removeprefix(".").removesuffix(_OPEN))


def open_files(folder: Path) -> list[Path]:
    """Files that are being written, or that nobody has finished."""
    return sorted(folder.glob(f".*{SUFFIX}{_OPEN}"))


def written_by(path: Path) -> tuple[str, int] | None:
    """Host and process of an open file; None where its name does not tell."""
    named = re.fullmatch(r"\.[^-]+-(.*)-(\d+)-\d+", path.name.removesuffix(SUFFIX + _OPEN))
    return (named[1], int(named[2])) if named else None


def create(path: Path) -> int:
    """Create a file that is still there after the machine failed, to append to.

    Raises
    ------
    FileExistsError
        If another writer has it.
    """
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND, 0o640)
    try:
        _sync_folder(path.parent)
    except OSError:
        os.close(descriptor)
        path.unlink(missing_ok=True)
        raise
    return descriptor


def write_all(descriptor: int, content: bytes) -> None:
    """Write all of it, in as many calls as that takes."""
    view = memoryview(content)
    while view:
        view = view[os.write(descriptor, view) :]


def publish(path: Path) -> None:
    """Give an open file, whose content is on the disk, the name under which it is read."""
    path.rename(published_path(path))
    _sync_folder(path.parent)


def finish(path: Path) -> tuple[int, int]:
    """Publish an open file that has lost its writer, without what follows its last whole line.

    Returns
    -------
    tuple
        Its rows, and whether a line was cut off, 0 or 1. A file without rows is removed.
    """
    rows, size = whole_lines(path)
    with path.open("r+b") as file:
        cut_off = int(file.seek(0, os.SEEK_END) > size)
        file.truncate(size)
        os.fsync(file.fileno())
    if rows:
        publish(path)
    else:
        path.unlink()
    return rows, cut_off


def whole_lines(path: Path) -> tuple[int, int]:
    """How many lines have an end, and where the last of them ends."""
    rows = size = position = 0
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            rows += block.count(b"\n")
            if (last := block.rfind(b"\n")) >= 0:
                size = position + last + 1
            position += len(block)
    return rows, size


def _sync_folder(folder: Path) -> None:
    """Make sure that what a folder lists is on the disk."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
