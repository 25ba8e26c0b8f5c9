"""What is fitted over a population: made on request, kept as a file, pinned by id in a build.

To add a kind, make one file here that declares ``artefact = artefact_kind(...)``; its name is the
file's, its guide the file's docstring (as of a metric). Declare the columns that it adds in table
``fitted`` of ``sql/schema.sql``; there they are NULL until an artefact of the kind is pinned. Then

- ``fit(rows, params)`` gets `Rows` and gives `Fitted`: a small state that JSON can hold, the number
  of rows in it and, where each row has a value of its own, an Arrow table by ``request_id``;
- ``apply(rows, state)`` gives the columns as Ibis expressions over the enriched inferences; without
  it, they are those of the table.

``workbench fit KIND`` and `workbench.fitting.fit` do all else: the rows, the split in time, figures
before and after, the file, the pin. `workbench.build.artefacts` applies what is pinned.
"""

from __future__ import annotations

from workbench.artefacts._kind import ArtefactKind, Fitted, Rows, artefact_kind, artefacts
from workbench.artefacts._project import folder, meaning
from workbench.artefacts._store import (
    Artefact,
    kept,
    load,
    pin,
    pinned,
    save,
    table_path,
)

__all__ = [
    "Artefact",
    "ArtefactKind",
    "Fitted",
    "Rows",
    "artefact_kind",
    "artefacts",
    "folder",
    "kept",
    "load",
    "meaning",
    "pin",
    "pinned",
    "save",
    "table_path",
]
