"""How ``workbench metrics --raters``, ``--agreement`` and ``--policies`` are printed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from workbench.cli._common import print_json, print_table, say
from workbench.errors import ConfigError

if TYPE_CHECKING:
    from workbench.handle import Workbench

#: Raters and pairs in a table on a terminal; --json has all.
_MOST = 40


def check_options(
    asked: str, only: Sequence[str], by: Sequence[str], where: str | None,
    gates: Sequence[str], least: int | None,
) -> None:  # fmt: skip
    """Refuse options that would be ignored.

    Raises
    ------
    ConfigError
        If one of them belongs to another answer.
    """
    if by or (only and asked != "agreement"):
        raise ConfigError(
            f"--{asked} has rows of its own and takes no --by"
            + (" or --only." if asked != "agreement" else "."),
            "Choose rows with --where." if asked != "policies" else "Leave it out.",
        )
    if asked == "policies" and (where or least is not None):
        raise ConfigError("--policies is about all labels.", "Leave --where and --least out.")
    if gates:
        raise ConfigError(
            f"--fail-if is about inferences, --{asked} about feedback.", "Ask for one at a time."
        )


def print_raters(
    workbench: Workbench,
    asked: str,
    only: Sequence[str],
    where: str | None,
    least: int | None,
    as_json: bool,
) -> None:
    """The answer that was asked for: ``raters``, ``agreement`` or ``policies``."""
    given = {} if least is None else {"least": least}
    if asked == "raters":
        rows, show = workbench.raters(where=where, **given), _raters
    elif asked == "agreement":
        rows, show = workbench.agreement(only, where=where, **given), _agreement
    else:
        rows, show = workbench.policies(), _policies
    if as_json:
        print_json(rows)
    else:
        show(rows)


def _cut(rows: Sequence[dict[str, Any]]) -> Sequence[dict[str, Any]]:
    if len(rows) > _MOST:
        say(f"The first {_MOST} of {len(rows):,} rows; --json has all.")
    return rows[:_MOST]


def _raters(rows: Sequence[dict[str, Any]]) -> None:
    names = (
        "rater_id", "name", "n", "n_shared", "agreement", "kappa", "kappa_low", "kappa_high",
        "reliability", "n_signs",
    )  # fmt: skip
    print_table(names, [[row[name] for name in names] for row in _cut(rows)])
    for row in rows:
        if row["n_signs"]:
            verdict = "looks like a bot" if row["flagged"] else "is worth a look"
            say(f"{row['rater_id']} ({row['name']}) {verdict}: {row['reason']}.")


def _agreement(rows: Sequence[dict[str, Any]]) -> None:
    names = ("name", "rater_a", "rater_b")
    values = ("value", "low", "high", "n", "n_raters", "reason")
    rows = _cut(sorted(rows, key=lambda row: row["metric"] == "cohen_kappa"))
    print_table(
        ("metric", *names, *values),
        [
            [row["metric"], *(row["by"].get(n) for n in names), *(row[n] for n in values)]
            for row in rows
        ],
    )


def _policies(rows: Sequence[dict[str, Any]]) -> None:
    names = (
        "policy", "n", "n_labelled", "n_changed", "share_changed", "n_tie", "reward_mean",
        "reward_low", "reward_high", "reason",
    )  # fmt: skip
    print_table(
        ("in force", *names),
        [["*" if row["configured"] else None, *(row[name] for name in names)] for row in rows],
    )
    if any(row["reason"] == "no_weights" for row in rows):
        say("rater_weighted needs weights: workbench fit raters")
