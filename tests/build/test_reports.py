"""What a build says of its contexts is what their rows say."""

from __future__ import annotations

import duckdb
import numpy as np
import pytest

from workbench.build import contexts


@pytest.mark.parametrize("n", [0, 1, 2, 99, 100])
@pytest.mark.parametrize("sampled", [1, 7, 1_000])
@pytest.mark.parametrize("values", ["spread", "few", "equal", "half of them missing"])
def test_a_median_that_is_counted_is_that_of_all_values(
    n: int, sampled: int, values: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(contexts, "_SAMPLED", sampled)
    made = np.random.default_rng(n).lognormal(3, 2, n)
    age = {
        "spread": made,
        "few": made.round(-1),
        "equal": made * 0 + 0.1,
        "half of them missing": np.where(made > np.median(made) if n else False, np.nan, made),
    }[values]
    with duckdb.connect() as connection:
        connection.register("given", {"row_id": np.arange(n), "age": age.astype("float64")})
        connection.execute(
            "CREATE TABLE ages AS SELECT row_id, CASE WHEN NOT isnan(age) THEN age END AS age "
            "FROM given"
        )
        found = contexts._median(connection, "ages", "age")
        assert (found,) == connection.execute("SELECT median(age) FROM ages").fetchone()
