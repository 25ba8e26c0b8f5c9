"""What a mapped row must hold, and what the workbench fills in, as SQL made from the contract."""

from __future__ import annotations

import re
from collections.abc import Mapping

from workbench import contract
from workbench.engine import identifier
from workbench.formulas import LEAST_LOGPROB, LOGPROB_TOLERANCE
from workbench.ingest import casts
from workbench.project import Source


def rules_of(source: Source, columns: Mapping[str, contract.Column]) -> list[tuple[str, str, str]]:
    """Reason, field and condition of each check, in the order in which they are reported."""
    rules: list[tuple[str, str, str]] = []
    optional = {"feedback_id", "ingested_at"}
    if source.clock == "none":
        optional.add("ts")
    if source.table == "feedback":
        optional.add("name")
        rules += _feedback_rules(source)
    rules += [
        ("missing_value", name, f"{identifier(name)} IS NULL")
        for name, column in columns.items()
        if column.required and name not in optional
    ]
    rules += [
        ("ts_out_of_range", name, f"NOT ({casts.time_in_range(identifier(name))})")
        for name, column in columns.items()
        if column.type == "TIMESTAMP WITH TIME ZONE"
    ]
    rules += [
        (
            "not_allowed" if re.search(r" IN \(|\w = ", column.check) else "out_of_range",
            name,
            f"NOT ({_check_of(column)})",
        )
        for name, column in columns.items()
        if column.check
    ]
    return rules


def _check_of(column: contract.Column) -> str:
    """A column's CHECK; of a list it is about the values that are not NaN, which sort above all.

    A CHECK cannot say that itself: DuckDB allows no lambda in it.
    """
    values = identifier(column.name)
    number = "lambda v: NOT isnan(v)"
    if column.type == "DOUBLE[]":
        values = f"list_filter({values}, {number})"
    elif column.type == "DOUBLE[][]":
        values = f"list_transform({values}, lambda l: list_filter(l, {number}))"
    else:
        return str(column.check)
    return re.sub(rf"\b{column.name}\b", lambda _: values, str(column.check))


def _feedback_rules(source: Source) -> list[tuple[str, str, str]]:
    says = "coalesce(value, corrected_output, retracts) IS NULL"
    both = "(chosen_id IS NULL OR rejected_id IS NULL)"
    rules = [
        ("missing_value", "name", "name IS NULL AND retracts IS NULL"),
        ("missing_value", "value", f"{says} AND {both}"),
        (
            "missing_value",
            "session_id",
            "scope IN ('session', 'conversation') AND session_id IS NULL AND request_id IS NULL",
        ),
        (
            "missing_value",
            "trace_id",
            "scope = 'trace' AND trace_id IS NULL AND request_id IS NULL",
        ),
    ]
    if not source.optional_request_id:
        rules.append(
            (
                "missing_value",
                "request_id",
                "request_id IS NULL AND coalesce(scope, 'inference') = 'inference' "
                "AND retracts IS NULL AND chosen_id IS NULL AND rejected_id IS NULL",
            )
        )
    return rules


def defaults(source: Source, inputs: Mapping[str, object]) -> tuple[str, dict[str, str]]:
    """SQL of the flags of a row, and of each column that the workbench fills in."""
    if source.table == "feedback":
        identity = ", ".join(
            f"{identifier(name)} := {identifier(name)}"
            for name in sorted(inputs)
            if name not in ("feedback_id", "received_at")
        )
        # The patch drops missing fields, so that an event is itself whatever it is read with.
        content = f"CAST(json_merge_patch('{{}}', to_json(struct_pack({identity}))) AS VARCHAR)"
        return "CAST(NULL AS VARCHAR[])", {
            "feedback_id": f"coalesce(feedback_id, md5({content}))",
            "name": "coalesce(name, 'retraction')",
            "received_at": "coalesce(received_at, ts)",
            "scope": "coalesce(scope, 'inference')",
            "schema_version": f"coalesce(schema_version, {contract.FEEDBACK_SCHEMA_VERSION})",
        }
    if source.table != "inferences" or "token_logprobs" not in inputs:
        return "CAST(NULL AS VARCHAR[])", {}
    bad = (
        f"len(list_filter(token_logprobs, lambda p: p < {LEAST_LOGPROB} "
        f"OR p > {LOGPROB_TOLERANCE} OR isnan(p))) > 0"
    )
    flags = f"CASE WHEN {bad} THEN ['token_logprobs:sentinel'] END"
    return flags, {"token_logprobs": f"CASE WHEN {bad} THEN NULL ELSE token_logprobs END"}
