"""Writes what packages recorded of OpenAI's API as a log of requests and responses.

Runs in an environment that has PyYAML, never in that of the tests:
``python openai_world.py ARCHIVES FOLDER``. The archives are source distributions with tapes of
their tests; ``calls.jsonl`` has a line for each call whose response came in one piece.
"""

from __future__ import annotations

import gzip
import json
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml


def exchanges(archives: Path) -> Iterator[tuple[str, Any, str, int]]:
    """Each recorded exchange: its tape, the texts of request and response, and the status."""
    for archive in sorted(archives.glob("*.tar.gz")):
        with tarfile.open(archive) as files:
            for member in sorted(files.getmembers(), key=lambda one: one.name):
                if "/cassettes/" not in member.name or not member.isfile():
                    continue
                opened = files.extractfile(member)
                assert opened is not None
                text = opened.read()
                if member.name.endswith(".gz"):
                    text = gzip.decompress(text)
                tape = yaml.load(text, getattr(yaml, "CSafeLoader", yaml.SafeLoader))
                pairs = (
                    [(one["request"], one["response"]) for one in tape["interactions"]]
                    if "interactions" in tape
                    else list(zip(tape["requests"], tape["responses"], strict=True))
                )
                for asked, came in pairs:
                    texts = (plain(asked["body"]), plain(came["body"]["string"]))
                    yield Path(member.name).name, *texts, came["status"]["code"]


def plain(body: str | bytes | None) -> str:
    """The text of a body as it was recorded."""
    if isinstance(body, str | None):
        return body or ""
    return (gzip.decompress(body) if body[:2] == b"\x1f\x8b" else body).decode("utf-8", "replace")


def main(archives: Path, folder: Path) -> None:
    """Write the log."""
    with (folder / "calls.jsonl").open("w") as log:
        for number, (place, asked, came, status) in enumerate(exchanges(archives)):
            if not all(text.lstrip().startswith("{") for text in (asked, came)):
                continue
            record = {
                "request_id": f"call-{number}",
                "timestamp": f"2026-03-01T00:{number // 60:02d}:{number % 60:02d}Z",
                "request": json.loads(asked),
                "response": json.loads(came),
                "tape": place,
                "status": status,
            }
            log.write(json.dumps(record) + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
