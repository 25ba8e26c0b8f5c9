"""Looks at log and feedback files and proposes a configuration; asks where it is not sure."""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import duckdb

from workbench import engine
from workbench.errors import DataError
from workbench.guess.draft import Draft, block_namesakes
from workbench.guess.exported import map_exported
from workbench.guess.feedback import map_feedback
from workbench.guess.files import groups
from workbench.guess.inferences import map_features, map_inferences
from workbench.guess.keys import Join, join, own_key
from workbench.guess.profile import Sample, take
from workbench.guess.roles import Roles, assign
from workbench.guess.write import render

__all__ = ["Guess", "guess_project"]


@dataclass(frozen=True)
class Guess:
    """A proposed configuration.

    Attributes
    ----------
    toml
        Text of a ``workbench.toml``; what is not certain is commented out.
    questions
        ``table.field: question candidates: a, b``, one for each thing that a person must decide.
    notes
        What was decided and deserves a glance.
    """

    toml: str
    questions: tuple[str, ...]
    notes: tuple[str, ...]


def guess_project(
    inferences: Sequence[str | Path],
    feedback: Sequence[str | Path],
    *,
    project_dir: Path,
    name: str | None = None,
) -> Guess:
    """Propose a ``workbench.toml`` for these files.

    Names and contents both count: a column is mapped where they agree, or where the contents
    prove it, such as keys that two files share; everything else becomes a question.

    Parameters
    ----------
    inferences, feedback
        Files, globs or folders; relative ones are relative to the working directory.
    project_dir
        Folder of the configuration: paths inside of it are written relative to it.
    name
        Name of the project; default: the folder's.

    Raises
    ------
    NotFoundError
        If a path names nothing.
    DataError
        If none of the files can be read, or nothing was named.
    """
    if not inferences or not feedback:
        raise DataError(
            "Both inferences and feedback are needed.",
            "workbench init DIR --inferences PATH --feedback PATH; both may be one file.",
        )
    with engine.connect() as connection:
        connection.execute("SET threads = 2")
        try:
            roles = _roles(inferences, feedback, connection)
            first, second, questions = _drafts(roles)
        except duckdb.Error as error:
            raise DataError(
                f"The files cannot be read: {str(error).splitlines()[0]}",
                "Name one file or one kind of files for each, or write workbench.toml by hand.",
            ) from error
        title = name or Path(project_dir).absolute().name or "project"
        toml = render(title, first, second, roles.lookups, Path(project_dir))
    tomllib.loads(toml)
    notes = [*roles.notes]
    for draft in (first, second):
        if draft is not None:
            notes.extend(draft.notes)
    return Guess(toml, tuple(questions), tuple(dict.fromkeys(notes)))


def _roles(
    inferences: Sequence[str | Path],
    feedback: Sequence[str | Path],
    connection: duckdb.DuckDBPyConnection,
) -> Roles:
    here = Path.cwd()
    samples: dict[tuple[str, tuple[str, ...]], Sample] = {}

    def sample(patterns: Sequence[str | Path], table: str) -> list[Sample]:
        result = []
        for group in groups(patterns, here, connection, table):
            key = (group.staged, group.files)
            if key not in samples:
                samples[key] = take(group, connection, f"sample_{len(samples)}")
            if samples[key].rows:
                result.append(samples[key])
        if not result:
            listed = ", ".join(str(pattern) for pattern in patterns)
            raise DataError(
                f"There are no rows that fit their header in {listed}.",
                "Name files that hold rows.",
            )
        return result

    return assign(sample(inferences, "inferences"), sample(feedback, "feedback"))


def _drafts(roles: Roles) -> tuple[Draft | None, Draft | None, list[str]]:
    questions = list(roles.questions)
    if roles.inferences is None or roles.feedback is None:
        return None, None, questions
    first = Draft("inferences", roles.inferences)
    second = Draft("feedback", roles.feedback)
    exported = roles.inferences.group.vendor or roles.feedback.group.vendor
    same = roles.inferences.group.files == roles.feedback.group.files and not exported
    if same:
        key, _ = own_key(roles.inferences)
        found = Join(key=key)
    else:
        found = join(roles.inferences, roles.feedback)
    if first.exported:
        map_exported(first, first)
    else:
        map_inferences(first, found, same_file=same)
    if second.exported:
        map_exported(second, first)
    else:
        map_feedback(second, first, found, same_file=same)
    reserved = {c.path for n, c in second.mapped.items() if n.startswith("signal:")}
    if not first.exported:
        map_features(first, reserved if same else set())
    for draft in (first, second):
        if not draft.exported:
            block_namesakes(draft)
        questions.extend(_questions(draft))
    return first, second, questions


def _questions(draft: Draft) -> list[str]:
    result = []
    for field, ask in draft.asks.items():
        options = f" candidates: {', '.join(ask.options)}" if ask.options else ""
        result.append(f"{draft.table}.{field}: {ask.question}{options}")
    result.extend(
        f"{draft.table}.signals.{signal.name}: {signal.question}"
        for signal in draft.signals
        if signal.question
    )
    return result
