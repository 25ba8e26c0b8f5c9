"""The kept sums of a refresh: taken away and added where a group is large, else added up anew.

A difference of sums has the rounding of the larger one: where few rows are left of many, it would
be all that is left.
"""

from __future__ import annotations

from workbench import engine, state
from workbench.build.changes import temporary, using
from workbench.compiled import Parts
from workbench.metrics import CELL_SUMS, SIZES, VALUE_SUMS

#: Rows of a group of `workbench.state.KEYS` from which on its sums are changed, not made anew.
_LARGE = 5_000
_TABLES = {"metric_state": CELL_SUMS, "metric_sums": VALUE_SUMS}
_SAME = " AND ".join(f"g.{key} IS NOT DISTINCT FROM t.{key}" for key in state.KEYS)
_GROUPS = "CAST(ts AS DATE) AS day, model_version, cohort"
_BUILT, _ANEW = "build.narrow.enriched_inferences", "part.narrow.enriched_inferences"


def before(compiled: Parts) -> None:
    """Note the groups of the rows that are replaced, and their sums, before these rows go.

    Reads ``was_enriched``; what takes their place is in the database ``part``.
    """
    connection = compiled.connection
    temporary(
        connection,
        "changed_groups",
        f"SELECT {_GROUPS} FROM was_enriched UNION SELECT {_GROUPS} FROM {_ANEW}",
    )
    temporary(
        connection,
        "large_groups",
        "SELECT g.* FROM changed_groups g SEMI JOIN build.narrow.metric_sums t "
        f"ON {_SAME} AND t.metric = {engine.literal(SIZES)} AND t.n_rows >= {_LARGE}",
    )
    connection.execute("ATTACH ':memory:' AS sums")
    connection.execute("CREATE SCHEMA sums.narrow")
    _sum(compiled, f"FROM was_enriched e WHERE {_in('large_groups')}")
    for name, columns in _TABLES.items():
        less = ", ".join(f"-{column} AS {column}" for column in columns)
        temporary(connection, f"less_{name}", f"SELECT * REPLACE ({less}) FROM sums.narrow.{name}")


def after(compiled: Parts) -> None:
    """Bring the sums of the build up to date, whose rows are."""
    connection = compiled.connection
    temporary(
        connection,
        "small_groups",
        f"FROM changed_groups t WHERE NOT EXISTS (FROM large_groups g WHERE {_SAME})",
    )
    # By their numbers: often there are none, and a sum reads many columns.
    few = engine.scalar(connection, "SELECT EXISTS (FROM small_groups)")
    rows = f"SELECT row_id FROM {_BUILT} e WHERE {_in('small_groups') if few else 'false'}"
    temporary(connection, "small_rows", rows)
    # The rows of a large group that are new, and all of the others.
    _sum(
        compiled,
        f"FROM {_BUILT} e WHERE row_id IN (FROM small_rows) UNION ALL BY NAME "
        f"FROM {_ANEW} e WHERE {_in('large_groups')}",
    )
    for name, columns in _TABLES.items():
        types = engine.columns_of(connection, f"build.narrow.{name}")
        keys = ", ".join(column for column in types if column not in columns)
        added = ", ".join(
            # Of no values the sum is 0, to the last digit.
            f"CAST(CASE WHEN sum(n) = 0 THEN 0 ELSE sum({column}) END AS {types[column]}) "
            f"AS {column}"
            if types[column] == "DOUBLE"
            else f"CAST(sum({column}) AS {types[column]}) AS {column}"
            for column in columns
        )
        temporary(
            connection,
            "added_sums",
            f"SELECT {keys}, {added} FROM (FROM build.narrow.{name} t "
            f"WHERE EXISTS (FROM large_groups g WHERE {_SAME}) "
            f"UNION ALL BY NAME FROM sums.narrow.{name} UNION ALL BY NAME FROM less_{name}) "
            f"GROUP BY {keys} HAVING sum({columns[0]}) <> 0",
        )
        connection.execute(
            f"DELETE FROM build.narrow.{name} t WHERE EXISTS (FROM changed_groups g WHERE {_SAME})"
        )
        connection.execute(f"INSERT INTO build.narrow.{name} BY NAME FROM added_sums")


def _in(groups: str) -> str:
    """SQL of whether the enriched inference e is in one of some groups."""
    own = {"day": "CAST(e.ts AS DATE)", "model_version": "e.model_version", "cohort": "e.cohort"}
    same = " AND ".join(f"g.{key} IS NOT DISTINCT FROM {own[key]}" for key in state.KEYS)
    return f"EXISTS (FROM {groups} g WHERE {same})"


def _sum(compiled: Parts, rows: str) -> None:
    """Make the kept sums of some rows, in the database ``sums``."""
    connection = compiled.connection
    with using(connection, "sums"):
        for name in _TABLES:
            connection.execute(f"DROP TABLE IF EXISTS narrow.{name}")
        connection.execute(f"CREATE OR REPLACE VIEW narrow.enriched_inferences AS {rows}")
        state.create(compiled)
