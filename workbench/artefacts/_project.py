"""Where the artefacts of a project are, and what its configuration means by a column."""

from __future__ import annotations

from pathlib import Path

from workbench.project import Project


def folder(project: Project) -> Path:
    """Where the artefacts of a project are."""
    return project.state / "artefacts"


#: What the columns that the build derives are made from.
_DERIVED = {
    "calibration_p": ("score", "confidence"),
    "prob_bin": ("score", "confidence"),
    "least_confidence": ("probabilities", "confidence"),
    "margin": ("probabilities", "confidence"),
    "entropy": ("probabilities", "confidence"),
}


def meaning(project: Project, columns: tuple[str, ...]) -> dict[str, str]:
    """What the project's configuration makes columns from.

    An artefact is applied only where this is what it was when it was fitted: the score of another
    model under the same name would be corrected by what was true of the old one.
    """
    source = project.inferences
    names = {name for column in columns for name in _DERIVED.get(column, (column,))}
    found = {name: source.columns.get(name, name) for name in sorted(names)}
    if found and source.sql:
        found["[inferences] sql"] = source.sql
    if "score" in found:
        found["positive_class"] = project.positive_class
    return found
