"""What holds for every importer of another system's exports, checked on files that its tests make.

Each ``tests/importers/test_<name>.py`` has a function ``samples(folder)`` that writes hand-made
files and gives a `Sample` for each batch of files that are read together. Values in them should be
told apart: a law that looks for ``1`` finds it everywhere.
"""

from __future__ import annotations

import base64
import binascii
import json
import math
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb

from workbench import contract, engine
from workbench.importers import PART, RAW, ROW, Part, importers
from workbench.importers._records import RECORDS, recognise

TABLES = ("inferences", "feedback", "aliases")
_MANDATORY = {
    "inferences": ("request_id", "ts", "model_version", "source_system"),
    "feedback": ("feedback_id", "name", "ts", "source_system"),
    "aliases": ("alias", "request_id"),
}

Key = tuple[int, int]

#: What a chat's answer says of its own form; an output that is one plain text does not repeat it.
_FORM = {
    ("role", "assistant"),
    ("type", "text"),
    ("type", "output_text"),
    ("type", "tool_call"),
}


@dataclass(frozen=True, kw_only=True)
class Sample:
    """Files that are staged together.

    Attributes
    ----------
    importer
        Name of the importer.
    paths
        The files, in the order of their parts.
    tables
        The lake tables of which the importer makes rows from them.
    across
        Whether a record's values may be found in the rows of another record of the batch, as those
        of a trace in its spans.
    refused
        How many records are refused for every table.
    clock
        Whether every row has a time.
    values
        Gives of a record what has to be found again, where its leaves are names too.
    """

    importer: str
    paths: Sequence[Path]
    tables: tuple[str, ...] = ("inferences",)
    across: bool = False
    refused: int = 0
    clock: bool = True
    values: Callable[[Any], Any] = lambda record: record


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What became of the records of a sample.

    Attributes
    ----------
    records
        Each record as it was read.
    rows
        The staged rows of each table, each with the record it is of.
    refused
        Table, reason and text of what was refused, by record.
    """

    records: Mapping[Key, Any]
    rows: Mapping[str, Sequence[tuple[Key, Mapping[str, Any]]]]
    refused: Mapping[Key, Sequence[tuple[str, str, str]]]


def stage(importer: str, paths: Sequence[Path], tables: Sequence[str] = TABLES) -> Outcome:
    """Stage files for every table, or for some."""
    connection = engine.connect()
    try:
        return _stage(connection, importer, paths, tables)
    finally:
        connection.close()


def _stage(
    connection: duckdb.DuckDBPyConnection,
    importer: str,
    paths: Sequence[Path],
    tables: Sequence[str],
) -> Outcome:
    parts = [Part(number=n, path=path, name=path.name) for n, path in enumerate(paths)]
    records: dict[Key, Any] = {}
    rows: dict[str, list[tuple[Key, Mapping[str, Any]]]] = {}
    refused: dict[Key, list[tuple[str, str, str]]] = defaultdict(list)
    for table in tables:
        try:
            staged = importers.get(importer).stage(connection, parts, table)
        except KeyError:
            continue
        if staged.columns:
            listed = ", ".join(
                f"{column.typed} AS {engine.identifier(name)}"
                for name, column in staged.columns.items()
            )
            found = _fetch(connection, f"SELECT {PART}, {ROW}, {listed} FROM {staged.relation}")
            rows[table] = [((row.pop(PART), row.pop(ROW)), row) for row in found]
        for row in _fetch(connection, f"SELECT * FROM {staged.refused}"):
            refused[row[PART], row[ROW]].append((table, row["reason"], row[RAW]))
        for row in _fetch(connection, f"SELECT {PART}, {ROW}, doc FROM {RECORDS}"):
            records[row[PART], row[ROW]] = json.loads(row["doc"])
    return Outcome(records=records, rows=rows, refused=refused)


def _fetch(connection: duckdb.DuckDBPyConnection, query: str) -> list[dict[str, Any]]:
    cursor = connection.execute(query)
    names = [column[0] for column in cursor.description or ()]
    return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]


def check(sample: Sample) -> None:
    """All laws, of one sample."""
    outcome = stage(sample.importer, sample.paths)
    records = {key: sample.values(record) for key, record in outcome.records.items()}
    outcome = replace(outcome, records=records)
    recognised(sample)
    rows_in_are_rows_out(sample, outcome)
    columns_are_of_the_contract(sample, outcome)
    no_leaf_is_lost(outcome, across=sample.across)
    order_does_not_matter(sample, outcome)


def recognised(sample: Sample) -> None:
    """Each file is told by its beginning, and no table that it holds is overlooked."""
    held: set[str] = set()
    for path in sample.paths:
        claim = recognise(path)
        assert claim is not None, f"{path.name} is not recognised"
        assert claim[0].name == sample.importer, f"{path.name} is taken for {claim[0].name}"
        held |= claim[1]
    assert set(sample.tables) <= held, f"{sample.tables} are not in {held}"


def rows_in_are_rows_out(sample: Sample, outcome: Outcome) -> None:
    """Every record has a row in some table, or was refused with a reason and its whole text."""
    made = {key for rows in outcome.rows.values() for key, _ in rows}
    unseen = outcome.records.keys() - made - outcome.refused.keys()
    if sample.across:
        # A record without a row of its own has its values in those of others.
        kept = _found(row for rows in outcome.rows.values() for _, row in rows)
        unseen = {key for key in unseen if _lost(outcome.records[key], *kept)}
    assert not unseen, [outcome.records[key] for key in unseen]
    for key, reasons in outcome.refused.items():
        assert all(reason and raw for _, reason, raw in reasons), (key, reasons)
    entirely = outcome.records.keys() & outcome.refused.keys() - made
    assert len(entirely) == sample.refused, [outcome.refused[key] for key in entirely]
    filled = {table for table, rows in outcome.rows.items() if rows}
    assert filled == set(sample.tables)


def columns_are_of_the_contract(sample: Sample, outcome: Outcome) -> None:
    """Columns have names of the contract (others would be dropped), and keys are there."""
    for table, rows in outcome.rows.items():
        names = {name for _, row in rows for name in row}
        unknown = names - set(contract.table(table).columns)
        assert not unknown, f"{table} has no columns {sorted(unknown)}"
        for _, row in rows:
            for name in _MANDATORY[table]:
                if name != "ts" or sample.clock:
                    assert row.get(name) is not None, (table, name, row)
            if table != "aliases":
                assert row["source_system"] == sample.importer
            if table == "feedback":
                target = ("request_id", "trace_id", "session_id", "chosen_id", "retracts")
                assert any(row.get(name) for name in target), row


def no_leaf_is_lost(outcome: Outcome, *, across: bool = False) -> None:
    """Each value of a record stands in some column of its rows, or in the text of a refused one."""
    by_record: dict[Key, list[Mapping[str, Any]]] = defaultdict(list)
    everything: list[Mapping[str, Any]] = []
    for rows in outcome.rows.values():
        for key, row in rows:
            by_record[key].append(row)
            everything.append(row)
    shared = _found(everything) if across else None
    for key, record in outcome.records.items():
        if key in outcome.refused:
            continue
        found = shared or _found(by_record[key])
        lost = _lost(record, *found)
        assert not lost, f"lost {lost} of {json.dumps(record)[:2000]}"


def order_does_not_matter(sample: Sample, outcome: Outcome) -> None:
    """The same files in another order give the same rows."""
    again = stage(sample.importer, sample.paths[::-1])
    for table, rows in outcome.rows.items():
        once = sorted(repr(sorted(row.items(), key=str)) for _, row in rows)
        twice = sorted(repr(sorted(row.items(), key=str)) for _, row in again.rows[table])
        assert once == twice, table


def _lost(record: Any, tokens: set[Any], text: str) -> list[tuple[str, Any]]:
    return [
        (path, leaf)
        for path, leaf in leaves(record)
        if (path.rpartition(".")[2], leaf) not in _FORM
        and not (readings(leaf) & tokens)
        and not (len(str(leaf)) >= 4 and str(leaf) in text)
    ]


def _found(rows: Any) -> tuple[set[Any], str]:
    """All readings of all values of rows, and their texts one after the other."""
    tokens: set[Any] = set()
    texts: list[str] = []
    for row in rows:
        for _, leaf in leaves(row):
            tokens |= readings(leaf)
            if isinstance(leaf, str):
                texts.append(leaf)
    return tokens, "\n".join(texts)


def leaves(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """The scalars within a value, with their places; of JSON texts those within."""
    if isinstance(value, str) and value.lstrip()[:1] in ("{", "[", '"'):
        try:
            parsed = json.loads(value)
        except ValueError:
            parsed = None
        if parsed is not None and parsed != value:
            yield from leaves(parsed, path)
            return
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from leaves(inner, f"{path}.{key}")
    elif isinstance(value, list | tuple):
        for place, inner in enumerate(value):
            yield from leaves(inner, f"{path}[{place}]")
    elif value is not None and value != "":
        yield path, value


def readings(leaf: Any) -> set[tuple[str, Any]]:
    """The ways to read a scalar, of which one is shared by values that mean the same."""
    if isinstance(leaf, bool):
        return {("number", float(leaf)), ("text", str(leaf).lower())}
    if isinstance(leaf, int | float):
        return {("number", float(leaf)), *_instants(leaf)}
    if isinstance(leaf, datetime):
        return {("instant", round(leaf.timestamp() * 1e6))}
    text = str(leaf).strip()
    result: set[tuple[str, Any]] = {
        ("text", text.lower()),
        ("text", text.lower().removeprefix("0x")),
    }
    try:
        result |= readings(int(text)) if text.lstrip("-").isdigit() else readings(float(text))
        return result
    except ValueError:
        pass
    try:
        moment = datetime.fromisoformat(text)
        aware = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
        result.add(("instant", round(aware.timestamp() * 1e6)))
    except ValueError:
        pass
    try:
        identifier = base64.b64decode(text, validate=True)
        if len(identifier) in (8, 16):
            result.add(("text", identifier.hex()))
    except (binascii.Error, ValueError):
        pass
    return result


def _instants(number: float) -> Iterator[tuple[str, int]]:
    """The times in this century that a number of (milli-, micro-, nano-)seconds may be."""
    # An id in hex may read as a number: 12e3456 is infinite.
    if not math.isfinite(number):
        return
    for per_second in (1, 1_000, 1_000_000, 1_000_000_000):
        micros = (
            number * 1_000_000 // per_second
            if isinstance(number, int)
            else round(number * 1_000_000 / per_second)
        )
        if 946_684_800_000_000 <= micros < 4_102_444_800_000_000:
            yield "instant", int(micros)
