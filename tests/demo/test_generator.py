"""The demo is the same for the same seed, and its files hold what it promises.

Everything is worked out here from the files alone, in plain SQL, so that neither the generator's
bookkeeping nor the build is trusted.
"""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path
from typing import Any

import duckdb
import pytest

from workbench.configuration import load
from workbench.demo import DemoTruth, generate
from workbench.errors import ConfigError


def _digest(folder: Path) -> dict[str, str]:
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


@pytest.fixture(scope="module")
def con(demo: tuple[Path, DemoTruth]) -> duckdb.DuckDBPyConnection:
    """A connection with the demo's files as tables: calls, lines, events, accepted, attributed."""
    folder, _ = demo
    con = duckdb.connect()
    con.execute("SET TimeZone = 'UTC'")
    con.execute(
        f"""
        CREATE TABLE calls AS
          SELECT DISTINCT * EXCLUDE (class_probs)
          FROM '{folder}/logs/inferences/*.parquet' WHERE p_resolved <= 1;
        CREATE TABLE users AS FROM '{folder}/users.parquet';
        CREATE TABLE health AS FROM '{folder}/health.parquet';
        CREATE TABLE lines AS
          SELECT line, parse_filename(filename) AS file
          FROM read_csv('{folder}/logs/feedback/*.jsonl*', columns = {{'line': 'VARCHAR'}},
            delim = '\x01', quote = '', escape = '', header = false, filename = true);
        CREATE TABLE events AS
          SELECT line, file, json_valid(line) AS parses,
            j->>'event_id' AS event_id, j->>'answer_id' AS answer_id,
            j->>'conversation' AS conversation, j->>'customer' AS customer,
            j->>'signal' AS signal, j->>'given' AS given, j->>'fixed_answer' AS fixed_answer,
            j->>'by' AS "by", j->>'version' AS version, j->>'withdraws' AS withdraws,
            TRY_CAST(j->>'at' AS TIMESTAMPTZ) AS "at",
            TRY_CAST(j->>'received' AS TIMESTAMPTZ) AS received
          FROM (SELECT *, TRY_CAST(line AS JSON) AS j FROM lines);
        CREATE TABLE statuses AS
          SELECT *, CASE
            WHEN NOT parses THEN 'not_json'
            WHEN given IS NULL AND fixed_answer IS NULL THEN 'missing_value'
            WHEN "at" IS NULL THEN 'bad_type'
            WHEN "at" < TIMESTAMPTZ '1990-01-01' THEN 'ts_out_of_range'
            WHEN signal = 'stars' AND given::INTEGER NOT BETWEEN 1 AND 5 THEN 'bad_value'
            END AS problem
          FROM events;
        CREATE TABLE accepted AS
          SELECT * FROM statuses WHERE problem IS NULL
          QUALIFY row_number() OVER (PARTITION BY event_id ORDER BY "at", md5(line)) = 1;
        """
    )
    con.execute(
        """
        CREATE TABLE candidates AS
          SELECT e.event_id, c.id, c.created, 1 AS step, 'request_id' AS method
          FROM accepted e JOIN calls c ON c.id = e.answer_id
          UNION ALL
          SELECT e.event_id, c.id, c.created, 2, 'session'
          FROM accepted e JOIN calls c USING (conversation)
          WHERE e.answer_id IS NULL AND c.created BETWEEN e."at" - INTERVAL 1 HOUR AND e."at"
          UNION ALL
          SELECT e.event_id, c.id, c.created, 3, 'user'
          FROM accepted e JOIN calls c USING (customer)
          WHERE e.answer_id IS NULL AND c.created BETWEEN e."at" - INTERVAL 1 HOUR AND e."at";
        CREATE TABLE attributed AS
          WITH latest AS (
            SELECT * FROM candidates
            QUALIFY rank() OVER (PARTITION BY event_id ORDER BY step, created DESC) = 1),
          found AS (
            SELECT event_id, count(*) AS n, any_value(id) AS id, any_value(method) AS method
            FROM latest GROUP BY event_id)
          SELECT a.*, f.id, f.method, CASE WHEN a.by IN ('load-test') THEN 'spam'
            WHEN f.n IS NULL THEN 'orphan' WHEN f.n > 1 THEN 'ambiguous' ELSE 'attributed' END
            AS status
          FROM accepted a LEFT JOIN found f USING (event_id);
        CREATE TABLE deciding AS
          SELECT * FROM attributed WHERE signal = 'resolved' AND status = 'attributed'
            AND event_id NOT IN (SELECT withdraws FROM accepted WHERE withdraws IS NOT NULL)
          QUALIFY row_number() OVER (PARTITION BY id, "by" ORDER BY "at" DESC) = 1;
        CREATE TABLE labelled AS
          SELECT c.*, l.label, u.tier FROM calls c
          LEFT JOIN
            (SELECT id, mode(given)::INTEGER AS label FROM deciding GROUP BY id) l USING (id)
          ASOF LEFT JOIN users u ON u.user_id = c.customer AND c.created >= u.valid_from;
        """
    )
    return con


def _counts(con: duckdb.DuckDBPyConnection, sql: str) -> dict[str, int]:
    return dict(con.execute(sql).fetchall())


def _one(con: duckdb.DuckDBPyConnection, sql: str) -> tuple[Any, ...]:
    row = con.execute(sql).fetchone()
    assert row is not None
    return row


def test_same_seed_same_bytes(tmp_path: Path) -> None:
    first = generate(tmp_path / "a", n=2_000)
    second = generate(tmp_path / "b", n=2_000)
    other = generate(tmp_path / "c", n=2_000, seed=8)
    assert first == second
    assert _digest(tmp_path / "a") == _digest(tmp_path / "b")
    same = {"workbench.toml", "models.csv", "incidents.csv", "knowledge.csv"}
    a, c = _digest(tmp_path / "a"), _digest(tmp_path / "c")
    assert a.keys() == c.keys()
    assert {name for name in a if a[name] == c[name]} == same
    assert first.facts != other.facts


def test_generating_again_replaces_the_files(tmp_path: Path) -> None:
    generate(tmp_path / "a", n=1_500, seed=1)
    generate(tmp_path / "a", n=1_000, seed=2)
    generate(tmp_path / "b", n=1_000, seed=2)
    assert _digest(tmp_path / "a") == _digest(tmp_path / "b")


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_the_smallest_demo_has_every_fault(tmp_path: Path, seed: int) -> None:
    truth = generate(tmp_path, n=1_000, seed=seed)
    assert all(count > 0 for count in truth.ledger.values())
    assert truth.facts["incident"]["inferences"] > 0
    assert truth.facts["overconfident"]["labelled"] > 0


def test_too_small_a_demo_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="too small") as caught:
        generate(tmp_path / "x", n=999)
    assert "1000" in caught.value.hint
    assert not (tmp_path / "x").exists()


def test_the_settings_are_valid(demo: tuple[Path, DemoTruth]) -> None:
    project = load(demo[0])
    assert project.name == "support-assistant"
    assert {context.name for context in project.contexts} <= set(demo[1].facts["contexts"])


def test_a_path_with_spaces_and_quotes(tmp_path: Path) -> None:
    folder = tmp_path / 'it\'s a "demo"'
    generate(folder, n=1_000)
    shutil.copytree(folder, tmp_path / "copy")
    assert load(folder).config_id == load(tmp_path / "copy").config_id


def test_ledger_adds_up(demo: tuple[Path, DemoTruth]) -> None:
    ledger = dict(demo[1].ledger)
    assert ledger.pop("received") == sum(ledger.values())
    assert all(ledger.values())
    # Counts that are equal would hide two statuses that were swapped.
    assert len(set(ledger.values())) == len(ledger)


def test_ledger_is_in_the_files(
    demo: tuple[Path, DemoTruth], con: duckdb.DuckDBPyConnection
) -> None:
    truth = demo[1]
    statuses = _counts(con, "SELECT status, count(*) FROM attributed GROUP BY ALL")
    problems = _counts(con, "SELECT problem, count(*) FROM statuses GROUP BY ALL")
    valid = problems.pop(None)  # type: ignore[call-overload]
    received = _one(con, "SELECT count(*) FROM lines")[0]
    assert problems == {
        name: count
        for name, count in truth.facts["quarantine"].items()
        if name not in ("duplicate", "spam")
    }
    assert truth.ledger == {
        "received": received,
        "invalid": sum(problems.values()),
        "duplicate": valid - sum(statuses.values()),
        **statuses,
    }
    methods = "SELECT method, count(*) FROM attributed WHERE status = 'attributed' GROUP BY ALL"
    assert _counts(con, methods) == truth.facts["methods"]


def test_orphans_and_duplicates_are_of_both_sorts(
    demo: tuple[Path, DemoTruth], con: duckdb.DuckDBPyConnection
) -> None:
    truth = demo[1]
    orphans = _counts(
        con,
        """SELECT if(answer_id IS NULL, 'out_of_window', 'unknown_id'), count(*)
           FROM attributed WHERE status = 'orphan' GROUP BY ALL""",
    )
    assert orphans == truth.facts["orphans"]
    exact, conflicting = _one(
        con,
        """SELECT sum(n - kinds), sum(kinds - 1) FROM (
             SELECT count(*) AS n, count(DISTINCT line) AS kinds
             FROM statuses WHERE problem IS NULL GROUP BY event_id)""",
    )
    assert {"exact": exact, "conflicting": conflicting} == truth.facts["duplicates"]


def test_flags_are_in_the_files(
    demo: tuple[Path, DemoTruth], con: duckdb.DuckDBPyConnection
) -> None:
    truth = demo[1]
    early, late, other, retracted = _one(
        con,
        """SELECT count(*) FILTER (a.at < c.created),
             count(*) FILTER (a.at > c.created + INTERVAL 7 DAY),
             count(*) FILTER (a.version <> c.version),
             count(*) FILTER (a.event_id IN (SELECT withdraws FROM accepted))
           FROM attributed a JOIN calls c USING (id) WHERE status = 'attributed'""",
    )
    flags = {"early": early, "other_model_version": other, "retracted": retracted}
    assert flags == truth.facts["flags"]
    assert late == truth.facts["late"]["events"]


def test_labels_and_contexts_are_in_the_files(
    demo: tuple[Path, DemoTruth], con: duckdb.DuckDBPyConnection
) -> None:
    truth = demo[1]
    accepted, labelled, positive, known = _one(
        con, "SELECT count(*), count(label), sum(label), count(tier) FROM labelled"
    )
    inferences = truth.facts["inferences"]
    assert (accepted, labelled, positive) == (
        inferences["accepted"],
        inferences["labelled"],
        inferences["positive"],
    )
    assert accepted == 20_000
    assert 0.35 < labelled / accepted < 0.45
    assert known == truth.facts["contexts"]["user"] < accepted
    healthy = _one(
        con,
        """SELECT count(*) FROM calls c ASOF JOIN health h
           ON h.version = c.version AND c.created >= h.minute
           WHERE c.created - h.minute <= INTERVAL 10 MINUTE""",
    )[0]
    assert healthy == truth.facts["contexts"]["health"] < accepted


def test_what_happened_after_the_answers_is_in_the_files(
    demo: tuple[Path, DemoTruth], con: duckdb.DuckDBPyConnection
) -> None:
    folder, truth = demo
    con.execute(
        f"""CREATE OR REPLACE TEMP TABLE outcomes AS FROM '{folder}/outcomes.parquet';
        CREATE OR REPLACE TEMP TABLE incidents AS FROM '{folder}/incidents.csv'"""
    )
    incidents = _counts(
        con,
        """SELECT name, count(*) FROM (
             SELECT c.id, arg_max(i.name, i.valid_from) AS name FROM calls c
             JOIN incidents i ON c.created >= i.valid_from AND c.created < i.valid_to
             GROUP BY c.id) GROUP BY ALL""",
    )
    assert incidents == truth.facts["incidents"]
    assert sum(incidents.values()) == truth.facts["contexts"]["incident"]
    until = "(SELECT max(received) FROM attributed WHERE status <> 'spam')"
    touched = f"""
        SELECT c.id, o.amount, c.created + INTERVAL 21 DAY <= {until} AS mature
        FROM outcomes o JOIN calls c ON c.customer = o.customer
          AND o.at BETWEEN c.created AND c.created + INTERVAL 21 DAY
        WHERE o.event = 'purchase' AND greatest(o.at, o.recorded_at) <= {until}
        QUALIFY row_number() OVER (
          PARTITION BY o.customer, o.at, o.amount ORDER BY c.created DESC, c.id DESC) = 1"""
    converted, revenue = _one(
        con, f"SELECT count(DISTINCT id), sum(amount) FROM ({touched}) WHERE mature"
    )
    outcome = truth.facts["outcome"]
    assert (converted, revenue) == (outcome["converted"], pytest.approx(outcome["revenue"]))
    purchases, late = _one(
        con,
        f"""SELECT count(*), count(*) FILTER (recorded_at > {until})
            FROM outcomes WHERE event = 'purchase'""",
    )
    assert (purchases, late) == (outcome["purchases"], outcome["recorded_too_late"])
    reopened = _one(
        con,
        f"""SELECT count(DISTINCT c.id) FROM outcomes o JOIN calls c USING (conversation)
            WHERE o.event = 'ticket_reopened' AND greatest(o.at, o.recorded_at) <= {until}
              AND o.at BETWEEN c.created AND c.created + INTERVAL 7 DAY""",
    )[0]
    assert reopened == truth.facts["contexts"]["reopened"]


def test_claims_are_in_the_answers(demo: tuple[Path, DemoTruth]) -> None:
    """Some contradict the knowledge of their time, those of the newest version most often."""
    folder, truth = demo
    con = duckdb.connect()
    con.execute("SET TimeZone = 'UTC'")
    rows = con.execute(
        f"""
        WITH stated AS (
          SELECT DISTINCT id, created, version,
            regexp_extract(answer, 'window of the (\\w+ plan) is (\\d+) days', 1) AS plan,
            regexp_extract(answer, 'window of the (\\w+ plan) is (\\d+) days', 2) AS days
          FROM '{folder}/logs/inferences/*.parquet'
          WHERE p_resolved <= 1 AND answer LIKE '%refund window of the%'),
        knowledge AS (FROM '{folder}/knowledge.csv')
        SELECT s.version = 'v3' AS newest, coalesce(b.object = s.days, false) AS supported,
          b.object IS NULL AS unknown, count(*) AS n
        FROM stated s
        LEFT JOIN knowledge a ON a.subject = s.plan AND a.predicate = 'refund_policy'
          AND a.recorded_at <= s.created
        LEFT JOIN knowledge b ON b.subject = a.object AND b.predicate = 'window_days'
        GROUP BY ALL"""
    ).fetchall()
    claims = truth.facts["claims"]
    assert sum(n for *_, n in rows) == claims["claims"]
    assert sum(n for _, supported, _, n in rows if supported) == claims["supported"]
    assert sum(n for _, _, unknown, n in rows if unknown) == claims["unknown"]
    wrong = {newest: n for newest, supported, unknown, n in rows if not supported and not unknown}
    assert sum(wrong.values()) == claims["contradicted"]
    assert claims["share"] > 2 * claims["share_elsewhere"] > 0


def test_embeddings_lie_near_their_article(demo: tuple[Path, DemoTruth]) -> None:
    folder, truth = demo
    logged, right, topic = _one(
        duckdb.connect(),
        f"""
        WITH asked AS (
          SELECT DISTINCT ON (id) id, created, article, intent, embedding
          FROM '{folder}/logs/inferences/*.parquet'
          WHERE p_resolved <= 1 AND embedding IS NOT NULL),
        nearest AS (
          SELECT a.*, arg_max(h, list_cosine_similarity(a.embedding::DOUBLE[], h.vector)) AS h
          FROM asked a JOIN '{folder}/handbook.jsonl' h
            ON h.verified_at::TIMESTAMPTZ <= a.created
          GROUP BY ALL)
        SELECT count(*), count(*) FILTER (article = h.article),
          count(*) FILTER (intent = h.topic) FROM nearest""",
    )
    articles = truth.facts["handbook"]
    assert (logged, right, topic) == (
        articles["embedded"],
        articles["same_article"],
        articles["same_topic"],
    )
    assert right > 0.9 * logged


def test_inferences_are_repeated_and_broken_as_told(demo: tuple[Path, DemoTruth]) -> None:
    folder, truth = demo
    received, distinct, broken = _one(
        duckdb.connect(),
        f"""SELECT count(*), count(DISTINCT id), count(*) FILTER (p_resolved > 1)
            FROM '{folder}/logs/inferences/*.parquet'""",
    )
    inferences = truth.facts["inferences"]
    assert received == inferences["received"]
    assert broken == inferences["invalid"]
    assert received - distinct == inferences["duplicate"]


def test_versions_overlap(con: duckdb.DuckDBPyConnection) -> None:
    spans = con.execute(
        "SELECT version, min(created), max(created) FROM calls GROUP BY version ORDER BY version"
    ).fetchall()
    assert [version for version, _, _ in spans] == ["v1", "v2", "v3"]
    assert spans[1][1] < spans[0][2]
    assert spans[2][1] < spans[1][2]


def test_one_version_is_overconfident_for_one_language(
    demo: tuple[Path, DemoTruth], con: duckdb.DuckDBPyConnection
) -> None:
    fault = demo[1].facts["overconfident"]
    rows = con.execute(
        """SELECT version, language, avg(p_resolved - label), count(label) FROM labelled
           WHERE label IS NOT NULL AND created::DATE <> DATE '2026-03-20'
           GROUP BY ALL ORDER BY 3 DESC"""
    ).fetchall()
    assert rows[0][:2] == (fault["model_version"], fault["language"])
    assert rows[0][2] > 0.2
    assert all(abs(gap) < 4 * 0.5 / n**0.5 for _, _, gap, n in rows[1:])


def test_one_cohort_is_silent(demo: tuple[Path, DemoTruth], con: duckdb.DuckDBPyConnection) -> None:
    fault = demo[1].facts["silent"]
    rows = con.execute(
        "SELECT tier, client, count(label) / count(*) FROM labelled GROUP BY ALL ORDER BY 3"
    ).fetchall()
    assert rows[0][:2] == (fault["tier"], fault["device"])
    assert rows[0][2] == pytest.approx(fault["coverage"], rel=1e-12)
    assert rows[0][2] < 0.04
    assert all(0.4 < coverage < 0.65 for _, _, coverage in rows[1:])


def test_one_rater_is_a_bot(demo: tuple[Path, DemoTruth], con: duckdb.DuckDBPyConnection) -> None:
    fault = demo[1].facts["bot"]
    rows = con.execute(
        """SELECT "by", avg((given = 'true')::INTEGER), count(*),
             avg(((given = 'true')::INTEGER = label)::INTEGER)
           FROM attributed JOIN labelled USING (id)
           WHERE signal = 'thumb' AND status = 'attributed' GROUP BY ALL HAVING count(*) >= 50
           ORDER BY 2 DESC"""
    ).fetchall()
    assert rows[0][:3] == (fault["rater_id"], 1.0, fault["events"])
    assert all(up < 0.75 and agreement > 0.8 for _, up, _, agreement in rows[1:])
    assert rows[0][3] == pytest.approx(fault["agreement"], rel=1e-12)
    assert rows[0][3] < 0.65
    steps = con.execute(
        f"""SELECT DISTINCT epoch_ms("at") - lag(epoch_ms("at")) OVER (ORDER BY "at")
            FROM attributed WHERE "by" = '{fault["rater_id"]}'"""
    ).fetchall()
    assert sorted(step for (step,) in steps if step) == [fault["seconds_between"] * 1000]


def test_one_deploy_broke_the_answers(
    demo: tuple[Path, DemoTruth], con: duckdb.DuckDBPyConnection
) -> None:
    fault = demo[1].facts["incident"]
    bad_hours = con.execute(
        """SELECT min(created), max(created), count(*), avg(label) FROM labelled c
           ASOF JOIN health h ON h.version = c.version AND c.created >= h.minute
           WHERE h.error_rate > 0.1"""
    ).fetchone()
    assert bad_hours is not None
    first, last, calls, resolved = bad_hours
    assert fault["start"] <= first.isoformat().replace("+00:00", "Z")
    assert last.isoformat().replace("+00:00", "Z") < fault["end"]
    assert calls == fault["inferences"]
    assert resolved == pytest.approx(fault["resolved"], rel=1e-12)
    assert resolved < 0.2 < 0.5 < fault["resolved_elsewhere"]


def test_several_agents_judge_some_answers(con: duckdb.DuckDBPyConnection) -> None:
    several, raters = _one(
        con,
        """SELECT count(*), max(raters) FROM (
             SELECT count(DISTINCT "by") AS raters FROM deciding
             GROUP BY id HAVING count(*) > 1)""",
    )
    assert several > 500
    assert raters == 3
