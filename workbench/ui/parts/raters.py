"""The parts of the Raters page."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import streamlit as st

from workbench import charts
from workbench.engine import literal
from workbench.query import Build
from workbench.ui import data_raters, state
from workbench.ui.parts import words
from workbench.ui.parts.cards import chart_card
from workbench.ui.parts.controls import BOUND
from workbench.ui.parts.rows import LIMIT, mark_choice, rows_behind

Row = dict[str, Any]

#: Raters that a chart shows at most, and a side of the map of pairs.
_MOST, _MOST_SIDE = 15, 25
_RATERS = (
    "Kappa is the agreement with the other raters of the same inferences, less what chance would "
    "give: 1 is always, 0 is no better than chance. Reliability is how often a rater says what the "
    "consensus of all says, where better raters count for more (Dawid and Skene). One sign of a "
    "bot is a reason to look; two together are no coincidence. To leave a rater out, write "
    "`spam = \"rater_id IN ('...')\"` under `[feedback]` in `workbench.toml`."
)
_MEASURES = (
    "All of them are agreement beyond chance. Krippendorff's alpha takes any number of raters and "
    "missing values: `nominal` asks whether values are equal, the other levels how far apart they "
    "are. Fleiss' kappa is of the inferences that equally many raters judged. From 0.8 on, labels "
    "are usually relied upon; below 0.67, look at the question that raters are asked first."
)
_PAIRS = (
    "Cohen's kappa of each two raters with ten inferences in common. A rater whose row and column "
    "are pale agrees with nobody. With few common inferences the interval is wide: the table has "
    "it. Click a square to read what both judged."
)
_POLICIES = (
    "Each policy turns the same events into labels. The share that changes says how much the "
    "labels owe to the rule rather than to the raters; where it is large, read the inferences "
    "behind it before choosing. A tie is a label that a policy leaves open."
)


def table(source: Build, rows: Sequence[Row], condition: str | None) -> None:
    """Draw every rater, and who looks like a bot."""
    for row in rows:
        if row["n_signs"]:
            verdict = "looks like a bot" if row["flagged"] else "is worth a look"
            st.warning(
                f"**{words.code(row['rater_id'])}** ({row['name']}) {verdict}: {row['reason']}.",
                icon=":material/smart_toy:",
            )
    st.dataframe(
        [{name: row[name] for name in _SHORT} for row in rows],
        hide_index=True,
        alt="Every rater: events, agreement with others, reliability, and what is odd.",
    )
    drawn = [
        {"name": row["mark"], "value": row["kappa"], "low": row["kappa_low"],
         "high": row["kappa_high"], "n": row["n_shared"]}
        for row in rows[:_MOST]
    ]  # fmt: skip
    total = sum(row["n"] for row in rows)
    told = f"{words.plural(len(rows), 'rater')} with 20 events or more, {total:,} events."
    if len(rows) > _MOST:
        told += f" The first {_MOST} are drawn."
    chart_card(
        charts.intervals(
            drawn, what="Agreement with the other raters (kappa)", reference=0.0, said="chance"
        ),
        [_listed(row) for row in rows],
        key="raters",
        on_pick=state.pick_from("raters", "rater"),
        said=told,
        sql=data_raters.raters_sql(source, condition),
        guides=("agreement",),
        also=_RATERS,
    )
    marks = {row["mark"]: row for row in rows}
    rater = mark_choice("rater", marks, "Rows of the rater")
    if rater:
        _behind(source, condition, [marks[rater]["rater_id"]], marks[rater]["name"], "rater")


_SHORT = (
    "rater_id", "name", "n", "n_shared", "agreement", "kappa", "reliability", "n_signs", "reason",
)  # fmt: skip
_COLUMNS = (
    "rater_id", "name", "n", "n_shared", "agreement", "kappa", "kappa_low", "kappa_high",
    "reliability", "reliability_low", "reliability_high", "n_consensus", "n_signs",
)  # fmt: skip


def _listed(row: Row) -> Row:
    signs = {sign["sign"]: sign for sign in row["signs"]}
    return (
        {name: row[name] for name in _COLUMNS}
        | {name: sign["value"] for name, sign in signs.items()}
        | {f"{name} p": sign["p_value"] for name, sign in signs.items()}
        | {"reason": row["reason"]}
    )


def _behind(source: Build, condition: str | None, raters: list[str], signal: str, key: str) -> None:
    rows_behind(
        source,
        condition,
        data_raters.judged_by(raters, signal),
        f"that {' and '.join(raters)} judged ({signal})",
        key=key,
        table=lambda: data_raters.events(source, raters, signal, condition, LIMIT),
    )


def agreement(source: Build, condition: str | None) -> None:
    """Draw how far raters agree by signal, and by pair."""
    st.header("How far raters agree")
    rows = data_raters.agreement(source, condition)
    whole = [row for row in rows if row["metric"] != "cohen_kappa"]
    drawn = [
        {**row, "name": f"{words.metric_name(row['metric'])}{_level(row)} · {row['name']}"}
        for row in whole
    ]
    undefined = {words.rater_reason(row["reason"]) for row in whole if row["reason"]}
    said = "Inferences with values of two raters: " + ", ".join(
        f"{row['n']:,} of {row['n_labelled']:,} ({row['name']})"
        for row in whole
        if row["metric"].startswith("krippendorff_alpha(level='nominal'")
    )
    said += f". Not defined: {', '.join(sorted(undefined))}." if undefined else "."
    sql = data_raters.agreement_sql(source, condition)
    chart_card(
        charts.intervals(
            drawn, what="Agreement beyond chance", reference=0.0, said="what chance gives"
        ),
        [{name: row[name] for name in _MEASURED} for row in whole],
        key="measures",
        said=said,
        sql=sql,
        guides=("agreement",),
        also=_MEASURES,
    )
    pairs = [row for row in rows if row["metric"] == "cohen_kappa"]
    signals = list(dict.fromkeys(row["name"] for row in pairs))
    if signals:
        state.drop_unless("signal", signals)
        signal = st.selectbox("Signal", signals, key="signal", bind=BOUND, width=260)
        _map(source, [row for row in pairs if row["name"] == signal], str(signal), condition, sql)


_MEASURED = ("metric", "name", "value", "low", "high", "n", "n_labelled", "n_raters", "reason")
_PAIRED = ("rater_a", "rater_b", "value", "low", "high", "n", "reason")


def _level(row: Row) -> str:
    level = row["metric"].partition("'")[2].partition("'")[0]
    return f" ({level})" if level else ""


def _map(source: Build, pairs: Sequence[Row], signal: str, condition: str | None, sql: str) -> None:
    common: dict[str, int] = {}
    for row in pairs:
        for side in ("rater_a", "rater_b"):
            common[row[side]] = common.get(row[side], 0) + row["n"]
    busiest = set(sorted(common, key=lambda name: (-common[name], name))[:_MOST_SIDE])
    drawn = [row for row in pairs if {row["rater_a"], row["rater_b"]} <= busiest]
    said = f"{words.plural(len(pairs), 'pair')} with ten inferences in common or more."
    if len(drawn) < len(pairs):
        said += f" Those of the {_MOST_SIDE} busiest raters are drawn."
    chart_card(
        charts.kappas(drawn, signal=signal),
        [{name: row[name] for name in _PAIRED} for row in pairs],
        key="pairs",
        on_pick=state.pick_from("pairs", "pair"),
        said=said,
        sql=sql,
        guides=("agreement",),
        also=_PAIRS,
    )
    marks = {row["mark"]: row for row in drawn}
    pair = mark_choice("pair", marks, "Rows of the pair")
    if pair:
        both = [marks[pair]["rater_a"], marks[pair]["rater_b"]]
        _behind(source, condition, both, signal, "pair")


def policies(source: Build) -> None:
    """Draw how labels would change under each policy."""
    st.header("What labels owe to the policy")
    rows = data_raters.policies(source)
    configured = next(row["policy"] for row in rows if row["configured"])
    known = [row for row in rows if not row["reason"]]
    if not known:
        st.info("No inference has a label yet, so no policy changes one.")
        return
    chart_card(
        charts.intervals(
            [{**row, "name": row["policy"], "value": row["share_changed"]} for row in known],
            what="Labels that would be other ones",
            percent=True,
        ),
        rows,
        key="policies",
        on_pick=state.pick_from("policies", "policy"),
        said=f"Of {words.plural(known[0]['n'], 'inference')} with deciding feedback, whatever the "
        f"filters say. In force: {words.code(configured)}.",
        sql=data_raters.policy_sql(source, configured),
        also=_POLICIES,
    )
    if len(known) < len(rows):
        st.markdown(
            "**No weights.** To let votes count for as much as their raters can be believed, fit "
            'them: `workbench fit raters`; then set `policy = "rater_weighted"` and type '
            "`workbench build`."
        )
    marks = [row["policy"] for row in known if row["n_changed"]]
    policy = mark_choice("policy", marks, "Labels that change under")
    if policy:
        ids = data_raters.changed(source, policy)
        where = f"request_id IN ({', '.join(map(literal, ids))})"
        rows_behind(source, None, where, f"with another label under {policy}", key="policy")
