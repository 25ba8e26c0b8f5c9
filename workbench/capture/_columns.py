"""The names of the contract's columns, which a serving process must know without DuckDB.

``sql/schema.sql`` declares them; a test compares.
"""

from __future__ import annotations

INFERENCES = frozenset(
    """
    request_id ts model_version model params user_id session_id trace_id parent_id step item_id
    input output reasoning features prediction confidence score probabilities logits
    token_logprobs ensemble embedding scores propensity position choices attributions
    counterfactuals retrieved tool_calls device channel cohort latency_ms input_tokens
    output_tokens cost tags metadata source_system
    """.split()  # noqa: SIM905 - as readable as the declaration
)
FEEDBACK = frozenset(
    """
    feedback_id request_id model_version ts received_at name kind value corrected_output chosen_id
    rejected_id retracts comment scope rater_id rater_kind user_id session_id trace_id device_type
    geolocation channel tags metadata schema_version source_system
    """.split()  # noqa: SIM905 - as readable as the declaration
)
#: What a context says of an event too, and not only of the call that it is about.
SHARED = ("user_id", "session_id", "channel")
