"""How processes end: at exit, by SIGTERM, by SIGKILL, and as children of a fork."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from tests.capture.landed import hidden, lines
from workbench import capture
from workbench.capture import _counters, _files

START = """
import os, random, signal, sys, threading, time
from workbench import capture
folder = sys.argv[1]
def say(text):
    os.write(1, f"{text}\\n".encode())
"""


def begin(script: str, folder: Path) -> subprocess.Popen[str]:
    code = START + textwrap.dedent(script)
    return subprocess.Popen(
        [sys.executable, "-c", code, str(folder)],
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).resolve().parents[2],
    )


def run(script: str, folder: Path, code: int = 0) -> list[str]:
    process = begin(script, folder)
    out, _ = process.communicate(timeout=60)
    assert process.returncode == code
    return out.split()


def ids(folder: Path) -> list[str]:
    return [row["request_id"] for row in lines(folder)]


def inferences(folder: Path) -> capture.Counters:
    return capture.ledger(folder)["inferences"]


def test_importing_it_loads_nothing_heavy(tmp_path: Path):
    heavy = "duckdb ibis pyarrow streamlit pandas numpy sklearn plotly deltalake click"
    assert run(f"print(*(set('{heavy}'.split()) & set(sys.modules)))", tmp_path) == []


def test_nothing_is_lost_at_the_end_of_a_script(tmp_path: Path):
    said = run(
        """
        log = capture.open(folder, flush_seconds=60)
        for i in range(100):
            say(log.inference(input=i))
        """,
        tmp_path,
    )
    assert ids(tmp_path) == said
    assert inferences(tmp_path) == capture.Counters(accepted=100, written=100)
    assert not hidden(tmp_path)


SERVE = """
log = capture.open(folder, flush_seconds={seconds}, when_full={when_full!r}, max_pending={pending})
def serve(thread):
    for i in range(10**9):
        request_id = f"{{thread}}-{{i}}"
        log.inference(request_id=request_id, input="x" * 300)
        say(request_id)
        time.sleep(0.0003)
for thread in range(3):
    threading.Thread(target=serve, args=(thread,), daemon=True).start()
"""


@pytest.mark.parametrize("when_full", ["drop", "spill"])
def test_sigterm_loses_nothing_that_was_handed_in(tmp_path: Path, when_full: str):
    # The queue is never written by itself, so all depends on the signal.
    pending = 50 if when_full == "spill" else 10**6
    script = SERVE.format(seconds=60, when_full=when_full, pending=pending)
    process = begin(script + "signal.pause()", tmp_path)
    assert process.stdout is not None
    said = [process.stdout.readline().strip() for _ in range(300)]
    process.send_signal(signal.SIGTERM)
    said += process.stdout.read().split()
    assert process.wait(60) == -signal.SIGTERM
    found = ids(tmp_path)
    assert len(found) == len(set(found))
    assert set(said) <= set(found)
    assert not hidden(tmp_path)
    counted = inferences(tmp_path)
    assert (counted.written, counted.dropped) == (len(found), 0)
    # A call that the signal itself interrupted had not handed in its row.
    assert counted.lost <= 1


def test_sigterm_comes_to_who_waited_for_it_before(tmp_path: Path):
    said = run(
        """
        def stop(*_):
            say("stopping")
            say(log.counters().written)
            log.inference(request_id="last")
            sys.exit(3)
        signal.signal(signal.SIGTERM, stop)
        log = capture.open(folder, flush_seconds=60)
        second = capture.open(folder)
        log.inference(request_id="first")
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(10)
        """,
        tmp_path,
        code=3,
    )
    assert said == ["stopping", "1"]
    assert ids(tmp_path) == ["first", "last"]


@pytest.mark.parametrize("when_full", ["drop", "spill"])
def test_after_a_kill_what_is_lost_is_what_waited_and_is_counted(tmp_path: Path, when_full: str):
    script = SERVE.format(seconds=0.03, when_full=when_full, pending=10)
    process = begin(script + "signal.pause()", tmp_path)
    assert process.stdout is not None
    said = [process.stdout.readline().strip() for _ in range(1500)]
    process.kill()
    said += process.stdout.read().split()
    process.wait(60)
    before = inferences(tmp_path)

    capture.open(tmp_path).close()

    found = ids(tmp_path)
    counted = inferences(tmp_path)
    assert counted.accepted == before.accepted
    assert counted.accepted in range(len(said), len(said) + 4)  # a call per thread said nothing yet
    assert counted.written == len(found) == len(set(found)) > 0
    assert counted.accepted == counted.written + counted.dropped + counted.lost
    assert counted.pending == 0
    # At most what may wait, and what three threads had in hand.
    assert 0 <= counted.lost <= 10 + 3
    assert counted.cut_off <= 1
    assert not hidden(tmp_path)
    # It was recovered once, and is not again.
    assert capture.recover(tmp_path)["inferences"] == capture.Counters()
    assert inferences(tmp_path) == counted


def in_the_middle(folder: Path, process: int) -> tuple[_counters.Shared, _files.Output, Path]:
    """A writer that was handed three rows and has written two."""
    shared = _counters.create(folder, f"20260301T000000000000Z-host-{process}")
    shared.numbers[_counters.place(0, _counters.ACCEPTED)] = 3
    output = _files.Output(folder, shared, 0, 0)
    output.append(b'{"request_id":"a"}\n{"request_id":"b"}\n', 2, sync=False)
    return shared, output, next((folder / "inferences").glob(f".*-{process}-*.open"))


def test_each_row_is_counted_once_wherever_the_process_was_killed(tmp_path: Path):
    written = _counters.output_place(0, 0, _counters.WRITTEN)
    writers = [in_the_middle(tmp_path, process) for process in range(5)]
    # 0: between two batches. 1: after a batch was written, before it was counted.
    writers[1][0].numbers[written] = 0
    # 2: in the middle of a line.
    with writers[2][2].open("ab") as file:
        file.write(b'{"request_id":"c')
    # 3: after the file was renamed, before that was noted. 4: before anything was in the file.
    path = writers[3][2]
    path.rename(path.with_name(path.name.removeprefix(".").removesuffix(".open")))
    os.truncate(writers[4][2], 0)
    writers[4][0].numbers[written] = 0
    assert capture.recover(tmp_path)["inferences"] == capture.Counters()  # they live

    for shared, output, _ in writers:
        output.forget()
        shared.close()
    found = capture.recover(tmp_path)["inferences"]
    assert found == capture.Counters(accepted=15, written=8, lost=7, cut_off=1)
    assert inferences(tmp_path) == found
    assert sorted(ids(tmp_path)) == ["a"] * 4 + ["b"] * 4
    assert not hidden(tmp_path)


def test_forked_children_log_for_themselves(tmp_path: Path):
    said = run(
        """
        random.seed(1)
        log = capture.open(folder, flush_seconds=60)
        with log.call(input="before"):
            children = []
            for child in range(3):
                log.inference(request_id=f"parent-{child}")
                children.append(os.fork())
                if children[-1] == 0:
                    random.seed(1)
                    for _ in range(10):
                        say(log.inference(input="child"))
                    assert log.counters().accepted == 10
                    log.close()
                    os._exit(0)
            for child in children:
                assert os.waitpid(child, 0)[1] == 0
        say(log.inference(input="after"))
        """,
        tmp_path,
    )
    found = ids(tmp_path)
    assert len(found) == len(set(found)) == 3 + 30 + 1 + 1
    assert set(said) <= set(found)
    assert inferences(tmp_path) == capture.Counters(accepted=35, written=35)
    assert {row["parent_id"] for row in lines(tmp_path) if row.get("input") == "child"} == {
        row["request_id"] for row in lines(tmp_path) if row.get("input") == "before"
    }


def test_a_killed_child_of_a_server_is_recovered_by_the_next_one(tmp_path: Path):
    run(
        """
        log = capture.open(folder)
        for turn in range(2):
            child = os.fork()
            if child == 0:
                log.inference(request_id=f"turn-{turn}")
                log.flush()
                os.kill(os.getpid(), signal.SIGKILL)
            os.waitpid(child, 0)
        assert os.fork() or log.inference(request_id="end") and log.close() and os._exit(0)
        os.wait()
        """,
        tmp_path,
    )
    assert sorted(ids(tmp_path)) == ["end", "turn-0", "turn-1"]
    assert not hidden(tmp_path)


def test_workers_of_multiprocessing_lose_nothing_although_they_end_without_atexit(tmp_path: Path):
    script = """
        import multiprocessing
        log = capture.open(folder, flush_seconds=60)
        def work(child):
            for i in range(20):
                log.inference(request_id=f"{child}-{i}")
        workers = multiprocessing.get_context("fork")
        workers = [workers.Process(target=work, args=(n,)) for n in range(2)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
            assert worker.exitcode == 0
        """
    run(script, tmp_path)
    assert sorted(ids(tmp_path)) == sorted(f"{child}-{i}" for child in range(2) for i in range(20))
    assert inferences(tmp_path) == capture.Counters(accepted=40, written=40)
