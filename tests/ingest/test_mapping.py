"""From the columns of a source to those of the contract: by name, by expression, by a query."""

from __future__ import annotations

import csv
import json
import sqlite3
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.ingest.folder import PLAIN, START, Folder, event, inference, lines

_FIRST = datetime.fromtimestamp(START, UTC)


def _make(path: Path, inferences: str = "", feedback: str = "") -> Folder:
    """A project with more lines under ``[inferences]`` and ``[feedback]``."""
    config = PLAIN.replace('source = "logs"\n', f'source = "logs"\n{inferences}\n')
    return Folder.make(
        path / "project", config.replace('source = "events"\n', f'source = "events"\n{feedback}\n')
    )


def _table(rows: list[dict[str, Any]]) -> str:
    """Rows as CSV; every row has the columns of the first."""
    header = list(rows[0])
    return "".join(
        ",".join(str(cell) for cell in cells) + "\n"
        for cells in [header, *([row[name] for name in header] for row in rows)]
    )


# --- several files ----------------------------------------------------------------------------


def test_files_with_different_columns(tmp_path: Path) -> None:
    folder = _make(tmp_path, 'columns = { output = "answer", latency_ms = "seconds * 1000" }')
    folder.write("logs/a.csv", f"request_id,ts,model_version,answer,seconds\nr0,{START},v1,yes,2\n")
    folder.write(
        "logs/b.csv", f"seconds,answer,model_version,extra,ts,request_id\n0.5,no,v2,x,{START},r1\n"
    )
    folder.write("logs/c.jsonl", lines([inference(2, answer="may be", seconds=1, depth=3)]))
    folder.build()
    # A column that a later file lacks is missing there, not an error.
    folder.write("logs/d.csv", f"request_id,ts,model_version\nr3,{START},v1\n")
    folder.write("logs/e.jsonl", lines([inference(4)]))
    folder.build()
    assert folder.ask(
        "SELECT request_id, output, latency_ms, metadata FROM inferences ORDER BY 1"
    ) == [
        ("r0", "yes", 2000.0, None),
        ("r1", "no", 500.0, '{"extra":"x"}'),
        ("r2", "may be", 1000.0, '{"depth":3}'),
        ("r3", None, None, None),
        ("r4", None, None, None),
    ]
    assert folder.refused() == []


def test_a_column_that_only_files_of_another_format_have(tmp_path: Path) -> None:
    folder = _make(tmp_path, 'columns = { output = "answer", latency_ms = "seconds * 1000" }')
    folder.write("logs/a.csv", f"request_id,ts,model_version\nr0,{START},v1\n")
    folder.write("logs/b.jsonl", lines([inference(1, answer="yes", seconds=2)]))
    folder.build()
    assert folder.ask("SELECT request_id, output, latency_ms FROM inferences ORDER BY 1") == [
        ("r0", None, None), ("r1", "yes", 2000.0),
    ]  # fmt: skip
    assert folder.refused() == []


def test_one_column_with_different_types_in_two_files(tmp_path: Path) -> None:
    folder = _make(tmp_path, 'columns = { prediction = "answer" }')
    folder.write("logs/a.jsonl", lines([inference(0, answer=1)]))
    folder.write("logs/b.jsonl", lines([inference(1, answer="one"), inference(2, answer=[1])]))
    folder.build()
    assert folder.ask("SELECT request_id, prediction FROM inferences ORDER BY 1") == [
        ("r0", "1"), ("r1", "one"), ("r2", "[1]"),
    ]  # fmt: skip


def test_parquet_files_with_different_columns(tmp_path: Path) -> None:
    folder = _make(tmp_path)
    (folder.path / "logs").mkdir()
    for name, more in (("a", ", 0.5::FLOAT AS confidence"), ("b", ", [0.1, 0.9] AS probabilities")):
        duckdb.sql(
            f"SELECT 'r{name}' AS request_id, make_timestamptz({START}000000) AS ts, "
            f"'v1' AS model_version{more}"
        ).write_parquet(str(folder.path / f"logs/{name}.parquet"))
    folder.build()
    assert folder.ask(
        "SELECT request_id, ts, confidence, probabilities FROM inferences ORDER BY 1"
    ) == [("ra", _FIRST, 0.5, None), ("rb", _FIRST, None, [0.1, 0.9])]


# --- JSON -------------------------------------------------------------------------------------


def test_json_arrays_and_objects(tmp_path: Path) -> None:
    folder = _make(tmp_path)
    folder.write("logs/a.json", json.dumps([inference(0), inference(1)], indent=2))
    folder.write("logs/b.json", json.dumps([inference(2), "not an object", inference(3)]))
    folder.write("logs/c.json", json.dumps(inference(4), indent=2))
    folder.write("logs/d.json", lines([inference(5), inference(6)]))
    folder.write("logs/e.json", "[]")
    folder.build()
    assert folder.ids() == [f"r{n}" for n in range(7)]
    assert folder.refused() == [("not_json", None, 2, '"not an object"')]


def test_nested_values_by_bare_name_keep_their_text(tmp_path: Path) -> None:
    folder = _make(tmp_path, 'columns = { input = "messages", params = "options" }')
    messages = (
        '[{"role": "user",  "content":"grüß \\u00fc 🎉", "n": 1.0, "big": 12345678901234567890123}]'
    )
    folder.write(
        "logs/a.jsonl",
        f'{{"request_id":"r0","ts":{START},"model_version":"v1","messages":{messages},'
        '"options":{"b":1,"a":null,"b2":[ ]}}\n',
    )
    folder.build()
    [(given, params)] = folder.ask("SELECT input, params FROM inferences")
    assert json.loads(given) == json.loads(messages)
    assert "12345678901234567890123" in given
    assert params.replace(" ", "") == '{"b":1,"a":null,"b2":[]}'


def test_nested_values_in_expressions(tmp_path: Path) -> None:
    folder = _make(
        tmp_path,
        """columns = { input_tokens = "usage.input_tokens",
        output_tokens = "usage->>'output_tokens'",
        output = "choices[1].message.content", tags = "list_transform(labels, lambda l: upper(l))",
        confidence = "exp(usage.logprob)" }""".replace("\n        ", " "),
    )
    row = {
        "usage": {"input_tokens": 12, "output_tokens": 34, "logprob": 0.0},
        "choices": [{"message": {"content": "hello"}}],
        "labels": ["a", "b"],
    }
    other = {"usage": {"input_tokens": 5}, "choices": [], "labels": None}
    folder.write("logs/a.jsonl", lines([inference(0, **row), inference(1, **other), inference(2)]))
    folder.build()
    assert folder.ask(
        "SELECT request_id, input_tokens, output_tokens, output, tags, confidence "
        "FROM inferences ORDER BY 1"
    ) == [
        ("r0", 12, 34, "hello", ["A", "B"], 1.0),
        ("r1", 5, None, None, None, None),
        ("r2", None, None, None, None, None),
    ]


def test_what_no_field_took_lands_in_metadata(tmp_path: Path) -> None:
    folder = _make(tmp_path, 'columns = { output = "answer", input = "upper(question)" }')
    extra = {"región": "süd", "nested": {"a": [1, None]}, "zero": 0, "no": None, 'a b"c': True}
    folder.write("logs/a.jsonl", lines([inference(0, answer="x", question="why", **extra)]))
    folder.write(
        "logs/b.csv",
        f"request_id,ts,model_version,code,gone,answer,question\nr1,{START},v1,007,,x,why\n",
    )
    folder.build()
    found = dict(folder.ask("SELECT request_id, metadata FROM inferences"))
    rest = {key: value for key, value in json.loads(found["r0"]).items() if value is not None}
    assert rest == {key: value for key, value in extra.items() if value is not None}
    assert json.loads(found["r1"]) in ({"code": "007"}, {"code": "007", "gone": None})


_MAPPED = [
    ({"a": 1, "deep": {"b": [1.10, None]}}, {"a": 1, "deep": {"b": [1.1, None]}}),
    ({"colour": "mapped", "spät": ""}, {"colour": "mapped", "spät": ""}),
    ({}, {}),
    ("a text: {", {"metadata": "a text: {"}),
    ([1, {"colour": 2}], {"metadata": [1, {"colour": 2}]}),
    (None, {}),
]


@pytest.mark.parametrize("form", ["jsonl", "csv", "parquet", "sqlite"])
def test_what_no_field_took_joins_a_mapped_metadata(form: str, tmp_path: Path) -> None:
    folder = _make(tmp_path, f'columns = {{ metadata = "extra" }}\nformat = "{form}"')
    rest = [{"colour": f"c{n}", "spät": "ja", "t": None} for n in range(len(_MAPPED))]
    rows = [
        inference(n, extra=mapped, **rest[n])
        if form == "jsonl"
        # Elsewhere an object is a text of JSON.
        else inference(n, extra=_text(mapped), **rest[n])
        for n, (mapped, _) in enumerate(_MAPPED)
    ]
    # Nothing is left over of the last one.
    rows.append(inference(9, extra="alone", **dict.fromkeys(rest[0])))
    _written_as(form, rows, folder.path / "logs")
    folder.build()
    found = dict(folder.ask("SELECT request_id, metadata FROM inferences"))
    assert found.pop("r9") == "alone"
    for n, (_, mapped) in enumerate(_MAPPED):
        kept = {key: value for key, value in json.loads(found[f"r{n}"]).items() if value != None}  # noqa: E711
        own = {k: v for k, v in rest[n].items() if v is not None}
        assert kept == {
            **{f"column.{k}" if k in mapped else k: v for k, v in own.items()},
            **mapped,
        }


def _text(value: object) -> object:
    return json.dumps(value, ensure_ascii=False) if isinstance(value, dict | list) else value


def _written_as(form: str, rows: list[dict[str, Any]], place: Path) -> None:
    place.mkdir()
    if form == "jsonl":
        (place / "a.jsonl").write_text(lines(rows))
    elif form == "sqlite":
        with closing(sqlite3.connect(place / "a.db")) as database, database:
            database.execute(f"CREATE TABLE calls ({', '.join(rows[0])})")
            database.executemany(
                f"INSERT INTO calls VALUES ({', '.join('?' * len(rows[0]))})",
                [list(row.values()) for row in rows],
            )
    elif form == "csv":
        with (place / "a.csv").open("w", newline="") as file:
            writer = csv.DictWriter(file, rows[0].keys())
            writer.writeheader()
            writer.writerows(rows)
    else:
        pq.write_table(pa.Table.from_pylist(rows), place / "a.parquet")


# --- texts that look like numbers -------------------------------------------------------------


@pytest.mark.parametrize("form", ["jsonl", "csv"])
def test_leading_zeros_and_big_integers_are_kept(tmp_path: Path, form: str) -> None:
    folder = _make(tmp_path, 'columns = { prediction = "code", cohort = "number" }')
    big, beyond = 9007199254740993, 12345678901234567890123
    row = {"ts": START, "model_version": "1.10", "code": "007", "number": big}
    rows = [
        {"request_id": "000", **row},
        {"request_id": big, **row, "number": beyond},
        {"request_id": beyond, **row},
    ]
    folder.write(f"logs/a.{form}", lines(rows) if form == "jsonl" else _table(rows))
    folder.build()
    assert folder.ask(
        "SELECT request_id, model_version, prediction, cohort FROM inferences "
        "ORDER BY length(request_id)"
    ) == [
        ("000", "1.10", "007", str(big)),
        (str(big), "1.10", "007", str(beyond)),
        (str(beyond), "1.10", "007", str(big)),
    ]


def test_csv_columns_have_types_in_expressions(tmp_path: Path) -> None:
    folder = _make(
        tmp_path,
        """columns = { latency_ms = "seconds * 1000", device = "if(mobile, 'phone', 'desk')",
        channel = "code || '!'", step = "year(day)", cost = "coalesce(price, 0) + 1",
        tags = "string_split(list, '|')", cohort = "typeof(mixed)" }""".replace("\n        ", " "),
    )
    folder.write(
        "logs/a.csv",
        "request_id,ts,model_version,seconds,mobile,code,day,price,list,mixed\n"
        f"r0,{START},v1,2,true,007,2026-01-02,0.5,a|b,1\n"
        f"r1,{START},v1,1e3,FALSE,010,2025-01-02 10:00:00,,c,one\n",
    )
    folder.build()
    assert folder.ask(
        "SELECT request_id, latency_ms, device, channel, step, cost, tags, cohort "
        "FROM inferences ORDER BY 1"
    ) == [
        ("r0", 2000.0, "phone", "007!", 2026, 1.5, ["a", "b"], "VARCHAR"),
        ("r1", 1e6, "desk", "010!", 2025, 1.0, ["c"], "VARCHAR"),
    ]


def test_names_are_found_without_regard_to_case(tmp_path: Path) -> None:
    folder = _make(tmp_path, 'columns = { output = "answer text", request_id = "ID" }')
    folder.write("logs/a.csv", f"id,TS,Model_Version,Answer Text\nr0,{START},v1,yes\n")
    folder.write("workbench.toml", (folder.path / "workbench.toml").read_text().replace(
        'request_id = "ID"', 'request_id = "ID", ts = "ts", model_version = "model_version"'
    ))  # fmt: skip
    folder.build()
    assert folder.ask("SELECT request_id, ts, output FROM inferences") == [("r0", _FIRST, "yes")]


# --- the query before the mapping -------------------------------------------------------------

TURNS = '''
sql = """
  SELECT task.id || '-' || turn.n AS request_id, 'v1' AS model_version, turn.at AS ts,
         turn.text AS output, source_row, source_file
  FROM source, unnest(turns) AS u(turn)
"""
'''


def test_a_query_unnests(tmp_path: Path) -> None:
    folder = _make(tmp_path, TURNS)
    for name, number in (("a", 0), ("b", 1)):
        turns = [{"n": n, "text": f"t{n}", "at": START + n} for n in range(2)]
        bad = [{"n": 9, "text": "no time", "at": None}]
        rows = [
            {"task": {"id": f"{name}{number}"}, "turns": turns},
            {"task": {"id": f"{name}x"}, "turns": bad},
        ]
        folder.write(f"logs/{name}.jsonl", lines(rows) + "not json\n")
    folder.build()
    assert folder.ask("SELECT request_id, output FROM inferences ORDER BY 1") == [
        ("a0-0", "t0"), ("a0-1", "t1"), ("b1-0", "t0"), ("b1-1", "t1"),
    ]  # fmt: skip
    assert folder.ask(
        "SELECT source_file, source_row, reason, field FROM quarantine ORDER BY 1, 2"
    ) == [
        ("logs/a.jsonl", 2, "missing_value", "ts"),
        ("logs/a.jsonl", 3, "not_json", None),
        ("logs/b.jsonl", 2, "missing_value", "ts"),
        ("logs/b.jsonl", 3, "not_json", None),
    ]
    raws = folder.ask("SELECT raw FROM quarantine WHERE reason = 'missing_value'")
    assert all("no time" in raw for (raw,) in raws)


def test_a_query_gives_constants_and_row_numbers(tmp_path: Path) -> None:
    folder = _make(
        tmp_path,
        "sql = \"SELECT *, 'v' || source_row AS model_version, "
        "source_file || ':' || source_row AS request_id FROM source\"",
    )
    folder.write("logs/a.csv", f"ts,output\n{START},x\n{START},y\n")
    folder.write("logs/b.csv", f"ts,output\n{START},z\n")
    folder.build()
    expected = [
        ("logs/a.csv:2", "v2", "x"), ("logs/a.csv:3", "v3", "y"), ("logs/b.csv:2", "v2", "z"),
    ]  # fmt: skip
    query = "SELECT request_id, model_version, output FROM inferences ORDER BY 1"
    assert folder.ask(query) == expected
    # A file that grew goes on counting, so that made-up ids stay apart.
    folder.append("logs/a.csv", f"{START},w\n")
    folder.build()
    assert folder.ask(query) == sorted([*expected, ("logs/a.csv:4", "v4", "w")])


def test_a_query_and_a_mapping_after_it(tmp_path: Path) -> None:
    folder = _make(
        tmp_path,
        feedback="""columns = { name = "'copied'", value = "CASE WHEN n > 0 THEN 1 ELSE 0 END" }
clock = "none"
sql = "SELECT request_id, feedback_id, len(copies) AS n FROM source"
""",
    )
    folder.write("logs/a.jsonl", lines(inference(n) for n in range(2)))
    folder.write(
        "events/first.jsonl",
        lines(
            {"request_id": f"r{n}", "feedback_id": f"c{n}", "copies": ["x"] * n} for n in range(2)
        ),
    )
    folder.build()
    assert folder.ask("SELECT feedback_id, name, value, ts FROM feedback ORDER BY 1") == [
        ("c0", "copied", "0", None), ("c1", "copied", "1", None),
    ]  # fmt: skip


# --- sources without time ---------------------------------------------------------------------


def test_sources_without_a_clock(tmp_path: Path) -> None:
    folder = _make(tmp_path, 'clock = "none"', 'clock = "none"')
    calls = [{"request_id": f"r{n}", "model_version": "v1"} for n in range(2)]
    folder.write("logs/a.jsonl", lines(calls))
    folder.write(
        "events/first.jsonl",
        lines({"request_id": f"r{n}", "name": "thumb", "value": n} for n in range(2)),
    )
    done = folder.build()
    assert done["ledger"]["attributed"] == 2
    assert folder.status()["as_of"] is None
    assert folder.ask(
        "SELECT request_id, ts, reward, label, label_delay FROM enriched_inferences ORDER BY 1"
    ) == [("r0", None, 0.0, "0", None), ("r1", None, 1.0, "1", None)]
    assert folder.ask("SELECT DISTINCT delay, early FROM attribution") == [(None, None)]


def test_a_clock_that_some_rows_have(tmp_path: Path) -> None:
    folder = _make(tmp_path, 'clock = "none"')
    without = {key: value for key, value in inference(1).items() if key != "ts"}
    folder.write("logs/a.jsonl", lines([inference(0), without, inference(2, ts="no time")]))
    folder.build()
    assert folder.ask("SELECT request_id, ts FROM inferences ORDER BY 1") == [
        ("r0", _FIRST), ("r1", None),
    ]  # fmt: skip
    assert [row[:2] for row in folder.refused()] == [("bad_type", "ts")]


def test_a_mapped_time_is_mandatory(tmp_path: Path) -> None:
    folder = _make(tmp_path)
    folder.write("logs/a.jsonl", lines([inference(0), inference(1, ts=None), inference(2, ts=" ")]))
    folder.build()
    assert folder.ids() == ["r0"]
    assert [row[:3] for row in folder.refused()] == [
        ("missing_value", "ts", 2), ("missing_value", "ts", 3),
    ]  # fmt: skip


# --- features ---------------------------------------------------------------------------------

FEATURES = """
[inferences.features]
age = "BIGINT"
share = "DOUBLE"
"post code" = "VARCHAR"
member = "BOOLEAN"
seen = "TIMESTAMPTZ"
"""


@pytest.mark.parametrize("form", ["jsonl", "csv"])
def test_features_are_cast_exactly_or_refused(tmp_path: Path, form: str) -> None:
    folder = _make(tmp_path, feedback="")
    folder.write("workbench.toml", PLAIN + FEATURES)
    good = {
        "age": "41", "share": 0.25, "post code": "01234", "member": "true",
        "seen": "2026-03-01T00:00:00Z",
    }  # fmt: skip
    rows = [
        inference(0, **good),
        inference(1, **{**good, "age": "41.0"}),
        inference(2, **{**good, "age": 41.5}),
        inference(3, **{**good, "age": "forty"}),
        inference(4, **{**good, "share": "no"}),
        inference(5, **{**good, "member": "maybe"}),
        inference(6, **{**good, "seen": "yesterday"}),
        inference(7, **{**good, "age": ""}),
        inference(8, **{**good, "age": "99999999999999999999"}),
        inference(9, **{**good, "share": "nan"}),
    ]
    folder.write(f"logs/a.{form}", lines(rows) if form == "jsonl" else _table(rows))
    folder.build()
    assert folder.ids() == ["r0", "r1", "r7", "r9"]
    first = 2 if form == "csv" else 1
    wrong = ["", "", "age", "age", "share", "member", "seen", "", "age", ""]
    assert [row[:3] for row in folder.refused()] == [
        ("bad_type", f"features.{name}", first + n) for n, name in enumerate(wrong) if name
    ]
    assert folder.ask(
        'SELECT features.age, features.share, features."post code", features.member, '
        "features.seen FROM inferences WHERE request_id IN ('r0', 'r7') ORDER BY request_id"
    ) == [(41, 0.25, "01234", True, _FIRST), (None, 0.25, "01234", True, _FIRST)]


@pytest.mark.parametrize("form", ["jsonl", "csv"])
def test_what_only_programming_languages_take_for_a_number_is_refused(
    tmp_path: Path, form: str
) -> None:
    folder = _make(tmp_path)
    features = '[inferences.features]\nage = "BIGINT"\nshare = "DOUBLE"\n'
    folder.write("workbench.toml", PLAIN + features)
    given = {"age": 1, "share": 1, "latency_ms": 1, "input_tokens": 1}
    rows = [
        inference(n, **{**given, name: text})
        for text in ("1_000", "0x1F", "0b11", "1_0.5", "\u0661")
        for n, name in enumerate(given)
    ]
    folder.write(f"logs/a.{form}", lines(rows) if form == "jsonl" else _table(rows))
    folder.build()
    assert folder.ask("SELECT features, latency_ms, input_tokens FROM inferences") == []
    assert {row[0] for row in folder.refused()} == {"bad_type"}


def test_features_that_come_and_go(tmp_path: Path) -> None:
    folder = _make(tmp_path)
    folder.write("logs/a.jsonl", lines([inference(0, age=1)]))
    folder.build()
    folder.write("workbench.toml", PLAIN + '[inferences.features]\nage = "BIGINT"\n')
    folder.build()
    assert folder.ask("SELECT features.age, metadata FROM inferences") == [(1, None)]
    folder.write("workbench.toml", PLAIN)
    folder.build()
    assert folder.ask("SELECT metadata FROM inferences") == [('{"age":1}',)]


def test_feedback_values_stay_texts(tmp_path: Path) -> None:
    config = PLAIN.replace('kind = "binary"', 'kind = "comment"')
    folder = Folder.make(tmp_path / "project", config)
    folder.write("logs/a.jsonl", lines([inference(0)]))
    values = ["007", "1.0", 1, 1.5, True, "yes", {"a": 1}, " padded "]
    folder.write(
        "events/first.jsonl",
        lines(event(n, request_id="r0", value=value) for n, value in enumerate(values)),
    )
    folder.build()
    assert [row[0] for row in folder.ask("SELECT value FROM feedback ORDER BY feedback_id")] == [
        "007", "1.0", "1", "1.5", "true", "yes", '{"a":1}', " padded ",
    ]  # fmt: skip
