"""How many events judge an inference: all kinds, all sides, none that was withdrawn."""

from __future__ import annotations

from typing import Any

import ibis
import pyarrow as pa

from workbench.enrich import event_counts


def text(names: tuple[str, ...], rows: list[tuple[Any, ...]]) -> pa.Table:
    columns = zip(*rows, strict=True)
    return pa.table(
        {
            name: pa.array(list(values), pa.bool_() if name == "retracted" else pa.string())
            for name, values in zip(names, columns, strict=True)
        }
    )


def test_counts_every_kind_every_side_and_nothing_that_was_withdrawn() -> None:
    events = text(
        ("feedback_id", "retracts"),
        [("thumb", None), ("remark", None), ("taken back", None), ("withdrawal", "taken back"),
         ("preference", None), ("of a trace", None), ("orphan", None)],
    )  # fmt: skip
    attribution = text(
        ("feedback_id", "status", "retracted", "chosen_request_id", "rejected_request_id"),
        [
            ("thumb", "attributed", False, None, None),
            ("remark", "attributed", None, None, None),
            ("taken back", "attributed", True, None, None),
            ("withdrawal", "attributed", False, None, None),
            ("preference", "attributed", False, "a", "b"),
            ("of a trace", "attributed", False, None, None),
            ("orphan", "orphan", False, None, None),
        ],
    )
    credits = text(
        ("feedback_id", "request_id"),
        [("thumb", "a"), ("remark", "a"), ("taken back", "c"), ("withdrawal", "c"),
         ("of a trace", "b"), ("of a trace", "d")],
    )  # fmt: skip
    found = event_counts(*map(ibis.memtable, (events, attribution, credits)))
    counts = {row["request_id"]: row["n_events"] for row in found.to_pyarrow().to_pylist()}
    assert counts == {"a": 3, "b": 2, "d": 1}
