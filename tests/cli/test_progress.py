"""How far a run is, what its stages took, and where that is shown."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pytest

from tests.cli.conftest import Run
from tests.ingest.folder import Folder
from workbench import engine, progress

EXPORT = ["export", "enriched_inferences", "--json", "-o"]
#: Standard error of a run that is not on a terminal holds none of these.
ESCAPE = "\x1b"


@pytest.fixture
def shown() -> Iterator[progress.Run]:
    """A run that somebody looks at."""
    seen: list[progress.Run] = []
    with progress.recording(seen.append):
        progress.begin("first")
        run = progress._RUN.get()
        assert run is not None
        yield run
    assert seen
    assert seen[-1].stages[-1].fraction == 1.0


def test_where_nobody_records_nothing_is_kept_or_done() -> None:
    with engine.connect() as connection:
        progress.begin("alone", total=3, unit="rows", connection=connection)
        progress.step()
        progress.advance(rows=1, bytes=1)
        assert progress._RUN.get() is None
        with progress.recording() as told:
            progress.begin("quietly", connection=connection)
        watched = "SELECT current_setting('enable_progress_bar')"
        assert engine.scalar(connection, watched) is False
    assert [stage["stage"] for stage in told()] == ["quietly"]


def test_a_fraction_never_falls_and_is_whole_only_at_the_end(shown: progress.Run) -> None:
    progress.begin("steps", total=100, unit="bytes", steps=2)
    stage = shown.stages[-1]
    seen = [stage.fraction]
    progress.step(25)
    for query in range(3):
        progress.part(query, 3)
        seen.append(stage.fraction)
    progress.step(70)
    seen.append(stage.fraction)
    progress.part(1, 2)
    seen.append(stage.fraction)
    progress.part(0, 2)
    seen.append(stage.fraction)
    assert seen == pytest.approx([0, 0, 25 / 300, 50 / 300, 0.25, 0.6, 0.6])
    progress.begin("next")
    assert stage.fraction == 1.0
    assert shown.stages[-1].fraction is None


def test_rows_are_counted_whether_their_number_was_known_or_not(shown: progress.Run) -> None:
    with progress.recording() as told:
        progress.begin("known", total=10, unit="rows")
        progress.advance(rows=4)
        known = shown.stages[-1]
        assert (known.fraction, known.rows) == (0.4, 10)
        assert known.rate is not None
        progress.begin("unknown", unit="rows")
        progress.advance(rows=4)
        progress.advance(rows=4, bytes=7)
        unknown = shown.stages[-1]
        assert (unknown.fraction, unknown.rate) == (None, None)
    assert [(s["stage"], s["rows"], s["bytes"]) for s in told()] == [
        ("known", 10, None),
        ("unknown", 8, 7),
    ]


def test_a_block_in_a_block_adds_to_the_run_and_tells_its_own(shown: progress.Run) -> None:
    with progress.recording() as told:
        progress.begin("inner")
    assert [stage["stage"] for stage in told()] == ["inner"]
    assert [stage.name for stage in shown.stages] == ["first", "inner"]


def test_the_engine_says_how_far_a_query_is_on_a_locked_connection_too(
    shown: progress.Run,
) -> None:
    with engine.connect() as connection:
        connection.execute("CREATE TABLE numbers AS SELECT range AS n FROM range(2000000)")
        engine.lock(connection, [])
        progress.begin("query", steps=1, connection=connection)
        progress.step()
        rows = connection.execute("SELECT n, sqrt(n) FROM numbers").to_arrow_reader(10_000)
        for _ in range(100):
            rows.read_next_batch()
        fraction = shown.stages[-1].fraction
        assert fraction is not None
        assert 0 < fraction < 1
    # What is looked at after its connection was closed ends no run.
    assert shown.stages[-1].fraction == fraction


def test_rows_that_another_thread_reads_are_counted(shown: progress.Run) -> None:
    table = pa.table({"n": list(range(10))})
    progress.begin("read", steps=1)
    progress.step()
    reader = engine.counted(
        pa.RecordBatchReader.from_batches(table.schema, table.to_batches(4)), 10
    )
    stage = shown.stages[-1]
    seen = []

    def read() -> None:
        seen.extend((batch.num_rows, stage.fraction) for batch in reader)

    thread = threading.Thread(target=read)
    thread.start()
    thread.join()
    assert seen == [(4, 0.0), (4, 0.4), (2, 0.8)]
    assert stage._part == (10, 10)


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="Linux says what a peak was")
def test_a_peak_belongs_to_its_stage_and_the_process_keeps_its_own() -> None:
    code = """
import json, time
from workbench import progress
with progress.recording() as told:
    progress.begin("large")
    held = bytearray(200_000_000)
    del held
    progress.begin("small")
status = open("/proc/self/status").read()
high = int(status.split("VmHWM:")[1].split()[0]) * 1024
print(json.dumps([high, *(stage["peak_memory"] for stage in told())]))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    high, large, small = json.loads(done.stdout)
    assert large - small > 190_000_000
    # Who measures the process from outside sees the peak of all of its stages.
    assert high >= large


def on_terminal(folder: Path, *arguments: object) -> tuple[str, str]:
    """Standard output, which is a pipe, and standard error, which is a terminal."""
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "workbench.cli.main", *map(str, arguments)]
    with subprocess.Popen(
        command,
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=theirs,
        env={**os.environ, "TERM": "xterm", "COLUMNS": "100"},
    ) as process:
        os.close(theirs)
        said = b""
        try:
            while chunk := os.read(ours, 65536):
                said += chunk
        except OSError:
            # The other end of a terminal that was closed.
            pass
        os.close(ours)
        assert process.stdout is not None
        data = process.stdout.read()
    assert process.returncode == 0, said.decode()
    return data.decode(), said.decode()


def test_bars_are_on_a_terminal_only_and_leave_the_data_alone(
    project: Folder, at: Run, tmp_path: Path
) -> None:
    data, said = on_terminal(project.path, *EXPORT, tmp_path / "a.jsonl")
    piped = at(*EXPORT, tmp_path / "b.jsonl")
    for text in (data, piped.out):
        found = json.loads(text)
        assert [stage["stage"] for stage in found["stages"]] == ["write"]
        assert found["stages"][0]["rows"] == found["rows"] == 40
        assert found["stages"][0]["bytes"] == found["bytes"]
    assert ESCAPE in said
    assert "write" in said
    assert "rows/s" in said
    assert piped.err == ""
    assert (tmp_path / "a.jsonl").read_bytes() == (tmp_path / "b.jsonl").read_bytes()
