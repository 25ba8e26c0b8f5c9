"""The ledger: every received row counted by what became of it, and the grains of a build."""

from __future__ import annotations

from typing import Any

import duckdb

from workbench import engine
from workbench.build import views
from workbench.build.sources import LakeTable
from workbench.errors import DataError
from workbench.project import Project

STATUSES = ("invalid", "duplicate", "spam", "attributed", "ambiguous", "orphan")


def count(
    connection: duckdb.DuckDBPyConnection, project: Project, tables: dict[str, LakeTable]
) -> dict[str, Any]:
    """Count every received row by what became of it, and refuse a ledger that does not add up."""
    refused = connection.execute(views.refused_counts(project, tables["quarantine"])).fetchall()
    own = ("duplicate", "spam")
    feedback = dict.fromkeys(STATUSES, 0)
    sides: dict[str, dict[str, int]] = {"feedback": {}, "inferences": {}}
    for table, reason, n in refused:
        if table not in sides:
            sides[table] = {}
        sides[table][reason] = n
    for reason, n in sides["feedback"].items():
        feedback[reason if reason in own else "invalid"] += n
    for status, n in connection.execute(
        "SELECT status, count(*) FROM narrow.attribution GROUP BY 1"
    ).fetchall():
        feedback[status] = n
    received = int(engine.scalar(connection, "SELECT count(*) FROM narrow.feedback")) + sum(
        feedback[status] for status in ("invalid", *own)
    )
    if received != sum(feedback.values()):
        raise DataError(
            f"The ledger does not add up: received {received:,}, but "
            f"{', '.join(f'{k} {v:,}' for k, v in feedback.items())}.",
            "This is a defect of the workbench; nothing was published. Please report it.",
        )
    accepted = int(engine.scalar(connection, "SELECT count(*) FROM narrow.inferences"))
    labelled = int(
        engine.scalar(
            connection,
            "SELECT count(*) FROM narrow.enriched_inferences "
            "WHERE label IS NOT NULL OR reward IS NOT NULL",
        )
    )
    duplicate = sides["inferences"].get("duplicate", 0)
    invalid = sum(n for reason, n in sides["inferences"].items() if reason != "duplicate")
    inferences: dict[str, Any] = {
        "received": accepted + duplicate + invalid,
        "invalid": invalid,
        "duplicate": duplicate,
        "accepted": accepted,
        "labelled": labelled,
        "unlabelled": accepted - labelled,
        "quarantine": {r: n for r, n in sides["inferences"].items() if r != "duplicate"},
        "flags": dict(
            connection.execute(
                "SELECT flag, count(*) FROM (SELECT unnest(flags) AS flag FROM "
                "narrow.enriched_inferences) GROUP BY 1 ORDER BY 1"
            ).fetchall()
        ),
    }
    flags = connection.execute(
        "SELECT count(*) FILTER (early), count(*) FILTER (other_model_version), "
        "count(*) FILTER (retracted) FROM narrow.attribution"
    ).fetchone() or (0, 0, 0)
    methods = connection.execute(
        "SELECT method, count(*) FROM narrow.attribution WHERE status = 'attributed' "
        "GROUP BY 1 ORDER BY 1"
    ).fetchall()
    ledger = {"received": received, **feedback}
    rows = [("feedback", status, n) for status, n in ledger.items()]
    rows += [
        ("inferences", status, int(inferences[status]))
        for status in ("received", "invalid", "duplicate", "accepted")
    ]
    connection.execute('CREATE TABLE narrow.ledger ("table" VARCHAR, status VARCHAR, n BIGINT)')
    engine.insert(connection, "narrow.ledger", rows)
    unknown = connection.execute(
        "SELECT name, count(*) FROM narrow.feedback WHERE kind IS NULL AND retracts IS NULL "
        "GROUP BY 1 ORDER BY 1"
    ).fetchall()
    return {
        "ledger": ledger,
        "signals_without_kind": dict(unknown),
        "quarantine": {r: n for r, n in sides["feedback"].items() if r not in own},
        "methods": dict(methods),
        "flags": dict(zip(("early", "other_model_version", "retracted"), flags, strict=True)),
        "inferences": inferences,
        "clocks": connection.execute(
            "SELECT source, n, low, high, skew, reason FROM narrow.clocks ORDER BY source"
        )
        .to_arrow_table()
        .to_pylist(),
        "context_quarantine": {
            name: reasons
            for name, reasons in sides.items()
            if name not in ("feedback", "inferences")
        },
    }


#: The relations that have one row for each key.
GRAINS = {
    "inferences": "request_id",
    "feedback": "feedback_id",
    "attribution": "feedback_id",
    "labels": "request_id",
    "enriched_inferences": "request_id",
    "enriched_feedback": "feedback_id",
}


def assert_one(
    connection: duckdb.DuckDBPyConnection, relation: str, condition: str = "true"
) -> None:
    """Refuse rows of ``narrow.RELATION`` of which two have one key.

    Raises
    ------
    DataError
        If there are such rows.
    """
    key = GRAINS[relation]
    counted = (0, 0)
    # Hashes take less memory than texts; where two are equal, the keys themselves decide.
    for value in (f"hash({key})", key):
        counted = connection.execute(
            f"SELECT count(*), count(DISTINCT {value}) FILTER ({key} IS NOT NULL) "
            f"FROM narrow.{relation} WHERE {condition}"
        ).fetchall()[0]
        if counted[0] == counted[1]:
            return
    raise DataError(
        f"{relation} has {counted[0]:,} rows for {counted[1]:,} {key}s.",
        "This is a defect of the workbench; nothing was published. Please report it.",
    )


def assert_grains(connection: duckdb.DuckDBPyConnection, among: str | None = None) -> None:
    """Refuse a build in which a relation has two rows where there must be one.

    Parameters
    ----------
    among
        Where only some rows are new, each of which `assert_one` has seen: relation of the
        ``feedback_id`` of theirs.
    """
    for relation in GRAINS if among is None else ():
        assert_one(connection, relation)
    some = f" AND feedback_id IN (SELECT feedback_id FROM {among})" if among else ""
    unequal = engine.scalar(
        connection,
        "SELECT count(*) FROM (SELECT feedback_id, sum(weight) AS total FROM narrow.credits "
        f"WHERE true{some} GROUP BY 1) c FULL JOIN (SELECT feedback_id FROM narrow.attribution "
        f"WHERE request_id IS NOT NULL{some}) a USING (feedback_id) "
        "WHERE (abs(total - 1) < 1e-9 AND a.feedback_id IS NOT NULL) IS NOT true",
    )
    if unequal:
        raise DataError(
            f"The credits of {unequal:,} events do not add up to 1.",
            "This is a defect of the workbench; nothing was published. Please report it.",
        )
    kept = connection.execute(
        "SELECT (SELECT count(*) FROM narrow.inferences), "
        "(SELECT count(*) FROM narrow.enriched_inferences), "
        "(SELECT count(*) FROM narrow.attribution WHERE status = 'attributed'), "
        "(SELECT count(*) FROM narrow.enriched_feedback)"
    ).fetchone()
    if kept is not None and (kept[0] != kept[1] or kept[2] != kept[3]):
        raise DataError(
            f"The enriched views hold {kept[1]:,} of {kept[0]:,} inferences and {kept[3]:,} of "
            f"{kept[2]:,} attributed events.",
            "This is a defect of the workbench; nothing was published. Please report it.",
        )
