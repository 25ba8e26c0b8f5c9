"""Pages of recipes, read as the steps that a reader would take."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

RUN = ("bash", "sql", "python")
FILES = ("csv", "jsonl")
_FENCE = re.compile(r"^```(\w+)\n(.*?)^```$", flags=re.DOTALL | re.MULTILINE)


@dataclass(frozen=True)
class Step:
    """One fenced block: its language, its text, and for a file its name."""

    language: str
    text: str
    file: str | None = None


def steps(page: str) -> list[Step]:
    """The blocks of a page in their order.

    Raises
    ------
    ValueError
        If the line before a block that is a file does not name it.
    """
    found = []
    for match in _FENCE.finditer(page):
        language, text = match[1], match[2]
        file = None
        if language in FILES:
            said = page[: match.start()].rstrip().rsplit("\n", 1)[-1]
            named = re.findall(rf"`([\w./-]+\.{language})`", said)
            if not named:
                raise ValueError(f"no line before the block names a .{language} file:\n{text}")
            file = named[-1]
        found.append(Step(language, text, file))
    return found


def commands(text: str) -> list[str]:
    """The lines of a block that call the workbench; a backslash continues a line."""
    lines = text.replace("\\\n", " ").splitlines()
    return [line.strip() for line in lines if line.strip().startswith("workbench ")]


def configured(settings: str, block: str) -> str:
    """The settings with a block's contexts; one of the same name is replaced."""
    for name in re.findall(r"^\[context\.(\w+)\]", block, flags=re.MULTILINE):
        own = rf"^\[context\.{name}[.\]].*?(?=^\[|\Z)"
        settings = re.sub(own, "", settings, flags=re.DOTALL | re.MULTILINE)
    return f"{settings.rstrip()}\n\n{block}"


def write(folder: Path, step: Step) -> None:
    """Write the file or the settings that a block shows."""
    if step.file is not None:
        path = folder / step.file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(step.text, encoding="utf-8")
        return
    path = folder / "workbench.toml"
    whole = step.text.lstrip().startswith("[project]")
    text = step.text if whole else configured(path.read_text(encoding="utf-8"), step.text)
    path.write_text(text, encoding="utf-8")
