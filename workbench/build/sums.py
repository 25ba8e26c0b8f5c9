"""The kept sums of a refresh: taken away and added where a group is large, else added up anew.

A difference of sums has the rounding of the larger one: where few rows are left of many, it would
be all that is left.
"""

from __future__ import annotations

from workbench import engine, state
from workbench.build.changes import temporary
from workbench.compiled import Parts
from workbench.metrics import CELL_SUMS, SIZES, VALUE_SUMS

#: Rows of a group of `workbench.state.KEYS` from which on its sums are changed, not made anew.
_LARGE = 5_000
_TABLES = {"metric_state": CELL_SUMS, "metric_sums": VALUE_SUMS}
_SAME = " AND ".join(f"g.{key} IS NOT DISTINCT FROM t.{key}" for key in state.KEYS)
_GROUPS = "CAST(ts AS DATE) AS day, model_version, cohort"
_BUILT = "build.narrow.enriched_inferences"


def before(compiled: Parts) -> None:
    """Note the groups of the rows that are replaced, and their sums, before these rows go.

    Reads ``old_ids`` and, in ``narrow.enriched_inferences``, the rows that take their place.
    """
    connection = compiled.connection
    temporary(
        connection,
        "changed_groups",
        f"SELECT {_GROUPS} FROM {_BUILT} SEMI JOIN old_ids USING (request_id) "
        f"UNION SELECT {_GROUPS} FROM narrow.enriched_inferences",
    )
    temporary(
        connection,
        "large_groups",
        "SELECT g.* FROM changed_groups g SEMI JOIN build.narrow.metric_sums t "
        f"ON {_SAME} AND t.metric = {engine.literal(SIZES)} AND t.n_rows >= {_LARGE}",
    )
    connection.execute("ALTER TABLE narrow.enriched_inferences RENAME TO enriched_anew")
    _sum(compiled, f"EXISTS (FROM large_groups g WHERE {_SAME}) AND {_OLD}")
    for name, columns in _TABLES.items():
        less = ", ".join(f"-{column} AS {column}" for column in columns)
        temporary(connection, f"less_{name}", f"SELECT * REPLACE ({less}) FROM narrow.{name}")
    connection.execute("DROP VIEW narrow.enriched_inferences")
    connection.execute("ALTER TABLE narrow.enriched_anew RENAME TO enriched_inferences")


def after(compiled: Parts) -> None:
    """Bring the sums of the build up to date, whose rows are."""
    connection = compiled.connection
    connection.execute("DROP TABLE narrow.enriched_inferences")
    large = f"EXISTS (FROM large_groups g WHERE {_SAME})"
    _sum(compiled, f"EXISTS (FROM changed_groups g WHERE {_SAME}) AND (NOT {large} OR {_OLD})")
    for name, columns in _TABLES.items():
        types = engine.columns_of(connection, f"build.narrow.{name}")
        keys = ", ".join(column for column in types if column not in columns)
        added = ", ".join(
            # Of no values the sum is 0, to the last digit.
            f"CAST(CASE WHEN sum(n) = 0 THEN 0 ELSE sum({column}) END AS {types[column]}) "
            f"AS {column}"
            if column in ("ww", "sp", "spp", "total", "squares")
            else f"CAST(sum({column}) AS {types[column]}) AS {column}"
            for column in columns
        )
        temporary(
            connection,
            "added_sums",
            f"SELECT {keys}, {added} FROM (FROM build.narrow.{name} t WHERE {large} "
            f"UNION ALL BY NAME FROM narrow.{name} UNION ALL BY NAME FROM less_{name}) "
            f"GROUP BY {keys} HAVING sum({columns[0]}) <> 0",
        )
        connection.execute(
            f"DELETE FROM build.narrow.{name} t WHERE EXISTS (FROM changed_groups g WHERE {_SAME})"
        )
        connection.execute(f"INSERT INTO build.narrow.{name} BY NAME FROM added_sums")


_OLD = "t.request_id IN (SELECT request_id FROM old_ids)"


def _sum(compiled: Parts, condition: str) -> None:
    """Make the kept sums of those rows of the build, called t, for which a condition holds."""
    connection = compiled.connection
    for name in _TABLES:
        connection.execute(f"DROP TABLE IF EXISTS narrow.{name}")
    connection.execute(
        "CREATE OR REPLACE VIEW narrow.enriched_inferences AS SELECT t.* EXCLUDE (day) "
        f"FROM (SELECT *, CAST(ts AS DATE) AS day FROM {_BUILT}) t WHERE {condition}"
    )
    state.create(compiled)
