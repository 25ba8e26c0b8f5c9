"""Bad input is refused whole and counted, or ends the command in plain words."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.ingest.folder import PLAIN, Folder, inference, lines
from workbench.errors import ConfigError


def _build_with_files_of_at_most(folder: Folder, blocks: int) -> subprocess.CompletedProcess[str]:
    """Build in a process that may write no file longer than `blocks` KiB: a disk that is full."""
    limit = (
        "import resource, signal, sys; signal.signal(signal.SIGXFSZ, signal.SIG_IGN); "
        f"resource.setrlimit(resource.RLIMIT_FSIZE, ({blocks * 1024}, {blocks * 1024})); "
        "from workbench.cli.main import main; main(['build', '--project', sys.argv[1]])"
    )
    return subprocess.run(
        [sys.executable, "-c", limit, str(folder.path)], capture_output=True, text=True, check=False
    )


# The first is too little for a lake file, the last for the build but not for the lake.
@pytest.mark.parametrize("blocks", [0, 1, 100])
def test_a_full_disk(tmp_path: Path, blocks: int) -> None:
    folder = Folder.make(tmp_path / "project")
    folder.write("logs/a.jsonl", lines([inference(0)]))
    before = folder.build()
    folder.append("logs/a.jsonl", lines([inference(1)]))
    done = _build_with_files_of_at_most(folder, blocks)
    assert done.returncode == 1
    assert done.stdout == ""
    assert "Traceback" not in done.stderr
    assert "cannot be written" in done.stderr
    assert folder.status()["build"] == before["build"]
    assert folder.ids() == ["r0"]
    folder.build()
    assert folder.ids() == ["r0", "r1"]
    assert folder.status()["inferences"]["received"] == 2


def test_a_state_folder_that_is_a_file(tmp_path: Path) -> None:
    folder = Folder.make(tmp_path / "project")
    folder.write("logs/a.jsonl", lines([inference(0)]))
    folder.write(".workbench", "in the way")
    done = _build_with_files_of_at_most(folder, 10_000)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert "cannot be written" in done.stderr


def test_a_mapping_that_names_no_column(tmp_path: Path) -> None:
    config = PLAIN.replace(
        'source = "logs"',
        'source = "logs"\n'
        'columns = { output = "anwser", latency_ms = "secnds * 1000", request_id = "id" }',
    )
    folder = Folder.make(tmp_path / "it's a \"project\"", config)
    folder.write("logs/a.jsonl", lines([inference(0, answer="x", seconds=1)]))
    with pytest.raises(ConfigError) as caught:
        folder.build()
    message = str(caught.value)
    assert caught.value.exit_code == 2
    assert "3 problems" in message
    assert "Did you mean 'answer'?" in message
    assert "Did you mean 'seconds'?" in message
    assert "'id'" in message
    # Names that the workbench made up for itself help nobody.
    assert "__" not in message
    assert not (folder.path / ".workbench" / "lake").exists()
