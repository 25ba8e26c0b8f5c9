"""What Ibis writes for Spark that `workbench.spark` writes otherwise.

A test fails on the day that Ibis does; then its method there may go.
"""

from __future__ import annotations

from collections.abc import Callable

import ibis
import ibis.common.exceptions
import ibis.expr.types as ir
import pytest

# Its compiler reads options that are there once it was loaded.
assert ibis.pyspark

T = ibis.table({"d": "float64", "s": "string", "t": "timestamp"}, name="t")


def written(value: ir.Value) -> str:
    return str(ibis.to_sql(T.select(v=value), dialect="pyspark")).replace("\n", " ")


@pytest.mark.parametrize(
    ("method", "value", "faulty"),
    [
        ("visit_DefaultLiteral", lambda: T.d + 0.1, "+ 0.1 AS"),
        ("visit_IsNull", lambda: T.d.isnull(), "ISNAN("),
        ("visit_NotNull", lambda: T.d.notnull(), "ISNAN("),
        ("visit_IsInf", lambda: T.d.isinf(), "FALSE OR FALSE"),
        ("visit_Strip", lambda: T.s.strip(), r"\v\f"),
        ("visit_RegexReplace", lambda: T.s.re_replace("(a)", r"\1"), r"'\\1'"),
    ],
)
def test_ibis_writes_something_else_for_spark(
    method: str, value: Callable[[], ir.Value], faulty: str
) -> None:
    assert faulty in written(value()), f"drop {method} from workbench.spark"


def test_ibis_does_not_take_microseconds_on_spark() -> None:
    with pytest.raises(ibis.common.exceptions.UnsupportedOperationError, match="microseconds"):
        written(T.t.microsecond())
    # When this passes, visit_ExtractMicrosecond may go from workbench.spark.
