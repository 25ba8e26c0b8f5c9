"""Which files there are to read, and what of each was read before.

A file is known by its content, not by its name: a renamed file is not received again, and a file
whose beginning is known is read on from its old end.
"""

from __future__ import annotations

import glob
import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path

from workbench import importers
from workbench.errors import ConfigError
from workbench.importers import Importer
from workbench.importers._bytes import Stream
from workbench.importers._records import head_of
from workbench.importers._servers import is_server
from workbench.ingest.pins import changed, pin
from workbench.ingest.records import Record, family, live
from workbench.lake import delta_files
from workbench.project import Project, Source


@dataclass(frozen=True, kw_only=True)
class Reading:
    """A file to read, and from where.

    Attributes
    ----------
    key
        Identity of the reading, recorded with each commit that it makes.
    previous
        The reading that this one continues.
    replaces
        Readings whose rows this one takes the place of.
    known
        The reading that has already read exactly this content; nothing is to be read.
    url
        Address of a database on a server; what it holds is known only when it has been read.
    content
        Of such a one, what tells whether it is as it was read last, under this mapping.
    """

    path: Path
    name: str
    importer: Importer
    sha: str
    size: int
    stat_size: int
    mtime_ns: int
    offset: int = 0
    next_row: int = 1
    previous: int | None = None
    replaces: tuple[int, ...] = ()
    known: Record | None = None
    url: str | None = None
    content: str | None = None

    def key(self, source: Source) -> str:
        """Identity of the reading under the mapping of `source`."""
        turn = (
            f"alias:{self.name}" if self.known else f"{self.offset}:{max(self.replaces, default=0)}"
        )
        return f"{source.table}:{source.mapping_id}:{self.sha}:{turn}"


def find(project: Project, source: Source) -> list[tuple[str, Path]]:
    """All files of a source as (name in records, path), in the order of their names.

    Raises
    ------
    ConfigError
        If a pattern that is not a glob names nothing that exists.
    """
    found: dict[Path, str] = {}
    for pattern in source.patterns:
        if is_server(pattern):
            continue
        path = project.root / Path(pattern).expanduser()
        delta = delta_files(path)
        if delta is not None:
            entries = delta
        elif path.is_dir():
            entries = [
                entry
                for entry in sorted(path.rglob("*"))
                if entry.is_file()
                and not any(part.startswith(".") for part in entry.relative_to(path).parts)
                and _may_hold(source, entry)
            ]
        elif path.is_file():
            entries = [path]
        else:
            # The folder's own name is no pattern.
            matches = sorted(glob.glob(pattern, root_dir=project.root, recursive=True))
            found_here = [project.root / match for match in matches]
            entries = [match for match in found_here if match.is_file()]
        for entry in entries:
            found.setdefault(entry.absolute(), _name(project, entry.absolute()))
    return sorted(((name, path) for path, name in found.items()), key=lambda pair: pair[0])


def _may_hold(source: Source, path: Path) -> bool:
    """Whether a file within a folder is one of the source's: of its formats, by its name."""
    return any(
        importers.for_path(path) is not None
        if form == "auto"
        else not importers.importers.get(form).title or importers.may_be_exported(path)
        for form in source.formats
    )


def _name(project: Project, path: Path) -> str:
    try:
        return path.relative_to(project.root).as_posix()
    except ValueError:
        return path.as_posix()


def importer_for(source: Source, path: Path, name: str) -> Importer:
    """The importer that reads a file: of several formats the first that claims it.

    Raises
    ------
    ConfigError
        If the format is ``auto`` and the file's name does not tell it, or if none of several
        formats claims the file.
    """
    forms = source.formats
    for form in forms:
        importer = importers.for_path(path) if form == "auto" else importers.importers.get(form)
        if importer is None:
            continue
        if form == "auto" or len(forms) == 1 or _claims(importer, path, source.table):
            return importer
    if forms == ("auto",):
        raise ConfigError(
            f"The name of {name} does not tell its format.",
            "Set format to one of: " + ", ".join(importers.importers.names()) + ".",
        )
    raise ConfigError(
        f"{name} is of none of the formats of its source: {', '.join(forms)}.",
        "Add its format to the list, or take the file out of source.",
    )


def _claims(importer: Importer, path: Path, table: str) -> bool:
    """Whether a file is of a format, by its contents for exports and by its name for others."""
    if importer.holds is not None:
        return table in importer.holds(head_of(path))
    return importers.for_path(path) == importer


def plan(
    source: Source, files: Iterable[tuple[str, Path]], records: Sequence[Record]
) -> list[Reading]:
    """What is to be read: new files, and what known files have grown by.

    Parameters
    ----------
    source
        Whose files they are.
    files
        Name and path of each file.
    records
        Earlier readings of the same lake table, oldest first.
    """
    records = live(records)
    latest = {record.source_file: record for record in records}
    sizes = sorted({record.size for record in records if record.size > 0})
    seen = [_look(path, name, source, latest.get(name), sizes) for name, path in files]
    unchanged = {look.name for look in seen if look.hashes is None}
    hashes = {look.name: look.hashes for look in seen if look.hashes is not None}

    def elsewhere(record: Record, name: str) -> bool:
        """Whether the content of a record still stands in another file than `name`."""
        own = record.source_file
        return own != name and (
            own in unchanged or hashes.get(own, _Hashes()).get(record.size) == record.sha
        )

    readings: list[Reading] = []
    planned: set[str] = set()
    for look in seen:
        if look.hashes is None:
            continue
        size = look.hashes.total
        matching = [
            record
            for record in records
            if record.size > 0
            and look.hashes.get(record.size) == record.sha
            and (record.size == size or not elsewhere(record, look.name))
        ]
        reading = Reading(
            path=look.path,
            name=look.name,
            importer=importer_for(source, look.path, look.name),
            sha=look.hashes.whole,
            size=size,
            stat_size=look.stat_size,
            mtime_ns=look.mtime_ns,
        )
        reading = _continue(source, reading, matching, look.last, records)
        if reading.known is None:
            if reading.sha in planned and reading.size > 0:
                continue
            planned.add(reading.sha)
        readings.append(reading)
    return readings


class _Hashes(dict[int, str]):
    """SHA-256 of the first so many bytes of a file; `whole` and `total` are of all of it."""

    whole: str
    total: int


@dataclass(frozen=True)
class _Look:
    """A file as it stands now; `hashes` is None where it is as it was when it was last read."""

    name: str
    path: Path
    stat_size: int
    mtime_ns: int
    last: Record | None
    hashes: _Hashes | None


def _look(
    path: Path, name: str, source: Source, last: Record | None, sizes: Sequence[int]
) -> _Look:
    size, changed = last_change(path)
    same = (
        last is not None
        and last.mapping_id == source.mapping_id
        and (last.stat_size, last.mtime_ns) == (size, changed)
    )
    hashes = None
    if not same:
        hashes = _pinned(path, name, source, last) if source.in_place else _hash(path, sizes)
    return _Look(name, path, size, changed, last, hashes)


def last_change(path: Path) -> tuple[int, int]:
    """Size of a file and when it was last changed, in nanoseconds; a database's log included."""
    stats = [entry.stat() for entry in (path, *_journal(path))]
    return sum(stat.st_size for stat in stats), max(stat.st_mtime_ns for stat in stats)


def _pinned(path: Path, name: str, source: Source, last: Record | None) -> _Hashes:
    """The pin of a file that is read in place, in the place of a hash of all its bytes.

    Raises
    ------
    DataError
        If the file was read in place before and is not what it was.
    """
    found = _Hashes()
    found.whole, found.total = pin(path), path.stat().st_size
    found[found.total] = found.whole
    if last is not None and last.in_place and last.sha != found.whole:
        raise changed(name)
    return found


def _journal(path: Path) -> list[Path]:
    """The write-ahead log of an SQLite file, where a running program has not folded it in yet."""
    journal = path.with_name(f"{path.name}-wal")
    return [journal] if journal.is_file() else []


def _continue(
    source: Source,
    reading: Reading,
    matching: Sequence[Record],
    last: Record | None,
    records: Sequence[Record],
) -> Reading:
    """Decide from where a reading goes on, or whether it takes the place of an earlier one."""
    current = [record for record in matching if record.mapping_id == source.mapping_id]
    if current:
        best = max(current, key=lambda record: (record.size, record.ingest_id))
        if best.in_place and not _is_there(best, reading):
            return replace(reading, replaces=family(best, records))
        if best.size == reading.size:
            return replace(reading, known=best, previous=best.ingest_id)
        if reading.importer.grows:
            if best.terminated or _breaks_line(reading.path, best.offset_end):
                return replace(
                    reading,
                    offset=best.offset_end,
                    next_row=best.next_row,
                    previous=best.ingest_id,
                )
            return replace(reading, replaces=family(best, records))
    if matching:
        best = max(matching, key=lambda record: (record.size, record.ingest_id))
        if best.size == reading.size or reading.importer.grows:
            return replace(reading, replaces=family(best, records))
    if last is None:
        return reading
    unread = last.offset_end == 0 and last.size > 0
    # A database that has changed since, under another mapping, still holds what it held.
    remapped = reading.importer.again and last.mapping_id != source.mapping_id
    moved_in = last.in_place != source.in_place and (last.stat_size, last.mtime_ns) == (
        reading.stat_size,
        reading.mtime_ns,
    )
    if unread or moved_in or remapped or source.table.startswith("context_"):
        # A context file that was written anew is a new snapshot of the same facts.
        anew = set(family(last, records))
        if remapped:
            anew |= {r.ingest_id for r in records if r.source_file == reading.name}
        return replace(reading, replaces=tuple(sorted(anew)))
    return reading


def _is_there(record: Record, reading: Reading) -> bool:
    """Whether the file of a reading still is where it was; `reading` has the same content."""
    name = record.source_file
    here = reading.path.as_posix().removesuffix(reading.name)
    return Path(name if name.startswith("/") else here + name).is_file()


def _breaks_line(path: Path, offset: int) -> bool:
    """Whether a line break stands at `offset`, so that the row before it was whole."""
    stream = Stream(path, offset)
    block = stream.read(2)
    stream.close()
    return block[:1] in (b"\n", b"\r", b"")


def _hash(path: Path, sizes: Sequence[int]) -> _Hashes:
    """Hash the uncompressed bytes of a file, and those up to each of `sizes`.

    A log that was compressed since it was read is the same log.
    """
    digest = hashlib.sha256()
    found = _Hashes()
    position = 0
    stops = iter(sizes)
    stop = next(stops, None)
    streams = [Stream(entry) for entry in (path, *_journal(path))]
    for block in chain.from_iterable(stream.blocks() for stream in streams):
        start = 0
        while stop is not None and stop <= position + len(block):
            digest.update(block[start : stop - position])
            found[stop] = digest.hexdigest()
            start = stop - position
            stop = next(stops, None)
        digest.update(block[start:])
        position += len(block)
    for stream in streams:
        stream.close()
    found.whole, found.total = digest.hexdigest(), position
    return found
