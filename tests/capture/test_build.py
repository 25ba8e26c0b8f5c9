"""From a serving process to the ledger: what was captured is built and attributed."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np

import workbench as wb
from workbench import capture

CONFIG = """
[inferences]
source = "landing/inferences"
[inferences.features]
age = "BIGINT"
feature_cost = "DOUBLE"
[feedback]
source = "landing/feedback"
[feedback.signals.thumb]
kind = "binary"
[feedback.signals.stars]
kind = "rating"
scale = [1, 5]
"""


def test_what_was_captured_is_built_and_attributed(tmp_path: Path):
    (tmp_path / "workbench.toml").write_text(CONFIG)
    project = wb.open(tmp_path)
    log = capture.open(
        tmp_path / "landing", model_version="v3", redact={"input": lambda _: "[masked]"}
    )
    log.inference(
        request_id="full",
        input="secret",
        output="cut in an emoji \ud83d, a NUL \x00, a \u2028",
        params={"temperature": 0.5},
        confidence=np.float32(0.75),
        probabilities=np.array([0.25, 0.75]),
        embedding=np.array([1, 2], dtype=np.float32),
        score=math.nan,
        scores=[{"name": "toxicity", "value": 0.1}],
        tags=["a"],
        features={"age": 41, "cost": 2.5},
        cost=0.25,
        prompt_name="p",
    )
    with log.call(session_id="s1") as call:
        call.add(output="b")
        log.feedback(name="thumb", value=True)
        log.feedback(name="stars", value=np.int64(5), rater_id="u1")
    log.feedback(request_id="full", name="thumb", value=0)
    log.feedback(request_id="nobody", name="thumb", value=1)
    log.feedback(request_id="full", name="stars", value=9)
    assert log.flush(publish=True)
    log.inference(request_id="later")
    assert log.flush()

    project.build()

    status = project.status()
    fates = {name: status[name] for name in ("received", "attributed", "orphan", "invalid")}
    assert fates == {"received": 5, "attributed": 3, "orphan": 1, "invalid": 1}
    # The file that is still being written is not read.
    assert status["inferences"]["accepted"] == 2
    row = project.sql(
        "SELECT * FROM enriched_inferences WHERE request_id = 'full'"
    ).table.to_pylist()[0]
    assert row["input"] == "[masked]"
    assert row["output"].startswith("cut in an emoji ?")
    assert row["params"] == '{"temperature":0.5}'
    assert (row["confidence"], row["cost"], row["score"]) == (0.75, 0.25, None)
    assert (row["probabilities"], row["embedding"]) == ([0.25, 0.75], [1.0, 2.0])
    assert row["features"] == {"age": 41, "feature_cost": 2.5}
    assert row["metadata"] == '{"prompt_name":"p","capture":{"not_finite":["score"]}}'
    assert (row["label"], row["scores"]) == ("0", [{"name": "toxicity", "value": 0.1}])

    log.close()
