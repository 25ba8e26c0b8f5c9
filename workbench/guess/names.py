"""What a column's name says: normalised words and the names that the field is known by."""

from __future__ import annotations

import re
from enum import IntEnum

_UMLAUTS = str.maketrans({"ä": "ae", "ö": "oe", "ü": "ue", "ß": "ss"})

#: Abbreviations and German words, as the word that stands for them in `NAMES`.
_WORDS = {
    "abgelehnt": "rejected", "aenderung": "updated", "aktualisiert": "updated", "am": "at",
    "anfr": "request", "anfrage": "request", "angelegt": "created", "antw": "answer",
    "antwort": "answer", "aufruf": "call", "ausgabe": "output", "benutzer": "user",
    "bewertung": "rating", "bemerkung": "comment", "bew": "rating", "conf": "confidence",
    "datum": "date", "dauer": "duration", "eingabe": "input", "ereignis": "event",
    "erstellt": "created", "frage": "question", "geaendert": "updated", "geraet": "device",
    "identifier": "id", "ids": "id", "kanal": "channel", "kennung": "id", "klasse": "class",
    "knd": "user", "kommentar": "comment", "korrektur": "correction", "kosten": "cost",
    "kunde": "user", "kunden": "user", "lat": "latency", "llm": "model", "mdl": "model",
    "merkmal": "name", "messages": "message", "millis": "ms", "modell": "model",
    "msec": "ms", "nr": "id", "num": "id", "nummer": "id", "nutzer": "user", "on": "at",
    "pred": "prediction", "predicted": "prediction", "prob": "probability",
    "proba": "probability", "probabilities": "probability", "probs": "probability",
    "req": "request", "resp": "response", "schluessel": "key", "sec": "seconds",
    "secs": "seconds", "sekunden": "seconds", "sess": "session", "sitzung": "session",
    "sitzungs": "session", "sterne": "stars", "svc": "service", "tok": "tokens",
    "uid": "user_id", "uhrzeit": "time", "usr": "user", "utc": "", "ver": "version",
    "vers": "version", "vorhersage": "prediction", "wahrscheinlichkeit": "probability",
    "wert": "value", "zeit": "time", "zeitpunkt": "time", "zeitstempel": "timestamp",
}  # fmt: skip

_REQUEST = ("request", "inference", "call", "completion", "generation", "prediction", "response")
_PERSON = (
    "user", "customer", "client", "member", "visitor", "player", "student", "patient",
    "subject", "participant", "programmer", "developer", "end_user", "person",
)  # fmt: skip
_RATER = ("rater", "annotator", "reviewer", "judge", "labeler", "labeller", "evaluator", "grader")


def _keys(*nouns: str) -> frozenset[str]:
    return frozenset(
        f"{noun}_{ending}" for noun in nouns for ending in ("id", "key", "uuid", "ref", "guid")
    )


#: Contract field to the names that it is known by; a shared name counts for neither.
NAMES: dict[str, frozenset[str]] = {
    "request_id": _keys(*_REQUEST, *(f"model_{noun}" for noun in _REQUEST))
    | {"ref_call", "id_request", "target_id", "target_ref", "target_key"},
    "feedback_id": _keys("feedback", "event", "annotation", "rating", "vote", "review"),
    "ts": frozenset(
        {
            "ts", "time", "timestamp", "date", "datetime", "created", "created_at", "created_time",
            "created_ts", "creation_time", "creation_date", "created_date", "event_time",
            "event_ts", "event_timestamp", "event_date", "request_time", "request_ts",
            "request_timestamp", "requested_at", "start_time", "started_at", "start_ts", "start",
            "logged_at", "log_time", "inference_time", "inference_ts", "inference_timestamp",
            "called_at", "call_time", "occurred_at", "happened_at", "submitted_at", "rated_at",
            "feedback_time", "feedback_ts", "time_stamp", "date_time", "ts_ms", "timestamp_ms",
            "time_ms", "epoch", "epoch_ms", "created_ms", "created_at_ms", "time_unix",
            "start_time_unix", "given_at", "call_ts", "epoch_seconds", "ts_us", "ts_ns",
        }
    ),
    "received_at": frozenset({"received_at", "received", "received_ts", "arrived_at"}),
    "model_version": frozenset(
        {
            "model_version", "variant_name", "model_variant", "variant", "version_model",
            "model_revision", "model_checkpoint", "checkpoint", "model_tag", "model_release",
            "model_build",
        }
    ),
    "model": frozenset({"model", "model_name", "model_id", "engine", "name_model"}),
    "user_id": _keys(*_PERSON) | {"user", "customer", "id_user"},
    "session_id": _keys("session", "conversation", "chat", "dialog", "dialogue")
    | {"session", "conversation"},
    "trace_id": _keys("trace") | {"trace"},
    "parent_id": _keys("parent", "parent_span", "parent_run", "parent_request"),
    "item_id": _keys("item", "product", "article") | {"item"},
    "step": frozenset({"step", "step_index", "step_id"}),
    "input": frozenset(
        {
            "input", "prompt", "request", "question", "query", "input_text", "prompt_text",
            "user_input", "user_message", "message", "input_message", "request_text",
            "user_prompt", "question_text", "request_body", "user_query",
        }
    ),
    "output": frozenset(
        {
            "output", "response", "answer", "completion", "reply", "output_text", "generation",
            "response_text", "generated_text", "answer_text", "model_output", "model_response",
            "completion_text", "assistant_message", "output_message", "response_body",
        }
    ),
    "reasoning": frozenset({"reasoning", "thinking", "chain_of_thought", "rationale"}),
    "params": frozenset(
        {
            "params", "inference_params", "parameters", "model_parameters", "model_params",
            "invocation_parameters", "generation_config", "request_params",
        }
    ),
    "prediction": frozenset(
        {
            "prediction", "y_prediction", "prediction_class", "prediction_label", "y_hat",
            "model_prediction", "prediction_value",
        }
    ),
    "score": frozenset(
        {
            "score", "probability", "prediction_probability", "y_probability", "prediction_score",
            "y_prediction_probability", "y_score", "positive_probability", "class_1_probability",
        }
    ),
    "confidence": frozenset(
        {"confidence", "prediction_confidence", "model_confidence", "certainty",
         "confidence_score"}
    ),
    "probabilities": frozenset({"probability", "class_probability", "softmax"}),
    "logits": frozenset({"logits"}),
    "token_logprobs": frozenset({"token_logprobs", "logprobs", "log_probability"}),
    "embedding": frozenset({"embedding", "input_embedding", "vector", "prompt_embedding"}),
    "propensity": frozenset({"propensity", "propensity_score", "pscore", "action_probability"}),
    "position": frozenset({"position", "rank", "slot"}),
    "device": frozenset({"device", "device_type", "device_name"}),
    "channel": frozenset({"channel"}),
    "cohort": frozenset({"cohort", "arm", "ab_group", "experiment_arm", "experiment_group"}),
    "latency_ms": frozenset(
        {
            "latency_ms", "processing_time_ms", "response_time_ms", "duration_ms", "elapsed_ms",
            "latency", "duration", "response_time", "processing_time", "elapsed", "latency_s",
            "latency_seconds", "duration_s", "duration_seconds", "elapsed_seconds", "elapsed_s",
            "runtime_ms", "took_ms",
        }
    ),
    "input_tokens": frozenset(
        {"input_tokens", "prompt_tokens", "tokens_in", "n_input_tokens", "tokens_input",
         "request_tokens", "input_token_count", "prompt_token_count"}
    ),
    "output_tokens": frozenset(
        {"output_tokens", "completion_tokens", "tokens_out", "n_output_tokens", "tokens_output",
         "response_tokens", "output_token_count", "completion_token_count"}
    ),
    "cost": frozenset({"cost", "cost_usd", "cost_eur", "total_cost", "usd", "price_usd"}),
    "tags": frozenset({"tags"}),
    "name": frozenset(
        {
            "name", "metric_name", "metric", "signal", "signal_name", "event_name", "event_type",
            "feedback_type", "feedback_name", "score_name", "event", "type", "action",
            "signal_type", "feature_name",
        }
    ),
    "value": frozenset(
        {"value", "feedback_value", "score_value", "metric_value", "event_value", "signal_value"}
    ),
    "corrected_output": frozenset(
        {
            "corrected_output", "correction", "corrected", "corrected_text", "edited_text",
            "edited_output", "edited", "post_edit", "corrected_answer", "corrected_response",
            "edited_response", "revised_output", "ideal_output", "ideal_response",
            "human_correction", "demonstration",
        }
    ),
    "chosen_id": frozenset({"chosen_id", "preferred_id", "winner_id"}),
    "rejected_id": frozenset({"rejected_id", "loser_id", "dispreferred_id"}),
    "retracts": frozenset({"retracts", "retracted_id", "withdraws"}),
    "comment": frozenset(
        {"comment", "comments", "feedback_text", "free_text", "remark", "remarks", "note",
         "user_comment", "comment_text"}
    ),
    "rater_id": _keys(*_RATER) | frozenset(_RATER),
    "rater_kind": frozenset({"rater_kind", "rater_type"}),
    "scope": frozenset({"scope"}),
    "kind": frozenset({"kind"}),
    "device_type": frozenset({"device_type", "device"}),
    "geolocation": frozenset({"geolocation", "geo", "location"}),
}  # fmt: skip

#: Names of columns that hold a verdict on one inference.
THUMBS = frozenset(
    {
        "thumb", "thumbs", "thumbs_up", "thumb_up", "like", "liked", "upvote", "vote", "helpful",
        "is_helpful", "was_helpful", "good", "is_good", "useful", "accepted", "is_accepted",
        "approved", "correct", "is_correct", "resolved", "solved", "satisfied", "hilfreich",
        "feedback", "verdict", "daumen", "reaction", "sentiment", "outcome", "clicked", "click",
        "copied", "converted",
    }
)  # fmt: skip
RATINGS = frozenset(
    {"rating", "stars", "star", "star_rating", "user_rating", "csat", "nps", "score",
     "grade", "user_score", "quality", "rating_stars", "stars_rating", "satisfaction"}
)  # fmt: skip
LABELS = frozenset(
    {"label", "target", "actual", "truth", "ground_truth", "y_true", "y", "true_label",
     "true_class", "gold", "gold_label", "actual_class", "actual_label", "outcome_class",
     "class", "true_value"}
)  # fmt: skip
IMPLICIT = ("copy", "copied", "click", "clicked", "accept", "accepted", "paste", "like", "share",
            "apply", "insert", "purchase", "action")  # fmt: skip
#: Words of signals whose 1 is usually bad news.
BAD_NEWS = frozenset(
    {
        "flag",
        "flagged",
        "complaint",
        "complained",
        "wrong",
        "incorrect",
        "error",
        "bad",
        "toxic",
        "hallucination",
        "hallucinated",
        "escalated",
        "escalation",
        "downvote",
        "downvoted",
        "dislike",
        "disliked",
        "down",
        "churn",
        "churned",
        "refund",
        "refunded",
        "report",
        "reported",
        "rejected",
        "abandoned",
        "unhelpful",
        "bug",
        "issue",
        "failed",
        "failure",
        "spam",
        "beschwerde",
        "fehler",
    }
)
#: Times of something other than the call or the event itself.
OTHER_TIMES = frozenset(
    {"updated", "update", "modified", "changed", "end", "ended", "finished", "completed",
     "expires", "deleted", "birth", "dob", "signup", "registered", "login", "valid", "until",
     "due", "last", "ingested", "loaded", "exported", "received", "processed", "closed"}
)  # fmt: skip
PROTECTED = frozenset(
    {"sex", "gender", "race", "rac1p", "ethnicity", "age", "agep", "age_band", "religion",
     "nationality", "disability", "geschlecht", "alter", "marital", "birthdate", "country"}
)  # fmt: skip


class Evidence(IntEnum):
    """How much a name says about a field."""

    NONE = 0
    GENERIC = 1
    SYNONYM = 2
    EXACT = 3


_GENERIC_KEYS = frozenset({"id", "key", "uuid", "ref", "guid", "target", "reference", "row_id"})


def words(name: str) -> list[str]:
    """Split a name in snake, camel or kebab case into lower-case English words.

    Examples
    --------
    >>> words("AnfrageID")
    ['request', 'id']
    """
    spaced = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", " ", name)
    parts = re.split(r"[^a-z0-9]+", spaced.casefold().translate(_UMLAUTS))
    known = [_WORDS.get(part, part) for part in parts if part]
    return [word for entry in known for word in entry.split("_") if word]


def phrase(name: str) -> str:
    """Return the words of a name, joined."""
    return "_".join(words(name))


def evidence(field: str, path: tuple[str, ...]) -> Evidence:
    """How much the name at the end of `path` says about `field`.

    A generic leaf, such as the ``id`` in ``user.id``, is read together with its parent.
    """
    leaf = phrase(path[-1])
    if len(path) == 1 and path[0].casefold() == field:
        return Evidence.EXACT
    spoken = leaf
    if len(path) > 1 and leaf in (*_GENERIC_KEYS, "name", "version", "type", "value", "text"):
        spoken = phrase(f"{path[-2]}_{path[-1]}")
    if spoken in NAMES.get(field, ()):
        return Evidence.SYNONYM
    if field in ("request_id", "feedback_id") and leaf in _GENERIC_KEYS and spoken == leaf:
        return Evidence.GENERIC
    return Evidence.NONE


def is_about(path: tuple[str, ...], names: frozenset[str]) -> bool:
    """Whether the leaf's phrase, with or without its last decoration, is one of `names`."""
    spoken = phrase(path[-1])
    stripped = "_".join(words(re.sub(r"\(.*?\)|[\d\W]+$", "", path[-1])))
    return spoken in names or stripped in names


def claimed_by_another(field: str, path: tuple[str, ...]) -> bool:
    """Whether the name is a known name of some other field and not of this one."""
    if evidence(field, path) >= Evidence.SYNONYM:
        return False
    return any(
        evidence(other, path) >= Evidence.SYNONYM for other in NAMES if other not in (field, "name")
    )
