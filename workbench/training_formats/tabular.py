"""Tables: features in columns of their own, and the label."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from workbench.engine import identifier
from workbench.training_formats._format import TrainingFormat
from workbench.training_formats._texts import UNLABELLED, of_each_inference

_TAUGHT = {"label": "r.label", "prediction": "r.prediction", "none": "NULL::VARCHAR"}


def _candidates(target: str, **_: Any) -> str:
    taught = _TAUGHT[target]
    missing = {"label": UNLABELLED, "prediction": "'no_prediction'", "none": "NULL"}[target]
    return of_each_inference(taught, f"CASE WHEN {taught} IS NULL THEN {missing} END")


def _payload(source: str, target: str, features: Sequence[str], **_: Any) -> str:
    listed = "".join(f"t.features.{identifier(name)} AS {identifier(name)}, " for name in features)
    return (
        f"SELECT e.example_id, {listed}e.label AS label, e.request_id "
        f"FROM {source} e JOIN texts t ON e.request_id = t.request_id"
    )


def _asked(features: Sequence[str], **_: Any) -> tuple[str, str]:
    listed = ", ".join(f"{identifier(n)} := {identifier(n)}" for n in features)
    return f"CAST(to_json(struct_pack({listed})) AS VARCHAR)" if listed else "request_id", "NULL"


training_format = TrainingFormat(
    name="tabular",
    about="Features in columns of their own and the label: for classifiers and for AutoML.",
    targets=("label", "prediction", "none"),
    candidates=_candidates,
    payload=_payload,
    schema={"*": "The features, each typed as the project says.", "label": "The label."},
    asked=_asked,
)
