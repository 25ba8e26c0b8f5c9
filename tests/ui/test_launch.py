"""Starting the server: where it listens, and what it says when it cannot."""

from __future__ import annotations

import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tests.ui.conftest import ROOT
from workbench.errors import LockedError, NotFoundError
from workbench.ui import launch


def test_it_listens_on_this_machine_only_and_sends_nothing() -> None:
    command = launch.command(8765)
    flags = dict(zip(command[5::2], command[6::2], strict=True))
    assert flags["--server.address"] == "127.0.0.1"
    assert flags["--server.port"] == "8765"
    assert flags["--browser.gatherUsageStats"] == "false"
    assert flags["--server.headless"] == "true"
    assert Path(command[4]).name == "app.py"
    assert (Path(command[4]).parent / ".streamlit" / "config.toml").is_file()


def test_a_taken_port_is_an_error_only_when_it_was_named(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(LockedError, match=f"Port {port}") as caught:
            launch.serve(tmp_path, port=port)
        assert f"--port {port + 1}" in caught.value.hint
        assert not launch.is_free("127.0.0.1", port)
    assert launch.is_free("127.0.0.1", launch.free_port("127.0.0.1"))


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="missing"):
        launch.serve(tmp_path / "missing")


def test_importing_the_launcher_is_cheap() -> None:
    code = "import sys, workbench.ui.launch; assert 'streamlit' not in sys.modules"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False)
    assert done.returncode == 0


def test_the_shell_does_not_wait_for_scikit_learn() -> None:
    code = "import sys, workbench.ui.shell; assert 'sklearn' not in sys.modules"
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", code], cwd=ROOT, check=False)
    assert done.returncode == 0
