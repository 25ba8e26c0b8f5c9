"""Tables of every type that a file format meets."""

from __future__ import annotations

import datetime as dt
import math
from typing import Any

import pyarrow as pa
from hypothesis import strategies as st

texts = st.one_of(
    st.text(max_size=12),
    st.sampled_from(
        ["", "nul\x00byte", "🎉 日本", "a\r\nb\n", "\u2028", '"quoted", {"a": 1}', "=1+1"]
    ),
)
floats = st.one_of(
    st.floats(allow_subnormal=False), st.sampled_from([math.inf, -math.inf, math.nan, -0.0])
)
wholes = st.integers(-(2**63), 2**63 - 1)
times = st.datetimes(dt.datetime(1900, 1, 1), dt.datetime(2100, 1, 1), timezones=st.just(dt.UTC))
MESSAGE = pa.struct([("role", pa.string()), ("content", pa.string())])

#: Type and values of each column.
COLUMNS: dict[str, tuple[pa.DataType, st.SearchStrategy[Any]]] = {
    "text": (pa.string(), texts),
    "number": (pa.float64(), floats),
    "whole": (pa.int64(), wholes),
    "flag": (pa.bool_(), st.booleans()),
    "ts": (pa.timestamp("us", "UTC"), times),
    "texts": (pa.list_(pa.string()), st.lists(texts, max_size=3)),
    "numbers": (pa.list_(pa.float64()), st.lists(floats, max_size=3)),
    "wholes": (pa.list_(pa.int64()), st.lists(wholes, max_size=3)),
    "about": (
        pa.struct([("a", pa.string()), ("b", pa.list_(pa.int64()))]),
        st.fixed_dictionaries({"a": texts, "b": st.lists(wholes, max_size=2)}),
    ),
    "messages": (
        pa.list_(MESSAGE),
        st.lists(
            st.fixed_dictionaries(
                {"role": st.sampled_from(["user", "assistant"]), "content": texts}
            ),
            max_size=2,
        ),
    ),
}


@st.composite
def tables(draw: st.DrawFn) -> pa.Table:
    """A table of some rows, with NULL among the values of each column."""
    row = st.fixed_dictionaries({name: st.none() | values for name, (_, values) in COLUMNS.items()})
    schema = pa.schema([(name, kind) for name, (kind, _) in COLUMNS.items()])
    return pa.Table.from_pylist(draw(st.lists(row, min_size=1, max_size=6)), schema=schema)
