"""The command: keys, what it refuses to start, and how it ends."""

from __future__ import annotations

import json
import signal
import stat
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from tests.cli.conftest import run
from tests.receive.conftest import event, landed, process
from workbench.errors import DataError
from workbench.receive import keys
from workbench.receive.landing import Landing, published


def post(address: str, body: object, **headers: str) -> int:
    """Send feedback over a socket; the status."""
    given = {"Content-Type": "application/json"} | {
        n.replace("_", "-"): v for n, v in headers.items()
    }
    request = urllib.request.Request(
        f"{address}/v1/feedback", json.dumps(body).encode(), given, method="POST"
    )
    try:
        with urllib.request.urlopen(request, timeout=20) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code


def test_a_key_is_shown_once_and_kept_as_a_hash(tmp_path: Path):
    made = run("receive", "--project", tmp_path, "--new-key", "page", "--only", "feedback")
    key = made.out.strip()
    path = tmp_path / ".workbench" / "receive" / "keys.json"
    assert key not in path.read_text()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    found = keys.find(keys.read(path), key)
    assert found is not None
    assert (found.name, found.only) == ("page", ("feedback",))
    assert keys.find(keys.read(path), key + "x") is None
    again = run("receive", "--project", tmp_path, "--new-key", "page")
    assert again.code == 2
    assert "There is a key" in again.err
    second = run("receive", "--project", tmp_path, "--new-key", "app", "--json")
    assert json.loads(second.out)["key"] != key
    assert [entry.name for entry in keys.read(path)] == ["page", "app"]


def test_a_damaged_file_of_keys_opens_the_service_to_nobody(tmp_path: Path):
    path = tmp_path / "keys.json"
    path.write_text("{")
    with pytest.raises(DataError, match="cannot be read"):
        keys.read(path)


def test_it_does_not_listen_to_others_without_keys(tmp_path: Path):
    done = run("receive", "--project", tmp_path, "--host", "0.0.0.0", "--port", 0)
    assert done.code == 2
    assert "--new-key" in done.err
    assert not (tmp_path / "landing").exists()


def test_a_folder_that_is_received_into_is_locked(tmp_path: Path):
    landing = Landing(tmp_path / "landing")
    done = run("receive", "--project", tmp_path, "--port", 0)
    assert (done.code, "Another process" in done.err) == (3, True)
    landing.close()


def test_sigterm_ends_it_well_and_publishes_what_landed(tmp_path: Path):
    key = run("receive", "--project", tmp_path, "--new-key", "app").out.strip()
    (tmp_path / "workbench.toml").write_text(
        '[inferences]\nsource = "logs"\n[feedback]\nsource = ["x.jsonl", "landing/feedback"]\n'
    )
    with process(tmp_path) as (service, address):
        assert address.startswith("http://127.0.0.1:")
        assert post(address, event()) == 401
        assert post(address, event(), X_API_Key=key) == 202
        service.send_signal(signal.SIGTERM)
        assert service.wait(20) == 0
        assert service.stderr is not None
        said = service.stderr.read()
    assert "[inferences] does not read" in said
    assert "[feedback]" not in said
    assert len(published(tmp_path / "landing", "feedback")) == 1
    assert len(landed(tmp_path / "landing")) == 1
