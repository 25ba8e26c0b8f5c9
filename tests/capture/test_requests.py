"""Which request a row belongs to: within blocks, functions, streams and tasks, across processes."""

from __future__ import annotations

import asyncio
import threading
import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.capture.landed import lines
from workbench import capture
from workbench.capture._ids import id_at

Rows = list[dict[str, Any]]


@pytest.fixture
def log(tmp_path: Path) -> Iterator[capture.Log]:
    with capture.open(tmp_path, model_version="v3", flush_seconds=60) as opened:
        yield opened


def written(log: capture.Log) -> tuple[Rows, Rows]:
    assert log.close()
    return lines(log.folder), lines(log.folder, "feedback")


def test_ids_are_uuids_of_version_7_in_the_order_of_time_and_unique_across_threads():
    ids = [capture.new_id() for _ in range(1000)]
    assert {(uuid.UUID(id_).version, uuid.UUID(id_).variant) for id_ in ids} == {(7, uuid.RFC_4122)}
    prefixes = [id_[:18] for id_ in ids]
    assert prefixes == sorted(prefixes)
    with ThreadPoolExecutor(8) as pool:
        many = list(pool.map(lambda _: capture.new_id(), range(20_000)))
    assert len(set(many)) == len(many)


@given(st.integers(0, 2**63))
def test_an_id_tells_to_a_part_of_a_millisecond_when_it_was_made(now: int):
    digits = id_at(now).replace("-", "")
    assert int(digits[:12], 16) == now // 10**6
    assert int(digits[13:16], 16) == now % 10**6 * 4096 // 10**6


def test_of_a_request_only_one_inference_has_its_id(log: capture.Log):
    with capture.context(request_id="r1", session_id="s1", cohort="b"):
        first, second = log.inference(input="a"), log.inference(input="b")
        log.feedback(name="thumb", value=1)
    outside = log.inference(input="c")
    log.feedback(name="thumb", value=0, user_id="u1")
    rows, events = written(log)
    assert first == "r1"
    assert len({first, second, outside}) == 3
    assert [row.get("parent_id") for row in rows] == [None, "r1", None]
    assert [row.get("session_id") for row in rows] == ["s1", "s1", None]
    assert [(e.get("request_id"), e.get("session_id"), "cohort" in e) for e in events] == [
        ("r1", "s1", False),
        (None, None, False),
    ]


def test_an_event_that_says_what_it_judges_is_not_given_the_current_request(log: capture.Log):
    with capture.context(request_id="r1", trace_id="ab" * 16):
        log.feedback(name="solved", value=1, scope="trace")
        log.feedback(name="better", chosen_id="a", rejected_id="b")
        log.feedback(name="thumb", value=1, request_id="other")
    _, events = written(log)
    assert [event.get("request_id") for event in events] == [None, None, "other"]
    assert [event.get("trace_id") for event in events] == ["ab" * 16, None, None]


def test_calls_within_a_call_are_steps_of_its_trace(log: capture.Log):
    with log.call(input="plan") as outer:
        with log.call(input="search") as inner:
            nested = log.inference(input="embed")
        log.feedback(name="thumb", value=1)
        outer.add(output="done")
    rows, events = written(log)
    by_id = {row["request_id"]: row for row in rows}
    assert by_id[nested]["parent_id"] == inner.request_id
    assert by_id[inner.request_id]["parent_id"] == outer.request_id
    assert "parent_id" not in by_id[outer.request_id]
    assert len({row["trace_id"] for row in rows}) == 1
    assert events[0]["request_id"] == outer.request_id
    assert all(row["latency_ms"] >= 0 for row in rows if row["request_id"] != nested)
    assert by_id[outer.request_id]["output"] == "done"


def test_a_call_that_raises_is_logged_without_the_text_of_the_error(log: capture.Log):
    with pytest.raises(ValueError, match="secret"), log.call(input="x"):
        raise ValueError("secret")
    assert not capture.headers()
    rows, _ = written(log)
    assert rows[0]["metadata"] == {"error": "ValueError"}
    assert "secret" not in str(rows)


def test_headers_take_the_request_to_the_next_process(log: capture.Log):
    assert capture.headers() == {}
    with capture.context(request_id="r1"):  # a gateway, which logs nothing
        sent = capture.headers()
    raw = [(name.encode(), value.encode()) for name, value in sent.items()]
    with capture.from_headers(raw, channel="api") as request_id:  # the model's server
        assert request_id == log.inference(input="a") == "r1"
        onward = capture.headers()
    with capture.from_headers(onward):
        other = log.inference(input="b")
    rows, _ = written(log)
    assert other != "r1"
    assert [row.get("parent_id") for row in rows] == [None, "r1"]
    assert len({row["trace_id"] for row in rows}) == 1
    assert rows[0]["channel"] == "api"


@pytest.mark.parametrize(
    ("given", "trace_id", "request_id"),
    [
        ({"Traceparent": f"00-{'AB' * 16}-{'1' * 16}-01", "X-Request-ID": "r1"}, "ab" * 16, "r1"),
        ({"traceparent": f"00-{'0' * 32}-{'1' * 16}-01"}, None, None),
        ({"traceparent": "00-short-01"}, None, None),
        ({"x-request-id": "two\r\nlines"}, None, None),
        ({"x-request-id": "x" * 300}, None, None),
        ({}, None, None),
    ],
    ids=["good", "zeros", "short", "lines", "long", "none"],
)
def test_headers_that_are_wrong_are_as_if_they_were_not_there(
    log: capture.Log, given: dict[str, str], trace_id: str | None, request_id: str | None
):
    with capture.from_headers(given) as found:
        assert log.inference(input="a") == found
        assert found == request_id or (request_id is None and uuid.UUID(found).version == 7)
    rows, _ = written(log)
    assert rows[0].get("trace_id") == trace_id


def test_an_id_that_is_no_header_is_not_sent():
    with capture.context(request_id="two\r\nlines: x"):
        assert set(capture.headers()) == {"traceparent"}


def test_tasks_and_threads_do_not_see_each_others_requests(log: capture.Log):
    async def answer(n: int) -> tuple[str, str]:
        async with log.call(input=n) as call:
            await asyncio.sleep(0.001)
            log.feedback(name="n", value=n)
            return call.request_id, capture.headers()["x-request-id"]

    async def main() -> list[tuple[str, str]]:
        return await asyncio.gather(*(answer(n) for n in range(20)))

    pairs = asyncio.run(main())

    def work(n: int) -> None:
        with capture.context(request_id=f"t{n}"):
            log.feedback(name="n", value=100 + n)

    threads = [threading.Thread(target=work, args=(n,)) for n in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(own == seen for own, seen in pairs)
    rows, events = written(log)
    asked = {row["input"]: row["request_id"] for row in rows}
    asked |= {100 + n: f"t{n}" for n in range(5)}
    assert {event["value"]: event["request_id"] for event in events} == asked


def test_a_decorated_function_is_logged_with_its_argument_and_result(log: capture.Log):
    @log.traced(model="m")
    def one(prompt: str) -> str:
        log.feedback(name="inside", value=1)
        return prompt.upper()

    @log.traced(
        input=lambda messages, **_: messages[-1],
        output=lambda result: {"output": result[0], "confidence": result[1], "extra": 1},
    )
    def two(messages: list[str], temperature: float = 0) -> tuple[str, float]:
        messages.append("answer")
        return "b", 0.5

    @log.traced(output=lambda result: result.missing)
    async def three(first: int, second: int) -> int:
        return first + second

    class Model:
        @log.traced()
        def answer(self, prompt: str) -> list[str]:
            return [prompt]

    assert one("a") == "A"
    assert two(["q"], temperature=1) == ("b", 0.5)
    assert asyncio.run(three(1, second=2)) == 3
    assert Model().answer("p") == ["p"]
    assert one.__name__ == "one"
    rows, events = written(log)
    assert [row["input"] for row in rows] == ["a", "q", {"first": 1, "second": 2}, "p"]
    assert [row.get("output") for row in rows] == ["A", "b", None, ["p"]]
    assert (rows[1]["confidence"], rows[1]["metadata"]) == (0.5, {"extra": 1})
    assert rows[2]["metadata"]["capture"] == {"left_out": ["output"]}
    assert events[0]["request_id"] == rows[0]["request_id"]


def consume(stream: Any, n: int) -> list[Any]:
    if hasattr(stream, "__anext__"):

        async def items() -> list[Any]:
            found = []
            async for item in stream:
                found.append(item)
                assert not capture.headers()
                if len(found) == n:
                    break
            await stream.aclose()
            return found

        return asyncio.run(items())
    found = []
    for item in stream:
        found.append(item)
        assert not capture.headers()  # between two items the caller runs
        if len(found) == n:
            break
    stream.close()
    return found


def sync_stream(log: capture.Log) -> Callable[[str], Any]:
    @log.traced()
    def stream(prompt: str) -> Iterator[str]:
        for part in prompt.split():
            log.feedback(name="step", value=capture.headers()["x-request-id"])
            yield part
        raise ValueError("too long")

    return stream


def async_stream(log: capture.Log) -> Callable[[str], Any]:
    @log.traced()
    async def stream(prompt: str) -> AsyncIterator[str]:
        for part in prompt.split():
            await asyncio.sleep(0)
            log.feedback(name="step", value=capture.headers()["x-request-id"])
            yield part
        raise ValueError("too long")

    return stream


@pytest.mark.parametrize("made", [sync_stream, async_stream])
def test_a_stream_is_logged_as_far_as_it_was_read(log: capture.Log, made: Any):
    stream = made(log)
    assert consume(stream("a b c"), 2) == ["a", "b"]
    with pytest.raises(ValueError, match="too long"):
        consume(stream("d e"), 9)
    rows, events = written(log)
    assert [(row["output"], row["metadata"]) for row in rows] == [
        ("ab", {"error": "GeneratorExit"}),
        ("de", {"error": "ValueError"}),
    ]
    ids = [row["request_id"] for row in rows]
    assert [event["request_id"] for event in events] == [ids[0]] * 2 + [ids[1]] * 2
    assert all(event["value"] == event["request_id"] for event in events)
