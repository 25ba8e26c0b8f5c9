"""Training sets of public data: the numbers that they must give, and rows as the raw files say."""

from __future__ import annotations

import csv
import gzip
import io
import json
import random
import tarfile
from collections import Counter
from datetime import UTC, datetime
from itertools import product
from math import fsum
from pathlib import Path
from typing import Any

import pytest

from tests.datasets import world
from tests.ingest.folder import Folder, lines
from tests.real_data import test_agents, test_open_bandit

pytestmark = [pytest.mark.real_data, pytest.mark.published]
Row = dict[str, Any]


def project(path: Path, config: str, **files: list[Row]) -> Folder:
    """Write a project with files of JSON lines, and build it."""
    folder = Folder(path)
    folder.write("workbench.toml", config)
    for name, rows in files.items():
        folder.write(f"{name}.jsonl", lines(rows))
    folder.build()
    return folder


def compiled(folder: Folder, training_format: str, **chosen: Any) -> tuple[Row, list[Row]]:
    """A version, and its examples."""
    manifest = world.compiled(folder, training_format, **chosen)
    return manifest, world.rows_of(folder, manifest)


def some(rows: list[Row]) -> list[Row]:
    """Rows that are looked at closely."""
    return random.Random(5).sample(rows, 20)


def left_out(manifest: Row) -> dict[str, int]:
    """How many candidates were left out, by reason."""
    return {s["reason"]: -s["rows"] for s in manifest["funnel"] if s["rows"] < 0}


def raw_lines(path: Path) -> list[Row]:
    with gzip.open(path, "rt", encoding="utf-8") as file:
        return [json.loads(line) for line in file]


def test_haiku_gives_84_desirable_and_416_undesirable(real_data: Path, tmp_path: Path) -> None:
    raw = real_data / "tensorzero_haiku"
    folder = project(
        tmp_path / "project",
        f"""
        [inferences]
        source = ["{raw.as_posix()}/ChatInference.jsonl.gz"]
        [inferences.columns]
        request_id = "id"
        ts = "timestamp"
        model_version = "variant_name"
        input = "input"
        output = "output"
        [feedback]
        source = "{raw.as_posix()}/BooleanMetricFeedback.jsonl.gz"
        [feedback.columns]
        feedback_id = "id"
        request_id = "target_id"
        name = "metric_name"
        ts = "timestamp"
        [feedback.signals.haiku_score]
        kind = "binary"
        """,
    )
    manifest, rows = compiled(folder, "kto")
    assert Counter(row["label"] for row in rows) == {True: 84, False: 416}
    assert left_out(manifest) == {"no_feedback": 500}
    calls = {row["id"]: row for row in raw_lines(raw / "ChatInference.jsonl.gz")}
    events = {row["target_id"]: row for row in raw_lines(raw / "BooleanMetricFeedback.jsonl.gz")}
    assert {row["request_id"] for row in rows} == events.keys()
    for row in some(rows):
        call, event = calls[row["request_id"]], events[row["request_id"]]
        (asked,) = json.loads(call["input"])["messages"]
        (said,) = asked["content"]
        (prompt,) = row["prompt"]
        assert (prompt["role"], json.loads(prompt["content"])) == (asked["role"], said["value"])
        (done,) = row["completion"]
        assert done == {"role": "assistant", "content": json.loads(call["output"])[0]["text"]}
        assert row["label"] is bool(event["value"])
        assert row["feedback_ids"] == [event["id"]]
        assert row["label_ts"] == datetime.fromisoformat(event["timestamp"]).replace(tzinfo=UTC)


@pytest.mark.parametrize(("languages", "edited"), [("ro-en", 749), ("en-de", 630)])
def test_post_edits_are_demonstrations_and_pairs(
    real_data: Path, tmp_path: Path, languages: str, edited: int
) -> None:
    texts = {}
    with tarfile.open(real_data / "mlqe_pe" / f"pe_{languages}_test20.tar.gz") as archive:
        for part in ("src", "mt", "pe"):
            file = archive.extractfile(f"{languages}-test20/test20.{part}")
            assert file is not None
            texts[part] = file.read().decode().removesuffix("\n").split("\n")
    triples = list(zip(texts["src"], texts["mt"], texts["pe"], strict=True))
    assert len(triples) == 1000
    folder = project(
        tmp_path / "project",
        """
        [inferences]
        source = "calls.jsonl"
        clock = "none"
        columns = { model_version = "'mt'" }
        [feedback]
        source = "edits.jsonl"
        clock = "none"
        columns = { name = "'post_edit'" }
        [feedback.signals.post_edit]
        kind = "correction"
        """,
        calls=[
            {"request_id": f"{n}", "input": source, "output": target}
            for n, (source, target, _) in enumerate(triples)
        ],
        edits=[
            {"request_id": f"{n}", "corrected_output": post} for n, (*_, post) in enumerate(triples)
        ],
    )
    manifest, rows = compiled(folder, "sft(style='text')")
    counts = Counter(row["source"] for row in rows)
    assert counts == {"correction": edited, "confirmed": 1000 - edited}
    for row in rows:
        source, target, post = triples[int(row["request_id"])]
        assert (row["prompt"], row["completion"]) == (source, post)
        assert (row["source"] == "correction") == (target.strip() != post.strip())
    manifest, rows = compiled(folder, "dpo(style='text')")
    assert manifest["rows"] == edited
    assert left_out(manifest) == {"same_answer": 1000 - edited}
    for row in rows:
        source, target, post = triples[int(row["request_id"])]
        assert (row["prompt"], row["chosen"], row["rejected"]) == (source, post, target)


def test_pandalm_gives_pairs_by_majority_without_ties(real_data: Path, tmp_path: Path) -> None:
    with gzip.open(real_data / "pandalm" / "testset-v1.json.gz", "rt", encoding="utf-8") as file:
        raw = {str(entry["idx"]): entry for entry in json.load(file)}
    for entry, side in product(raw.values(), ("response1", "response2")):
        if not isinstance(entry[side], str):  # one answer is the JSON value false
            entry[side] = json.dumps(entry[side])
    votes = {
        idx: Counter(str(entry[f"annotator{r}"]) for r in (1, 2, 3)) for idx, entry in raw.items()
    }

    def question(entry: Row) -> str:
        return "\n\n".join(filter(None, [entry["instruction"], entry["input"]]))

    folder = project(
        tmp_path / "project",
        """
        [inferences]
        source = "calls.jsonl"
        clock = "none"
        columns = { model_version = "'two'" }
        [feedback]
        source = "votes.jsonl"
        clock = "none"
        [feedback.signals.better]
        kind = "preference"
        """,
        calls=[
            {"request_id": f"{idx}/{side}", "input": question(entry),
             "output": entry[f"response{side}"]}
            for idx, entry in raw.items() for side in (1, 2)
        ],
        votes=[
            {"name": "better", "rater_id": f"annotator {r}",
             "value": "tie" if vote == 0 else "better",
             "chosen_id": f"{idx}/{2 if vote == 2 else 1}",
             "rejected_id": f"{idx}/{1 if vote == 2 else 2}"}
            for idx, entry in raw.items() for r in (1, 2, 3)
            if (vote := entry[f"annotator{r}"]) in (0, 1, 2)
        ],
    )  # fmt: skip
    manifest, rows = compiled(folder, "dpo(style='text')")
    majority = {idx: vote.most_common(1)[0][0] for idx, vote in votes.items()}
    assert Counter(majority.values()) == {"0": 105, "1": 422, "2": 472}
    # An answer that is empty can be judged, and not learned from.
    whole = {idx for idx, e in raw.items() if e["response1"].strip() and e["response2"].strip()}
    left = {"tie": 105, "no_answer": sum(majority[idx] != "0" for idx in raw.keys() - whole)}
    assert left_out(manifest) == left
    assert {row["request_id"].split("/")[0] for row in rows} == {
        idx for idx in whole if majority[idx] != "0"
    }
    for row in rows:
        idx, side = row["request_id"].split("/")
        entry, other = raw[idx], 3 - int(side)
        assert majority[idx] == side
        assert row["other_id"] == f"{idx}/{other}"
        assert row["prompt"] == question(entry)
        assert row["chosen"] == entry[f"response{side}"]
        assert row["rejected"] == entry[f"response{other}"]
        strength = (votes[idx][side] - votes[idx][str(other)]) / 3
        assert row["strength"] == pytest.approx(strength)


def test_tau_bench_gives_runs_with_a_verdict_for_each_step(real_data: Path, tmp_path: Path) -> None:
    path = real_data / "tau_bench" / "gpt-4o-airline.json.gz"
    config = test_agents.CONFIG.format(runs=path.as_posix(), credit="uniform")
    manifest, rows = compiled(project(tmp_path / "project", config), "stepwise")
    with gzip.open(path, "rt", encoding="utf-8") as file:
        runs = {f"{run['task_id']}/{run['trial']}": run for run in json.load(file)}
    assert {row["example_id"] for row in rows} == runs.keys()
    assert left_out(manifest) == {}
    assert sum(row["labels"][-1] for row in rows) == 0.42 * 200
    for row in rows:
        messages = runs[row["example_id"]]["traj"]
        said = [message for message in messages if message["role"] == "assistant"]
        assert len(row["completions"]) == len(row["rewards"]) == len(row["labels"]) == len(said)
        solved = runs[row["example_id"]]["reward"]
        assert row["rewards"] == pytest.approx([solved] * len(said))
        assert row["labels"] == [solved >= 0.5] * len(said)
    for row in some(rows):
        messages = runs[row["example_id"]]["traj"]
        first = next(place for place, m in enumerate(messages) if m["role"] == "assistant")
        asked = [f"{m['role']}: {m['content']}" for m in messages[:first]]
        assert row["prompt"] == "\n\n".join(asked)
        for text, message in zip(
            row["completions"], (m for m in messages if m["role"] == "assistant"), strict=True
        ):
            if message.get("content"):
                assert text == message["content"]
            else:
                calls = [call["function"] for call in message["tool_calls"]]
                assert [call["function"] for call in json.loads(text)] == calls


def test_the_open_bandit_gives_what_was_shown_with_its_propensity(
    real_data: Path, tmp_path: Path
) -> None:
    config = test_open_bandit.CONFIG.format(raw=(real_data / "obd").as_posix())
    config = config.replace('choices = "items"', 'choices = "items"\nitem_id = "item_id"')
    config = config.replace("*_men.csv.gz", "bts_men.csv.gz")
    folder = project(tmp_path / "project", config)
    manifest, rows = compiled(folder, "recsys", where="model_version = 'bts'")
    assert manifest["rows"] == 10_000
    with gzip.open(real_data / "obd" / "bts_men.csv.gz", "rt", encoding="utf-8") as file:
        raw = list(csv.DictReader(io.StringIO(file.read())))
    for row in rows:
        shown = raw[int(row["request_id"].removeprefix("bts-")) - 2]  # after the header
        assert row["item_id"] == shown["item_id"]
        assert row["position"] == int(shown["position"])
        assert row["propensity"] == float(shown["propensity_score"])
        assert row["reward"] == float(shown["click"])
        assert row["ts"] == datetime.fromisoformat(shown["timestamp"])
        assert row["user_id"] is None
    # Worth of the random policy, from the training set alone: 34 items, each as likely.
    weights = [1 / 34 / row["propensity"] for row in rows]
    value = fsum(w * row["reward"] for w, row in zip(weights, rows, strict=True)) / len(rows)
    assert round(value, 7) == 0.0030086
