"""The public data sets, raw as they are: a mapping that a person only has to glance at."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from workbench.guess import files

from .conftest import Proposal

pytestmark = pytest.mark.real_data
Propose = Callable[..., Proposal]


@pytest.fixture
def no_importer_knows_them(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tables of a system that has no importer, as every one was once."""
    monkeypatch.setattr(files, "claimed", lambda paths: {})


@pytest.mark.usefixtures("no_importer_knows_them")
def test_haiku_files(propose: Propose, real_data: Path) -> None:
    folder = real_data / "tensorzero_haiku"
    found = propose(folder / "ChatInference.jsonl.gz", folder / "BooleanMetricFeedback.jsonl.gz")
    assert found.mapped("inferences") == {
        "request_id": "id",
        "ts": "timestamp",
        "model_version": "variant_name",
        "params": "inference_params",
        "input": "input",
        "output": "output",
        "latency_ms": "processing_time_ms",
    }
    assert found.mapped("feedback") == {
        "feedback_id": "id",
        "request_id": "target_id",
        "ts": "timestamp",
        "name": "metric_name",
        "value": "value",
    }
    assert found.columns("inferences")["tags"] == "NULL"
    assert found.config["feedback"]["signals"] == {"haiku_score": {"kind": "binary"}}
    assert "episode_id" in found.asks("inferences.session_id")
    assert len(found.guess.questions) == 1


@pytest.mark.usefixtures("no_importer_knows_them")
def test_haiku_folder_of_four_tables(propose: Propose, real_data: Path) -> None:
    folder = real_data / "tensorzero_haiku"
    found = propose(folder, folder)
    assert found.config["inferences"]["source"].endswith("/ChatInference.jsonl.gz")
    assert found.config["feedback"]["source"].endswith("/BooleanMetricFeedback.jsonl.gz")
    assert "JsonInference" in found.asks("inferences.source")
    context = found.config["context"]["model_inference"]
    assert context["join"] == "lookup"
    assert context["on"] == {"request_id": "inference_id"}
    assert {"model_name", "input_tokens", "output_tokens"} <= set(context["columns"])
    assert "raw_response" not in context["columns"]


def test_employment(propose: Propose, real_data: Path) -> None:
    folder = real_data / "nannyml_employment"
    found = propose(folder / "analysis.parquet", folder / "analysis_target.parquet")
    assert found.guess.questions == ()
    assert found.mapped("inferences") == {
        "request_id": "id",
        "prediction": "prediction",
        "score": "predicted_probability",
    }
    inferences, feedback = found.config["inferences"], found.config["feedback"]
    assert inferences["positive_class"] == "1"
    assert inferences["clock"] == feedback["clock"] == "none"
    assert any("year" in note and "not as a clock" in note for note in found.guess.notes)
    assert inferences["features"]["AGEP"] == "DOUBLE"
    assert inferences["features"]["year"] == "BIGINT"
    assert len(inferences["features"]) == 17
    assert feedback["columns"] == {
        "request_id": "id",
        "name": "'employed'",
        "value": "employed",
    }
    assert feedback["signals"] == {"employed": {"kind": "label"}}


def test_realhumaneval(propose: Propose, real_data: Path) -> None:
    turns = real_data / "realhumaneval_chat" / "chat_data.csv.gz"
    found = propose(turns, turns)
    inferences, feedback = found.config["inferences"], found.config["feedback"]
    assert inferences["sql"] == "SELECT *, CAST(source_row AS VARCHAR) AS request_id FROM source"
    assert found.mapped("inferences") == {
        "request_id": "request_id",
        "model_version": "model",
        "model": "model",
        "user_id": "programmer_id",
        "input": "request",
        "output": "response",
    }
    assert inferences["clock"] == feedback["clock"] == "none"
    assert feedback["signals"] == {"copied": {"kind": "binary"}}
    notes = "\n".join(found.guess.notes)
    assert "please glance at this" in notes
    assert "timestamp holds numbers" in notes
    assert "logprobs holds -9999" in notes
    assert "57 of 1055" in notes


def test_open_bandit_index_is_no_key(propose: Propose, real_data: Path) -> None:
    log = real_data / "obd" / "random_men.csv.gz"
    found = propose(log, log)
    assert found.mapped("inferences")["ts"] == "timestamp"
    assert found.mapped("inferences")["propensity"] == "propensity_score"
    assert found.mapped("inferences")["position"] == "position"
    assert "source_row" in found.config["inferences"]["sql"]
    assert found.signal("click") == {"kind": "binary"}


def test_california_asks_or_maps_rightly(propose: Propose, real_data: Path) -> None:
    folder = real_data / "nannyml_california"
    found = propose(folder / "analysis.csv.gz", folder / "analysis_targets.csv")
    right = {
        "request_id": {"id", "identifier"},
        "ts": {"timestamp"},
        "prediction": {"y_pred"},
        "score": {"y_pred_proba"},
    }
    for field, expression in found.mapped("inferences").items():
        assert expression in right.get(field, set()), field
