"""Bad input is refused whole and counted, or ends the command in plain words."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from datetime import datetime
from pathlib import Path

import pytest

import workbench
from tests.ingest.folder import PLAIN, START, Folder, event, inference, lines, packed
from workbench.errors import ConfigError


def _build_with_files_of_at_most(folder: Folder, blocks: int) -> subprocess.CompletedProcess[str]:
    """Build in a process that may write no file longer than `blocks` KiB: a disk that is full."""
    limit = (
        "import resource, signal, sys; signal.signal(signal.SIGXFSZ, signal.SIG_IGN); "
        f"resource.setrlimit(resource.RLIMIT_FSIZE, ({blocks * 1024}, {blocks * 1024})); "
        "from workbench.cli.main import main; main(['build', '--project', sys.argv[1]])"
    )
    return subprocess.run(
        [sys.executable, "-c", limit, str(folder.path)], capture_output=True, text=True, check=False
    )


# The first is too little for a lake file, the last for the build but not for the lake.
@pytest.mark.parametrize("blocks", [0, 1, 100])
def test_a_full_disk(tmp_path: Path, blocks: int) -> None:
    folder = Folder.make(tmp_path / "project")
    folder.write("logs/a.jsonl", lines([inference(0)]))
    before = folder.build()
    folder.append("logs/a.jsonl", lines([inference(1)]))
    done = _build_with_files_of_at_most(folder, blocks)
    assert done.returncode == 1
    assert done.stdout == ""
    assert "Traceback" not in done.stderr
    assert "cannot be written" in done.stderr
    assert folder.status()["build"] == before["build"]
    assert folder.ids() == ["r0"]
    folder.build()
    assert folder.ids() == ["r0", "r1"]
    assert folder.status()["inferences"]["received"] == 2


def test_a_state_folder_that_is_a_file(tmp_path: Path) -> None:
    folder = Folder.make(tmp_path / "project")
    folder.write("logs/a.jsonl", lines([inference(0)]))
    folder.write(".workbench", "in the way")
    done = _build_with_files_of_at_most(folder, 10_000)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert "cannot be written" in done.stderr


def test_a_mapping_that_names_no_column(tmp_path: Path) -> None:
    config = PLAIN.replace(
        'source = "logs"',
        'source = "logs"\n'
        'columns = { output = "anwser", latency_ms = "secnds * 1000", request_id = "id" }',
    )
    folder = Folder.make(tmp_path / 'it\'s a "project"', config)
    folder.write("logs/a.jsonl", lines([inference(0, answer="x", seconds=1)]))
    with pytest.raises(ConfigError) as caught:
        folder.build()
    message = str(caught.value)
    assert caught.value.exit_code == 2
    assert "3 problems" in message
    assert "Did you mean 'answer'?" in message
    assert "Did you mean 'seconds'?" in message
    assert "'id'" in message
    # Names that the workbench made up for itself help nobody.
    assert "__" not in message
    assert not (folder.path / ".workbench" / "lake").exists()


# --- rows -------------------------------------------------------------------------------------

_NAN = [float("nan"), "NaN", "nan"]
_BEYOND = [float("inf"), float("-inf"), "inf", "1e400", 1.5, -0.1, 1.0000000001]


@pytest.fixture(scope="module")
def numbers(tmp_path_factory: pytest.TempPathFactory) -> Folder:
    """Probabilities of every kind: r0 and r1 are sound, r100.. NaN, r200.. beyond 0 to 1."""
    folder = Folder.make(tmp_path_factory.mktemp("numbers") / "project", events=0)
    rows = [inference(0, confidence=0.9), inference(1, confidence=0.4, probabilities=[0.4, 0.6])]
    events = [event(0, value=1), event(1, value=0)]
    for form in ("scalar", "list", "ensemble"):
        for value in _NAN:
            rows.append(_probability(100 + len(rows), form, value))
            events.append(event(0, request_id=rows[-1]["request_id"], feedback_id=f"n{len(rows)}"))
        rows += [_probability(200 + len(rows), form, value) for value in _BEYOND]
    folder.write("logs/a.jsonl", lines(rows))
    folder.write(
        "logs/b.csv",
        f"request_id,ts,model_version,confidence,probabilities\nr150,{START},v1,nan,\n"
        f'r151,{START},v1,,"[NaN, 0.5]"\nr250,{START},v1,inf,\nr251,{START},v1,1.5,\n'
        f'r252,{START},v1,,"[1.5, 0.5]"\n',
    )
    folder.write("events/first.jsonl", lines(events))
    folder.build()
    return folder


def _probability(number: int, form: str, value: object) -> dict[str, object]:
    if form == "scalar":
        return inference(number, confidence=value)
    if form == "list":
        return inference(number, probabilities=[value, 0.5])
    return inference(number, ensemble=[[0.5, 0.5], [value, 0.5]])


def test_nan_probabilities_are_kept_and_left_out_of_metrics(numbers: Folder) -> None:
    kept = [name for name in numbers.ids() if 100 <= int(name[1:]) < 200]
    assert len(kept) == 3 * len(_NAN) + 2
    assert numbers.ask("SELECT count(*) FROM inferences WHERE isnan(confidence)") == [
        (len(_NAN) + 1,)
    ]
    rows = {
        row["metric"]: row
        for row in workbench.open(numbers.path).metrics(["brier_score", "ece", "reward_mean"])
    }
    # Only r0 and r1 have a probability: (0.9 - 1)^2 and 0.4^2.
    assert rows["brier_score"]["value"] == pytest.approx((0.01 + 0.16) / 2, rel=1e-12)
    assert rows["brier_score"]["n"] == rows["ece"]["n"] == 2
    assert rows["reward_mean"]["n"] == rows["ece"]["n_labelled"] == 2 + 3 * len(_NAN)
    unknown = numbers.ask(
        "SELECT count(*) FROM enriched_inferences WHERE isnan(list_max(probabilities)) "
        "AND (least_confidence IS NOT NULL OR margin IS NOT NULL OR entropy IS NOT NULL)"
    )
    assert unknown == [(0,)]


def test_infinite_and_impossible_probabilities_are_refused(numbers: Folder) -> None:
    assert [name for name in numbers.ids() if int(name[1:]) >= 200] == []
    refused = numbers.refused()
    assert len(refused) == 3 * len(_BEYOND) + 3
    assert {row[0] for row in refused} == {"out_of_range"}
    fields = sorted(row[1] for row in refused)
    assert fields == ["confidence"] * 9 + ["ensemble"] * 7 + ["probabilities"] * 8


@pytest.mark.parametrize("rest", [1.5, -1, float("inf")])
def test_nan_hides_no_impossible_probability(tmp_path: Path, rest: float) -> None:
    folder = Folder.make(tmp_path / "project")
    bad = [float("nan"), rest]
    rows = [inference(0, probabilities=bad), inference(1, ensemble=[[0.5, 0.5], bad])]
    folder.write("logs/a.jsonl", lines([*rows, inference(2, probabilities=[float("nan"), 1])]))
    folder.build()
    assert folder.ids() == ["r2"]
    assert [row[:3] for row in folder.refused()] == [
        ("out_of_range", "probabilities", 1), ("out_of_range", "ensemble", 2),
    ]  # fmt: skip


#: How a time is written, and what it means; None where it is refused.
_TIMES: dict[object, str | None] = {
    "2026-03-01T00:00:00Z": "2026-03-01T00:00:00Z",
    "2026-03-01T01:00:00+01:00": "2026-03-01T00:00:00Z",
    "2026-03-01T00:00:00": "2026-03-01T00:00:00Z",
    "2026-03-01 00:00:00.25": "2026-03-01T00:00:00.250000Z",
    1772323200: "2026-03-01T00:00:00Z",
    1772323200.5: "2026-03-01T00:00:00.500000Z",
    1772323200123: "2026-03-01T00:00:00.123000Z",
    1772323200123456: "2026-03-01T00:00:00.123456Z",
    1772323200123456789: "2026-03-01T00:00:00.123456Z",
    "1772323200124": "2026-03-01T00:00:00.124000Z",
    631152000: "1990-01-01T00:00:00Z",
    4102444799: "2099-12-31T23:59:59Z",
    "2099-12-31T23:59:59.999999Z": "2099-12-31T23:59:59.999999Z",
    0: None,
    1: None,
    -1: None,
    "1970-01-01T00:00:00Z": None,
    "1989-12-31T23:59:59Z": None,
    "2100-01-01T00:00:00Z": None,
    4102444800: None,
    4102444800000: None,
}


@pytest.mark.parametrize("form", ["jsonl", "csv"])
def test_times(tmp_path: Path, form: str) -> None:
    folder = Folder.make(tmp_path / "project")
    rows = [inference(number, ts=value) for number, value in enumerate(_TIMES)]
    if form == "jsonl":
        folder.write("logs/a.jsonl", lines([*rows, inference(98, ts="soon"), inference(99, ts="")]))
    else:
        cells = [f"{row['request_id']},{row['ts']},v1" for row in rows]
        text = "\n".join(["request_id,ts,model_version", *cells, "r98,soon,v1", "r99,,v1", ""])
        folder.write("logs/a.csv", text)
    notes = folder.build()["notes"]
    assert notes == ["inferences: 2 times have no zone and were read as UTC"]
    expected = [
        (f"r{number}", datetime.fromisoformat(meaning))
        for number, meaning in enumerate(_TIMES.values())
        if meaning is not None
    ]
    assert sorted(folder.ask("SELECT request_id, ts FROM inferences")) == sorted(expected)
    refused = [row[:2] for row in folder.refused()]
    assert refused == [("ts_out_of_range", "ts")] * 8 + [
        ("bad_type", "ts"), ("missing_value", "ts"),
    ]  # fmt: skip


def test_one_request_id_with_different_content(tmp_path: Path) -> None:
    """The least time wins, then the least hash of the content, whatever file comes first."""
    rows = [
        inference(0, output="late"),
        {**inference(0, output="early"), "ts": START - 5},
        *(inference(1, output=text) for text in "abcdef"),
    ]
    winners = []
    for name, order in (("one", rows), ("other", rows[::-1])):
        folder = Folder.make(tmp_path / name)
        for number, row in enumerate(order):
            folder.write(f"logs/{number}.jsonl", lines([row]))
        # The second half arrives later.
        later = [f"logs/{number}.jsonl" for number in range(4, 8)]
        held = {file: (folder.path / file).read_bytes() for file in later}
        for file in later:
            (folder.path / file).unlink()
        folder.ingest()
        for file, content in held.items():
            folder.write(file, content)
        folder.build()
        kept = dict(folder.ask("SELECT request_id, output FROM inferences"))
        assert kept["r0"] == "early"
        winners.append(kept)
        refused = folder.refused()
        lost = [json.loads(row[3])["output"] for row in refused]
        assert {row[0] for row in refused} == {"duplicate"}
        assert sorted(lost) == sorted({*"abcdef"} - {kept["r1"]} | {"late"})
        counts = folder.status()["inferences"]
        assert (counts["received"], counts["accepted"], counts["duplicate"]) == (8, 2, 6)
    assert winners[0] == winners[1]


@pytest.fixture(scope="module")
def texts(tmp_path_factory: pytest.TempPathFactory) -> Folder:
    """Long and strange texts among lines that cannot be read."""
    folder = Folder.make(tmp_path_factory.mktemp("texts") / "project")
    long = inference(0, output="x" * 10_000_000)
    strange = inference(1, output="a\0b🎉", user_id="u\0👩‍🔬")
    broken = 'not json\n[1, 2]\n"text"\n{"request_id": "cut\n'
    folder.write("logs/a.jsonl", lines([long, strange]) + broken + lines([inference(2)]))
    folder.append("logs/a.jsonl", b'{"request_id": "\xff\xfe"}\n{}\n')
    folder.write(
        "logs/b.csv",
        f"request_id,ts,model_version,output\nr3,{START},v1,{'y' * 10_000_000}\n"
        f"r4,{START},v1,a\0b🎉\ntoo,few\nr5,{START},v1,more,{'z' * 5}\nr6,{START},v1,last\n",
    )
    folder.build()
    return folder


def test_long_texts_nul_and_emoji_are_kept(texts: Folder) -> None:
    found = texts.ask(
        "SELECT request_id, length(output), right(output, 1), user_id FROM inferences ORDER BY 1"
    )
    assert found == [
        ("r0", 10_000_000, "x", None), ("r1", 4, "🎉", "u\0👩‍🔬"), ("r2", None, None, None),
        ("r3", 10_000_000, "y", None), ("r4", 4, "🎉", None), ("r6", 4, "t", None),
    ]  # fmt: skip
    assert texts.ask("SELECT count(*) FROM inferences WHERE output = 'a' || chr(0) || 'b🎉'") == [
        (2,)
    ]


def test_lines_that_are_not_json(texts: Folder) -> None:
    refused = [row for row in texts.refused() if row[0] != "wrong_column_count"]
    assert [row[:3] for row in refused] == [
        *(("not_json", None, number) for number in (3, 4, 5, 6)),
        ("not_utf8", None, 8),
        ("missing_value", "request_id", 9),
    ]
    assert [row[3] for row in refused[:4]] == [
        "not json", "[1, 2]", '"text"', '{"request_id": "cut',
    ]  # fmt: skip


def test_a_wrong_number_of_columns(texts: Folder) -> None:
    refused = [row for row in texts.refused() if row[0] == "wrong_column_count"]
    assert refused == [
        ("wrong_column_count", None, 4, "too,few"),
        ("wrong_column_count", None, 5, f"r5,{START},v1,more,zzzzz"),
    ]


# --- files ------------------------------------------------------------------------------------


def _random_texts(count: int) -> list[str]:
    """Texts that gzip cannot shorten much, so that a cut falls between them."""
    chosen = random.Random(5)
    return [chosen.randbytes(40).hex() for _ in range(count)]


def test_truncated_gzip(tmp_path: Path) -> None:
    folder = Folder.make(tmp_path / "project")
    rows = [inference(n, output=text) for n, text in enumerate(_random_texts(200))]
    header = "request_id,ts,model_version,output\n"
    table = header + "".join(
        f"r{1000 + n},{START},v1,{row['output']}\n" for n, row in enumerate(rows)
    )
    whole = {"logs/a.jsonl.gz": packed(lines(rows)), "logs/b.csv.gz": packed(table)}
    for name, content in whole.items():
        folder.write(name, content[:-3000])
    folder.build()
    numbers = [int(name[1:]) for name in folder.ids()]
    first, second = (
        [n for n in numbers if n < 1000], [n - 1000 for n in numbers if n >= 1000],
    )  # fmt: skip
    # Each file's rows are read in order up to the break, and none after it.
    assert 100 < len(first) < 200
    assert first == list(range(len(first)))
    assert 100 < len(second) < 200
    assert second == list(range(len(second)))
    kept = dict(folder.ask("SELECT request_id, output FROM inferences"))
    assert all(kept[f"r{n}"] == rows[n]["output"] for n in first)
    assert all(kept[f"r{1000 + n}"] == rows[n]["output"] for n in second)
    [broken_line, broken_row] = folder.refused()
    assert broken_line[:3] == ("truncated_file", None, len(first) + 1)
    assert lines([rows[len(first)]]).startswith(broken_line[3])
    assert broken_row[:3] == ("truncated_file", None, len(second) + 2)
    for name, content in whole.items():
        folder.write(name, content)
    folder.build()
    assert len(folder.ids()) == 400
    assert folder.refused() == []
    counts = folder.status()["inferences"]
    assert (counts["received"], counts["invalid"], counts["duplicate"]) == (400, 0, 0)


def test_damaged_gzip_gives_no_row_that_was_never_written(tmp_path: Path) -> None:
    folder = Folder.make(tmp_path / "project")
    rows = [inference(n, output=text) for n, text in enumerate(_random_texts(200))]
    damaged = bytearray(packed(lines(rows)))
    # Its texts change where nothing but the checksum at the end can tell.
    damaged[2000] ^= 1
    folder.write("logs/a.jsonl.gz", bytes(damaged))
    folder.write("logs/b.jsonl", lines([inference(999)]))
    folder.build()
    written = {(row["request_id"], row["output"]) for row in rows} | {("r999", None)}
    assert set(folder.ask("SELECT request_id, output FROM inferences")) <= written
    assert "r999" in folder.ids()
    assert folder.refused() != []


def test_empty_and_unreadable_files(tmp_path: Path) -> None:
    folder = Folder.make(tmp_path / "project", events=0)
    for name in ("a.jsonl", "b.csv", "c.json", "d.jsonl.gz"):
        folder.write(f"logs/{name}", "")
    folder.write("logs/e.jsonl.gz", packed(""))
    folder.write("logs/f.csv", "request_id,ts,model_version\n")
    folder.build()
    assert folder.ids() == []
    assert folder.refused() == []
    assert folder.status()["inferences"]["received"] == 0
    rows = workbench.open(folder.path).metrics()
    assert {(row["n"], row["reason"]) for row in rows} == {(0, "empty")}
    folder.write("logs/g.parquet", b"PAR1 but no Parquet")
    folder.write("logs/a.jsonl", lines([inference(0)]))
    folder.build()
    assert folder.ids() == ["r0"]
    [(reason, _, _, raw)] = folder.refused()
    assert reason == "unreadable_file"
    # The lake may be moved, so it does not say where it was.
    assert str(tmp_path) not in raw


@pytest.mark.parametrize("made", ["nothing", "folder", "other files"])
def test_a_folder_without_files(tmp_path: Path, made: str) -> None:
    folder = Folder.make(tmp_path / "project")
    if made != "nothing":
        (folder.path / "logs").mkdir()
    if made == "other files":
        folder.write("logs/notes.txt", "these are no logs")
    with pytest.raises(ConfigError, match="'logs' matches no files") as caught:
        folder.build()
    assert "jsonl" in caught.value.hint
    assert caught.value.exit_code == 2
    assert not (folder.path / ".workbench" / "current").exists()


def test_a_folder_that_lost_its_files(tmp_path: Path) -> None:
    folder = Folder.make(tmp_path / "project")
    path = folder.write("logs/a.jsonl", lines([inference(0)]))
    folder.build()
    path.unlink()
    assert folder.build()["notes"] == [
        "inferences: 'logs' matches no files now; what was read is kept"
    ]
    assert folder.ids() == ["r0"]


# --- columns ----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["request_id", "ts", "model_version"])
def test_a_mandatory_column_that_no_file_has(tmp_path: Path, name: str) -> None:
    folder = Folder.make(tmp_path / "project")
    row = inference(0)
    row[f"{name[:-1]}_"] = row.pop(name)
    folder.write("logs/a.jsonl", lines([row]))
    with pytest.raises(ConfigError) as caught:
        folder.build()
    assert f"{name} is mandatory and not mapped" in str(caught.value)
    assert f"{name[:-1]}_" in str(caught.value)


def test_columns_that_some_files_lack(tmp_path: Path) -> None:
    folder = Folder.make(tmp_path / "project")
    unversioned = inference(0, output="a")
    del unversioned["model_version"]
    folder.write("logs/a.jsonl", lines([unversioned]))
    folder.write("logs/b.jsonl", lines([inference(1), inference(2, output="c")]))
    folder.build()
    assert folder.ask("SELECT request_id, output, confidence FROM inferences ORDER BY 1") == [
        ("r1", None, None), ("r2", "c", None),
    ]  # fmt: skip
    [(reason, field, row, raw)] = folder.refused()
    assert (reason, field, row) == ("missing_value", "model_version", 1)
    assert json.loads(raw) == unversioned


# --- paths ------------------------------------------------------------------------------------


def test_a_path_with_spaces_quotes_and_unicode(tmp_path: Path) -> None:
    config = PLAIN.replace('source = "logs"', 'source = "my logs/it\'s*"')
    context = '[context.user]\nsource = "us\'er s.csv"\non = "user_id"\n'
    name = 'it\'s a "prøject" 🎉; {x} $HOME %s'
    folder = Folder.make(tmp_path / name, config + context)
    folder.write("us'er s.csv", "user_id,tier\nu1,gold\n")
    folder.write('my logs/it\'s "a".jsonl', lines([inference(0, user_id="u1", input="one")]))
    folder.write(
        "my logs/it's [b].csv",
        f"request_id,ts,model_version,user_id,input\nr1,{START},v1,u1,two\n",
    )
    folder.build()
    query = 'SELECT request_id, input, "user".tier FROM enriched_inferences ORDER BY 1'
    assert folder.ask(query) == [("r0", "one", "gold"), ("r1", "two", "gold")]
    target = folder.path / 'o\'ut "put".parquet'
    assert workbench.open(folder.path).export("enriched_feedback", target)["rows"] == 1


@pytest.mark.parametrize(
    "name", ["project [old]", "100%25", "a|b", "back\\slash", "what?", "line\nbreak"]
)
def test_a_path_that_the_lake_cannot_have_is_refused_in_words(tmp_path: Path, name: str) -> None:
    folder = Folder.make(tmp_path / name)
    folder.write("logs/a.jsonl", lines([inference(0)]))
    with pytest.raises(ConfigError, match="project folder"):
        folder.build()
    assert not (folder.path / ".workbench" / "lake").exists()
