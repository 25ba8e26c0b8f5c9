"""Requests that nobody thought of, made from the service's own OpenAPI document.

``make fuzz`` runs this module with 10,000 cases. That what a schema forbids is refused is tested of
events, not here: null is the same as nothing, and OTLP answers a part that is refused with 200.
"""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from schemathesis.checks import negative_data_rejection, positive_data_acceptance
from schemathesis.generation import GenerationMode

from tests.ingest.folder import Folder
from tests.receive.conftest import Client, event, landed, process, serving

#: Cases of all operations together.
CASES = int(os.environ.get("WORKBENCH_FUZZ_CASES", "200"))
#: How they are shared out; the others have no parameters.
SHARES = {
    "/v1/feedback": 0.4,
    "/v1/inferences": 0.4,
    "/v1/traces": 0.15,
    "/v1/schema/{stream}": 0.05,
}
CONFIG = """
[inferences]
source = "landing/inferences"
[feedback]
source = "landing/feedback"
"""
#: What only the settings of a signal can tell, which the service does not know.
LATER = {"bad_value"}


def at_the_edge_of_time(problem: dict[str, Any]) -> bool:
    """Whether all that is wrong is what a schema cannot say: a zone moves a time out of bounds."""
    return {error["reason"] for error in problem["errors"]} == {"ts_out_of_range"}


def fuzz(address: str) -> Counter[int]:
    """Send the cases and hold every answer to the document; how often each status came."""
    api = schemathesis.openapi.from_url(f"{address}/openapi.json")
    session = requests.Session()
    statuses: Counter[int] = Counter()
    for found in api.get_all_operations():
        operation = found.ok()
        share = SHARES.get(operation.path)
        for mode in GenerationMode if share else [GenerationMode.POSITIVE]:

            @settings(
                max_examples=max(1, round(CASES * (share or 0) / len(GenerationMode))),
                deadline=None,
                database=None,
                phases=[Phase.generate],
                suppress_health_check=list(HealthCheck),
            )
            @given(operation.as_strategy(generation_mode=mode))
            def holds(case: schemathesis.Case) -> None:
                answer = case.call(base_url=address, session=session)
                statuses[answer.status_code] += 1
                excluded = [negative_data_rejection]
                if answer.status_code == 422 and at_the_edge_of_time(answer.json()):
                    excluded.append(positive_data_acceptance)
                case.validate_response(answer, excluded_checks=excluded)

            holds()
    return statuses


def test_no_request_is_a_fault_and_what_was_acknowledged_is_valid(tmp_path: Path):
    folder = Folder.make(tmp_path / "p", CONFIG, events=0)
    with process(folder.path, "--rate", "1e9") as (service, address):
        statuses = fuzz(address)
        counts = requests.get(f"{address}/metrics", timeout=20).text
        service.terminate()
        assert service.wait(20) == 0
    print("fuzz:", dict(sorted(statuses.items())))
    assert statuses.total() >= 0.9 * CASES
    assert not [status for status in statuses if status >= 500]
    assert statuses[202] > CASES / 10
    landing = folder.path / "landing"
    for stream in ("feedback", "inferences"):
        accepted = f'workbench_receive_events_total{{stream="{stream}",outcome="accepted"}} '
        assert int(counts.partition(accepted)[2].split("\n")[0]) == len(landed(landing, stream))
    folder.build()
    status = folder.status()
    assert status["received"] == len(landed(landing))
    assert status["inferences"]["received"] == len(landed(landing, "inferences"))
    assert set(status["quarantine"]) - {"duplicate"} <= LATER


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    with serving(tmp_path_factory.mktemp("fuzz") / "landing", rate=1e9) as found:
        yield found


KINDS = ("application/json", "application/x-ndjson", "application/x-protobuf", "text/plain", "")


@settings(max_examples=150, deadline=None)
@given(
    body=st.binary(max_size=60) | st.just(json.dumps(event()).encode()),
    kind=st.sampled_from(KINDS),
    stream=st.sampled_from(["feedback", "inferences", "traces"]),
    encoding=st.sampled_from(["identity", "gzip", "br", ""]),
    key=st.none() | st.text(st.characters(max_codepoint=255), max_size=5),
)
def test_no_bytes_are_a_fault(
    client: Client, body: bytes, kind: str, stream: str, encoding: str, key: str | None
):
    headers = {"content_type": kind, "content_encoding": encoding}
    if key is not None:
        headers["idempotency_key"] = key
    answer = client.post(body, stream, **headers)
    assert answer.status in {200, 202, 400, 409, 415, 422}
