"""Tables of database servers as readings: what they hold is known only when they have been read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from workbench.errors import ConfigError
from workbench.importers import Staged, importers
from workbench.importers._servers import is_server, server
from workbench.ingest.files import Reading
from workbench.ingest.records import Record, live
from workbench.project import Source

_FORMAT = "postgres"


def tables(source: Source, records: Sequence[Record]) -> list[Reading]:
    """The tables of a source, each to be read whole: a server does not tell what is new.

    Parameters
    ----------
    source
        Whose tables they are.
    records
        Earlier readings of the same lake table, oldest first.

    Raises
    ------
    ConfigError
        If an address is none, or if the source wants what only files can give.
    """
    urls = [pattern for pattern in source.patterns if is_server(pattern)]
    if urls and source.in_place:
        raise ConfigError(
            f"The rows of {server(urls[0]).name} cannot be read in_place.", 'Set storage = "copy".'
        )
    if urls and not {"auto", _FORMAT} & set(source.formats):
        raise ConfigError(
            f"{server(urls[0]).name} is not of the format {' or '.join(source.formats)}.",
            f'Set format = "{_FORMAT}", or leave it out.',
        )
    return [_reading(source, url, live(records)) for url in urls]


def _reading(source: Source, url: str, records: Sequence[Record]) -> Reading:
    name = server(url).name
    if source.database_table is not None:
        name = f"{name}/{source.database_table}"
    own = [record for record in records if record.source_file == name]
    same = bool(own) and own[-1].mapping_id == source.mapping_id
    # Facts that were read anew are a new snapshot; under another mapping all is read anew.
    anew = own if not same or source.table.startswith("context_") else []
    return Reading(
        path=Path(name),
        name=name,
        importer=importers.get(_FORMAT),
        sha="",
        size=0,
        stat_size=0,
        mtime_ns=0,
        replaces=tuple(record.ingest_id for record in anew),
        url=url,
        content=own[-1].sha if same else None,
    )


def as_read(batch: Sequence[Reading], staged: Staged) -> list[Reading]:
    """The readings of a batch with what was found; none where every table is as it was."""
    found = [
        replace(reading, sha=staged.ends[n].content, size=staged.ends[n].offset)
        for n, reading in enumerate(batch)
    ]
    return [] if all(reading.content == reading.sha for reading in found) else found
