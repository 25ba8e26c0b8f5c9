"""Parameters that several macros take."""

from __future__ import annotations

from typing import Any

import ibis
import ibis.expr.types as ir

from workbench.formulas import BIN_RULES, bin_index
from workbench.macros._macro import Argument, Given

PER = Argument(
    type="string",
    default="CAST(NULL AS VARCHAR)",
    about="Expression over the columns to group by; all rows are one group where it is left out.",
    row=True,
)
KEEP = Argument(
    type="boolean",
    default="true",
    about="Condition over the columns: which rows to read.",
    row=True,
)
BINS = Argument(type="int64", default="10", about="Number of bins, from 1.")
BIN_RULE = Argument(
    type="string",
    default="'numpy'",
    about=f"Where a value on the edge of a bin belongs: {', '.join(BIN_RULES)}.",
)


@ibis.udf.scalar.builtin(name="error", signature=(("string",), "int64"))  # type: ignore[untyped-decorator]
def _error(text: str) -> int: ...  # type: ignore[empty-body]


@ibis.udf.scalar.builtin(name="timezone", signature=(("string", "timestamp('UTC')"), "timestamp"))  # type: ignore[untyped-decorator]
def _in_zone(zone: str, ts: object) -> object: ...


def in_utc(ts: ir.TimestampValue) -> ir.TimestampValue:
    """A time as the clock shows it in UTC, whatever the time zone of the one who asks."""
    return _in_zone("UTC", ts)


def kept(rows: ir.Table, given: Given) -> ir.Table:
    """The rows for which ``keep`` is true."""
    return rows.filter(given.of("keep", rows))


def bins(p: ir.NumericValue, given: Given) -> Any:
    """The bin of a probability by ``bins`` and, where the macro has one, ``bin_rule``."""
    count = given.constant("bins").cast("int64")
    counted = (count >= 1).ifelse(count, _error("bins must be a whole number from 1"))
    if "bin_rule" not in given:
        return bin_index(p, counted)
    rule = given.constant("bin_rule")
    # A rule that does not exist must not put every row into no bin.
    unknown = _error(f"bin_rule must be one of {', '.join(BIN_RULES)}")
    branches = [(rule == name, bin_index(p, counted, name)) for name in BIN_RULES]
    return ibis.cases(*branches, else_=unknown)
