"""Ibis on Spark: what it writes there means what it means on DuckDB.

Some of what Ibis writes for Spark means something else than what it writes for DuckDB; no error
would say so, so it is written otherwise here.
"""

from __future__ import annotations

import math
import re
from typing import Any


def backend(session: Any) -> Any:
    """Wrap a Spark session, classic or Connect, for Ibis."""
    import ibis
    import sqlglot.expressions as sge
    from ibis.backends.sql.compilers.pyspark import PySparkCompiler

    # Ibis calls these by the names of its operations.
    class Compiler(PySparkCompiler):  # type: ignore[misc]
        def visit_DefaultLiteral(self, op: Any, *, value: Any, dtype: Any) -> Any:  # noqa: N802
            # 0.1 is a DECIMAL: it would be compared, added up and returned as one.
            if dtype.is_floating() and math.isfinite(value):
                return self.cast(repr(float(value)), dtype)
            return super().visit_DefaultLiteral(op, value=value, dtype=dtype)

        def visit_IsNull(self, op: Any, *, arg: Any) -> Any:  # noqa: N802
            # Ibis counts NaN as NULL here.
            return arg.is_(sge.Null())

        def visit_NotNull(self, op: Any, *, arg: Any) -> Any:  # noqa: N802
            return arg.is_(sge.Null()).not_()

        def visit_Strip(self, op: Any, *, arg: Any) -> Any:  # noqa: N802
            # A plain TRIM leaves tabs; Spark reads the \v and \f that Ibis writes as the letters.
            space = self.f.concat(" \t\n\r", self.f.anon.char(11), self.f.anon.char(12))
            return sge.Trim(this=arg, expression=space, position="BOTH")

        def visit_IsInf(self, op: Any, *, arg: Any) -> Any:  # noqa: N802
            # Ibis writes FALSE.
            return self.f.abs(arg).eq(self.POS_INF)

        def visit_RegexReplace(  # noqa: N802
            self, op: Any, *, arg: Any, pattern: Any, replacement: Any
        ) -> Any:
            # A group in a replacement is $1 for Java, where \\1 is a plain 1.
            java = re.sub(r"\\([0-9])", r"$\1", str(replacement.this))
            return self.f.regexp_replace(arg, pattern, sge.convert(java))

        def visit_ExtractMicrosecond(self, op: Any, *, arg: Any) -> Any:  # noqa: N802
            return self.cast(self.f.date_format(arg, "SSSSSS"), op.dtype)

    wrapped = ibis.pyspark.connect(session)
    wrapped.compiler = Compiler()
    return wrapped
