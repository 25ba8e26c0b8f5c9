"""TRL's own handling of data takes the rows of the training formats as they are exported."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

import workbench
from workbench.datasets import Slice, compile_dataset, export_dataset, write_file

os.environ |= {"HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1"}
datasets = pytest.importorskip("datasets", reason="datasets is not installed: make readback")
trl = pytest.importorskip("trl.data_utils", reason="trl is not installed: make readback")

Row = dict[str, Any]
TEMPLATE = (
    "{% for m in messages %}<{{ m.role }}>{{ m.content }}\n{% endfor %}"
    "{% if add_generation_prompt %}<assistant>{% endif %}"
)


def says(role: str, content: str) -> list[dict[str, str]]:
    return [{"role": role, "content": content}]


ASKED = [*says("system", "Be brief."), *says("user", "Größe? 🎉")]
TEXT = {"prompt": "Q: 1+1?\nA:", "chosen": " 2", "rejected": " 3"}
TALK = {"prompt": ASKED, "chosen": says("assistant", "XL"), "rejected": says("assistant", "S")}

#: Rows of each training format, conversational and as texts.
ROWS: dict[str, dict[str, list[Row]]] = {
    "sft": {
        "messages": [{"messages": [*ASKED, *says("assistant", "XL")]}] * 2,
        "conversational": [{"prompt": ASKED, "completion": says("assistant", "XL")}] * 2,
        "text": [{"prompt": "Q: 1+1?\nA:", "completion": " 2"}] * 2,
    },
    "dpo": {"conversational": [TALK] * 2, "text": [TEXT] * 2},
    "kto": {
        "conversational": [
            {"prompt": ASKED, "completion": TALK["chosen"], "label": True},
            {"prompt": ASKED, "completion": TALK["rejected"], "label": False},
        ],
        "text": [
            {"prompt": TEXT["prompt"], "completion": " 2", "label": True},
            {"prompt": TEXT["prompt"], "completion": " 3", "label": False},
        ],
    },
}
CASES = [(name, style) for name, styles in ROWS.items() for style in styles]


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    from tokenizers import Tokenizer, models
    from transformers import PreTrainedTokenizerFast

    inner = Tokenizer(models.WordLevel({"?": 0}, unk_token="?"))
    return PreTrainedTokenizerFast(tokenizer_object=inner, chat_template=TEMPLATE)


def loaded(rows: list[Row], fmt: str, folder: Path) -> Any:
    """Export rows, and load them as one does before training."""
    datasets.disable_progress_bars()
    write_file(pa.Table.from_pylist(rows).to_reader(), fmt, folder / "out")
    cache = str(folder / "cache")
    if fmt == "huggingface":
        return datasets.load_dataset(str(folder / "out"), cache_dir=cache, split="train")
    kind = {"jsonl": "json", "parquet": "parquet"}[fmt]
    files = str(folder / "out")
    return datasets.load_dataset(kind, data_files=files, cache_dir=cache, split="train")


@pytest.mark.parametrize("fmt", ["huggingface", "jsonl", "parquet"])
@pytest.mark.parametrize(("name", "style"), CASES)
def test_trl_takes_the_rows(
    name: str, style: str, fmt: str, tokenizer: Any, tmp_path: Path
) -> None:
    rows = ROWS[name][style]
    data = loaded(rows, fmt, tmp_path)
    assert data.to_list() == rows
    for row in data:
        assert trl.is_conversational(row) == (style != "text")
        plain = trl.maybe_apply_chat_template(row, tokenizer)
        assert all(isinstance(plain[key], str) for key in plain if key != "label")
        if style == "text":
            assert plain == row
        elif style == "messages":
            assert plain["text"] == "<system>Be brief.\n<user>Größe? 🎉\n<assistant>XL\n"
        else:
            # The prompt ends where the answer begins.
            assert plain["prompt"] == "<system>Be brief.\n<user>Größe? 🎉\n<assistant>"
            for key in {"completion", "chosen", "rejected"} & row.keys():
                assert plain[key] == row[key][0]["content"] + "\n"


@pytest.mark.parametrize("style", ROWS["dpo"])
def test_pairs_keep_their_prompt_and_come_apart_as_kto(style: str, tmp_path: Path) -> None:
    data = loaded(ROWS["dpo"][style], "huggingface", tmp_path)
    assert data.map(trl.maybe_extract_prompt).to_list() == ROWS["dpo"][style]
    apart = trl.maybe_unpair_preference_dataset(data)
    wanted = ROWS["kto"][style]
    assert [row for row in apart if row["label"]] == [wanted[0]] * 2
    assert [row for row in apart if not row["label"]] == [wanted[1]] * 2


def test_pairs_without_a_prompt_share_it(tmp_path: Path) -> None:
    row = {"chosen": [*ASKED, *TALK["chosen"]], "rejected": [*ASKED, *TALK["rejected"]]}
    (found,) = loaded([row], "jsonl", tmp_path).map(trl.extract_prompt).to_list()
    assert found == TALK


CONFIG = """
[inferences]
source = "calls.jsonl"
columns = { request_id = "id", ts = "at", model_version = "'v1'", input = "asked", output = "said" }
[feedback]
source = "votes.jsonl"
[feedback.columns]
request_id = "id"
ts = "at"
name = "name"
value = "up"
corrected_output = "fixed"
[feedback.signals.thumb]
kind = "binary"
[feedback.signals.fix]
kind = "correction"
[labels]
signals = ["thumb"]
"""


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("trl") / "project"
    folder.mkdir()
    at = "2026-01-01T00:00:00Z"
    calls = [
        {"id": f"c{i}", "at": at, "asked": json.dumps(ASKED), "said": f"answer {i}"}
        for i in range(12)
    ]
    votes = [{"id": f"c{i}", "at": at, "name": "thumb", "up": i % 2 == 0} for i in range(12)]
    votes += [{"id": f"c{i}", "at": at, "name": "fix", "fixed": f"better {i}"} for i in range(6)]
    for name, rows in (("calls", calls), ("votes", votes)):
        text = "".join(json.dumps(row) + "\n" for row in rows)
        (folder / f"{name}.jsonl").write_text(text, encoding="utf-8")
    (folder / "workbench.toml").write_text(CONFIG, encoding="utf-8")
    workbench.open(folder).build()
    return folder


@pytest.mark.parametrize("style", ["messages", "text"])
@pytest.mark.parametrize(("name", "rows"), [("sft", 9), ("dpo", 7), ("kto", 12)])
def test_trl_takes_what_was_compiled(
    name: str, rows: int, style: str, project: Path, tokenizer: Any, tmp_path: Path
) -> None:
    dataset = f"{name}_{style}"
    made = compile_dataset(project, dataset, Slice(), f"{name}(style={style!r})")
    assert made["rows"] == rows
    export_dataset(project, dataset, "huggingface", tmp_path / "out")
    datasets.disable_progress_bars()
    data = datasets.load_dataset(
        str(tmp_path / "out"), cache_dir=str(tmp_path / "cache"), split="train"
    ).select_columns(list(made["columns"]))
    assert len(data) == rows
    for row in data:
        assert trl.is_conversational(row) == (style == "messages")
        plain = trl.maybe_apply_chat_template(row, tokenizer)
        assert all(plain[key] for key in plain if key != "label")
    if name == "dpo":
        apart = trl.maybe_unpair_preference_dataset(data)
        assert sum(apart["label"]) == rows
        assert len(apart) == 2 * rows
