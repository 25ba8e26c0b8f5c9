"""What logging adds to a call, beside an empty call and OpenTelemetry's batch processor.

One core, 10,000 calls a second. The three are run in turn, in short rounds of one process, so that
a slow moment of the machine meets all of them. Two times are taken of every call:

``call``
    from its begin to its end. A background thread that takes the interpreter's lock in the middle
    of it is in this time.
``late``
    from when it should have begun to its end. A thread that holds the lock when a call is due is in
    this one too, and so is the inaccuracy of the timer, which the empty call shows alone.

How much of the code is still in the processor's caches when a call begins depends on what else the
machine does: an idle one gives its core away between two calls, and the same call takes up to twice
as long as on a busy one. A third time does not depend on that:

``cold``
    that of a call before which everything in the caches of the core was replaced, at no given rate.

The two log the same five values, and both write lines of JSON to files. What they dropped is said.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from workbench import capture

RATE = 10_000
LIMITS = {"p50": 5.0, "p99": 50.0}
PROMPT = "How do I return an order that came broken? " * 5
ANSWER = "You can return it within thirty days from the page of your order. " * 6
#: Bytes that are copied: more than the caches that a core has for itself.
_CACHES = 2_500_000
#: Calls of a round that find cold caches.
_COLD = 200


def paced(call: Callable[[], object], seconds: float) -> tuple[list[int], list[int]]:
    """Nanoseconds of each call, and how late each ended."""
    took, late = [], []
    step, n = 1_000_000_000 // RATE, int(RATE * seconds)
    clock, sleep = time.perf_counter_ns, time.sleep
    due = clock() + 1_000_000
    for _ in range(n):
        # Asked for a little less than what is left: the timer wakes late, never early.
        while (left := due - clock()) > 0:
            sleep(max(left - 55_000, 0) / 1e9)
        begin = clock()
        call()
        end = clock()
        took.append(end - begin)
        late.append(end - due)
        due += step
    return took, late


def cold(call: Callable[[], object], n: int) -> list[int]:
    """Nanoseconds of each call when nothing of it is in the caches of its core."""
    took = []
    target, content = bytearray(_CACHES), bytes(_CACHES)
    clock = time.perf_counter_ns
    for _ in range(n):
        target[:] = content
        clock()
        begin = clock()
        call()
        took.append(clock() - begin)
    return took


def opentelemetry(folder: Path) -> tuple[Callable[[], object], Callable[[], tuple[int, int]]]:
    """A call that makes a span, and how many were exported and dropped."""
    import logging

    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor, ConsoleSpanExporter

    logging.getLogger("opentelemetry").setLevel(logging.CRITICAL)
    exported = started = 0
    file = (folder / "spans.jsonl").open("w")

    class Exporter(ConsoleSpanExporter):
        def export(self, spans):
            nonlocal exported
            exported += len(spans)
            return super().export(spans)

    exporter = Exporter(out=file, formatter=lambda span: span.to_json(indent=None) + "\n")
    provider = TracerProvider()
    processor = BatchSpanProcessor(exporter)
    provider.add_span_processor(processor)
    tracer = provider.get_tracer("benchmark")

    def call() -> None:
        nonlocal started
        started += 1
        with tracer.start_as_current_span("chat") as span:
            span.set_attribute("gen_ai.request.model", "v3")
            span.set_attribute("input", PROMPT)
            span.set_attribute("output", ANSWER)
            span.set_attribute("confidence", 0.75)
            span.set_attribute("user.id", "u1")

    def counts() -> tuple[int, int]:
        processor.force_flush()
        return exported, started - exported

    return call, counts


def percentiles(values: list[int]) -> dict[str, float]:
    """Median and 99th percentile in microseconds."""
    cuts = statistics.quantiles(values, n=100)
    return {"p50": round(cuts[49] / 1000, 2), "p99": round(cuts[98] / 1000, 2)}


def main() -> int:
    """Measure, print one JSON line, and return 1 when a limit is passed or a row was dropped."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--seconds", type=float, default=0.5, help="of a round")
    options = parser.parse_args()
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        span, counts = opentelemetry(folder)
        log = capture.open(folder / "landing", model_version="v3")
        calls: dict[str, Callable[[], object]] = {
            "empty": lambda: None,
            "capture": lambda: log.inference(
                input=PROMPT, output=ANSWER, confidence=0.75, user_id="u1"
            ),
            "opentelemetry": span,
        }
        took: dict[str, list[int]] = {name: [] for name in calls}
        late: dict[str, list[int]] = {name: [] for name in calls}
        cooled: dict[str, list[int]] = {name: [] for name in calls}
        for turn in range(options.rounds + 1):
            for name, call in calls.items():
                times = paced(call, options.seconds)
                if turn > 0:  # the first round warms up
                    took[name] += times[0]
                    late[name] += times[1]
                    cooled[name] += cold(call, _COLD)
                log.flush()
                counts()
        counters = log.counters()
        exported, dropped = counts()
        log.close()
    call_times = {name: percentiles(values) for name, values in took.items()}
    late_times = {name: percentiles(values) for name, values in late.items()}
    cold_times = {name: percentiles(values) for name, values in cooled.items()}
    added = {p: round(call_times["capture"][p] - call_times["empty"][p], 2) for p in LIMITS}
    added_late = {p: round(late_times["capture"][p] - late_times["empty"][p], 2) for p in LIMITS}
    added_cold = {p: round(cold_times["capture"][p] - cold_times["empty"][p], 2) for p in LIMITS}
    result = {
        "call_us": call_times,
        "late_us": late_times,
        "cold_us": cold_times,
        "added_us": added,
        "added_late_us": added_late,
        "added_cold_us": added_cold,
        "limit_us": LIMITS,
        "opentelemetry_times_capture": {
            p: round(call_times["opentelemetry"][p] / call_times["capture"][p], 1) for p in LIMITS
        },
        "capture": {"written": counters.written, "dropped": counters.dropped},
        "opentelemetry": {"exported": exported, "dropped": dropped},
        "calls_of_each": options.rounds * int(RATE * options.seconds),
    }
    print(json.dumps(result))
    return int(counters.dropped > 0 or any(added[p] > LIMITS[p] for p in LIMITS))


if __name__ == "__main__":
    sys.exit(main())
