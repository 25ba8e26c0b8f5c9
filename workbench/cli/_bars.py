"""How far a long run is, as bars on a terminal; nowhere else."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from workbench.progress import Run, Stage


@contextmanager
def bars() -> Iterator[None]:
    """Show a bar for each stage of what runs in a block, on standard error if that is a terminal.

    What is said meanwhile stands above the bars.
    """
    if not sys.stderr.isatty() or os.environ.get("TERM") in (None, "", "dumb"):
        yield
        return
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        Progress,
        TaskID,
        TaskProgressColumn,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    from workbench.progress import recording

    shown = Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=24),
        TaskProgressColumn(),
        TextColumn("{task.fields[rate]}", markup=False, justify="right"),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        console=Console(stderr=True),
        redirect_stdout=False,
    )
    tasks: list[TaskID] = []

    def show(run: Run) -> None:
        for number, stage in enumerate(run.stages):
            if number == len(tasks):
                tasks.append(shown.add_task(stage.name, total=None, rate=""))
            task = tasks[number]
            if shown.tasks[number].finished:
                continue
            fraction = stage.fraction
            shown.update(
                task,
                total=None if fraction is None else 1.0,
                completed=fraction or 0.0,
                rate=rate(stage),
            )

    with shown, recording(show):
        yield


def rate(stage: Stage) -> str:
    """What goes through a stage in a second, in words; empty where it is not known."""
    found = stage.rate
    if found is None:
        return ""
    if stage.unit == "bytes":
        from rich.filesize import decimal

        return f"{decimal(int(found))}/s"
    return f"{found:,.0f} rows/s"
