-- The contract: every table and column of the workbench, its type, whether it may be missing, which
-- values are possible, and what it means. Nothing else declares columns; Python reads this file through
-- DuckDB's catalog, and the import check, the feedback schema, the schema browser and the data
-- dictionary are made from it.
--
-- NOT NULL  a row without the value is refused (a source with clock = "none" may leave out ts).
-- CHECK     a row for which it is false is refused; it is never clipped. Of a list it is about the values
--           that are not NaN.
-- Times are TIMESTAMPTZ in UTC, durations are seconds, JSON is text.

------------------------------------------------------------------------------------------------------
-- What is logged
------------------------------------------------------------------------------------------------------

CREATE TABLE inferences (
  request_id      VARCHAR NOT NULL,
  ts              TIMESTAMPTZ NOT NULL,
  model_version   VARCHAR NOT NULL,
  model           VARCHAR,
  params          VARCHAR,
  user_id         VARCHAR,
  session_id      VARCHAR,
  trace_id        VARCHAR,
  parent_id       VARCHAR,
  step            INTEGER CHECK (step >= 0),
  item_id         VARCHAR,
  input           VARCHAR,
  output          VARCHAR,
  reasoning       VARCHAR,
  features        STRUCT(name VARCHAR),
  prediction      VARCHAR,
  confidence      DOUBLE CHECK (isnan(confidence) OR (confidence >= 0 AND confidence <= 1)),
  score           DOUBLE CHECK (isnan(score) OR (score >= 0 AND score <= 1)),
  probabilities   DOUBLE[] CHECK (list_min(probabilities) >= 0 AND list_max(probabilities) <= 1),
  logits          DOUBLE[],
  token_logprobs  DOUBLE[],
  ensemble        DOUBLE[][] CHECK (list_min(flatten(ensemble)) >= 0 AND list_max(flatten(ensemble)) <= 1),
  embedding       FLOAT[],
  scores          STRUCT(name VARCHAR, value DOUBLE)[],
  propensity      DOUBLE CHECK (isnan(propensity) OR (propensity >= 0 AND propensity <= 1)),
  position        INTEGER,
  choices         VARCHAR[],
  attributions    STRUCT(feature VARCHAR, value DOUBLE, kind VARCHAR, base DOUBLE, units VARCHAR)[],
  counterfactuals STRUCT(input VARCHAR, output VARCHAR)[],
  retrieved       STRUCT(id VARCHAR, text VARCHAR, score DOUBLE)[],
  tool_calls      VARCHAR,
  device          VARCHAR,
  channel         VARCHAR,
  cohort          VARCHAR,
  latency_ms      DOUBLE CHECK (isnan(latency_ms) OR latency_ms >= 0),
  input_tokens    BIGINT CHECK (input_tokens >= 0),
  output_tokens   BIGINT CHECK (output_tokens >= 0),
  cost            DOUBLE,
  tags            VARCHAR[],
  metadata        VARCHAR,
  source_system   VARCHAR
);
COMMENT ON TABLE inferences IS 'One row per logged model call.';
COMMENT ON COLUMN inferences.request_id IS 'Key of the model call.';
COMMENT ON COLUMN inferences.ts IS 'When the call was made.';
COMMENT ON COLUMN inferences.model_version IS 'Version of the model that answered.';
COMMENT ON COLUMN inferences.model IS 'Name of the model.';
COMMENT ON COLUMN inferences.params IS 'Parameters of the call, as JSON text.';
COMMENT ON COLUMN inferences.user_id IS 'The user on whose behalf the call was made.';
COMMENT ON COLUMN inferences.session_id IS 'Session or conversation of the call.';
COMMENT ON COLUMN inferences.trace_id IS 'Trace that the call is a step of.';
COMMENT ON COLUMN inferences.parent_id IS 'The step of the trace that made this call.';
COMMENT ON COLUMN inferences.step IS 'Position of the call in its trace, from 0.';
COMMENT ON COLUMN inferences.item_id IS 'What was recommended, ranked or judged.';
COMMENT ON COLUMN inferences.input IS 'Prompt as text, or its messages as JSON text.';
COMMENT ON COLUMN inferences.output IS 'Answer as text, or its content as JSON text.';
COMMENT ON COLUMN inferences.reasoning IS 'Reasoning text that came before the answer.';
COMMENT ON COLUMN inferences.features IS 'Input features by name, typed as the project configures them.';
COMMENT ON COLUMN inferences.prediction IS 'Predicted class or value, as text.';
COMMENT ON COLUMN inferences.confidence IS 'Probability that the prediction is right, 0 to 1.';
COMMENT ON COLUMN inferences.score IS 'Probability of the positive class, 0 to 1.';
COMMENT ON COLUMN inferences.probabilities IS 'Probability of each class, in the order of the configured classes.';
COMMENT ON COLUMN inferences.logits IS 'Logit of each class.';
COMMENT ON COLUMN inferences.token_logprobs IS 'Natural-log probability of each generated token.';
COMMENT ON COLUMN inferences.ensemble IS 'Class probabilities of each ensemble member.';
COMMENT ON COLUMN inferences.embedding IS 'Embedding of the input.';
COMMENT ON COLUMN inferences.scores IS 'Scores of other models on the answer: reward, toxicity, safety.';
COMMENT ON COLUMN inferences.propensity IS 'Probability with which the logging policy chose this action, 0 to 1.';
COMMENT ON COLUMN inferences.position IS 'Position at which the item was shown.';
COMMENT ON COLUMN inferences.choices IS 'The candidates that were chosen from.';
COMMENT ON COLUMN inferences.attributions IS 'Logged feature attributions (SHAP, attention).';
COMMENT ON COLUMN inferences.counterfactuals IS 'Changed inputs and the outputs they would have given.';
COMMENT ON COLUMN inferences.retrieved IS 'Documents that the model was given.';
COMMENT ON COLUMN inferences.tool_calls IS 'Tool calls that the answer made, as JSON text.';
COMMENT ON COLUMN inferences.device IS 'Device of the user.';
COMMENT ON COLUMN inferences.channel IS 'Channel through which the call came.';
COMMENT ON COLUMN inferences.cohort IS 'Experiment arm or cohort.';
COMMENT ON COLUMN inferences.latency_ms IS 'Duration of the call in milliseconds.';
COMMENT ON COLUMN inferences.input_tokens IS 'Tokens of the prompt.';
COMMENT ON COLUMN inferences.output_tokens IS 'Tokens of the answer.';
COMMENT ON COLUMN inferences.cost IS 'Cost of the call, in the currency of the source.';
COMMENT ON COLUMN inferences.tags IS 'Free tags.';
COMMENT ON COLUMN inferences.metadata IS 'Everything else that the source held, as JSON text.';
COMMENT ON COLUMN inferences.source_system IS 'System that the row came from.';

CREATE TABLE feedback (
  feedback_id      VARCHAR NOT NULL,
  request_id       VARCHAR,
  model_version    VARCHAR,
  ts               TIMESTAMPTZ NOT NULL,
  received_at      TIMESTAMPTZ,
  name             VARCHAR NOT NULL,
  kind             VARCHAR CHECK (kind IN ('binary', 'rating', 'label', 'correction', 'preference', 'comment', 'implicit', 'outcome')),
  value            VARCHAR,
  corrected_output VARCHAR,
  chosen_id        VARCHAR,
  rejected_id      VARCHAR,
  retracts         VARCHAR,
  comment          VARCHAR,
  scope            VARCHAR CHECK (scope IN ('inference', 'session', 'conversation', 'trace')),
  rater_id         VARCHAR,
  rater_kind       VARCHAR CHECK (rater_kind IN ('human', 'model', 'code')),
  user_id          VARCHAR,
  session_id       VARCHAR,
  trace_id         VARCHAR,
  device_type      VARCHAR,
  geolocation      VARCHAR,
  channel          VARCHAR,
  tags             VARCHAR[],
  metadata         VARCHAR,
  schema_version   INTEGER CHECK (schema_version = 1),
  ingested_at      TIMESTAMPTZ NOT NULL,
  source_system    VARCHAR,
  source_file      VARCHAR,
  source_row       BIGINT,
  raw              VARCHAR
);
COMMENT ON TABLE feedback IS 'One row per accepted feedback event.';
COMMENT ON COLUMN feedback.feedback_id IS 'Key of the event: the sender''s, else the md5 of its mapped fields.';
COMMENT ON COLUMN feedback.request_id IS 'The inference that the event judges, as the sender says.';
COMMENT ON COLUMN feedback.model_version IS 'Model version that the sender says was judged.';
COMMENT ON COLUMN feedback.ts IS 'When the event happened.';
COMMENT ON COLUMN feedback.received_at IS 'When the event became known, as the source says, else ts.';
COMMENT ON COLUMN feedback.name IS 'Name of the signal.';
COMMENT ON COLUMN feedback.kind IS 'Kind of the signal, which decides how it becomes a reward.';
COMMENT ON COLUMN feedback.value IS 'The signal itself: a JSON scalar, or text.';
COMMENT ON COLUMN feedback.corrected_output IS 'What the output should have been.';
COMMENT ON COLUMN feedback.chosen_id IS 'Preference: the inference that was preferred.';
COMMENT ON COLUMN feedback.rejected_id IS 'Preference: the inference that was not preferred.';
COMMENT ON COLUMN feedback.retracts IS 'The feedback_id of an event that its sender withdraws with this one.';
COMMENT ON COLUMN feedback.comment IS 'Free text.';
COMMENT ON COLUMN feedback.scope IS 'What is judged: one inference (default), a session or conversation (by session_id), or a trace.';
COMMENT ON COLUMN feedback.rater_id IS 'Who judged.';
COMMENT ON COLUMN feedback.rater_kind IS 'Whether a human, a model or code judged.';
COMMENT ON COLUMN feedback.user_id IS 'User who gave the feedback, or on whose behalf.';
COMMENT ON COLUMN feedback.session_id IS 'Session in which the feedback was given.';
COMMENT ON COLUMN feedback.trace_id IS 'Trace that is judged.';
COMMENT ON COLUMN feedback.device_type IS 'Device on which the feedback was given.';
COMMENT ON COLUMN feedback.geolocation IS 'Where the feedback was given, as the source writes it.';
COMMENT ON COLUMN feedback.channel IS 'Channel through which the feedback came.';
COMMENT ON COLUMN feedback.tags IS 'Free tags.';
COMMENT ON COLUMN feedback.metadata IS 'Everything else that the source held, as JSON text.';
COMMENT ON COLUMN feedback.schema_version IS 'Version of the feedback schema that the sender follows.';
COMMENT ON COLUMN feedback.ingested_at IS 'When the workbench read the event; no result depends on it.';
COMMENT ON COLUMN feedback.source_system IS 'System that the event came from.';
COMMENT ON COLUMN feedback.source_file IS 'File that the event was read from.';
COMMENT ON COLUMN feedback.source_row IS 'Row of that file, from 1; the header of a CSV file is row 1.';
COMMENT ON COLUMN feedback.raw IS 'The event as it was read: the line itself, or the row as JSON text.';

CREATE TABLE aliases (
  alias      VARCHAR NOT NULL,
  request_id VARCHAR NOT NULL
);
COMMENT ON TABLE aliases IS 'Other names by which events may call an inference or a trace.';
COMMENT ON COLUMN aliases.alias IS 'The other name; a request_id of that name goes before it.';
COMMENT ON COLUMN aliases.request_id IS 'The request_id that is meant, or, where there is no such inference, the trace_id.';

CREATE TABLE quarantine (
  "table"     VARCHAR NOT NULL,
  reason      VARCHAR NOT NULL,
  field       VARCHAR,
  raw         VARCHAR,
  source_file VARCHAR,
  source_row  BIGINT,
  ingested_at TIMESTAMPTZ
);
COMMENT ON TABLE quarantine IS 'One row per refused input row, whole, with the reason; duplicates and spam too.';
COMMENT ON COLUMN quarantine."table" IS 'Table that the row was meant for.';
COMMENT ON COLUMN quarantine.reason IS 'Why the row was refused.';
COMMENT ON COLUMN quarantine.field IS 'The contract field that was wrong, where one was.';
COMMENT ON COLUMN quarantine.raw IS 'The row as it was read: the line itself, or the row as JSON text.';
COMMENT ON COLUMN quarantine.source_file IS 'File that the row was read from.';
COMMENT ON COLUMN quarantine.source_row IS 'Row of that file, from 1; NULL where the whole file could not be read.';
COMMENT ON COLUMN quarantine.ingested_at IS 'When the workbench refused the row.';

------------------------------------------------------------------------------------------------------
-- What is derived
------------------------------------------------------------------------------------------------------

CREATE TABLE attribution (
  feedback_id            VARCHAR NOT NULL,
  status                 VARCHAR NOT NULL CHECK (status IN ('attributed', 'ambiguous', 'orphan')),
  request_id             VARCHAR,
  method                 VARCHAR CHECK (method IN ('request_id', 'alias', 'session', 'user', 'trace', 'preference')),
  attribution_confidence DOUBLE,
  n_candidates           BIGINT,
  delay                  DOUBLE,
  early                  BOOLEAN,
  other_model_version    BOOLEAN,
  retracted              BOOLEAN,
  reason                 VARCHAR,
  chosen_request_id      VARCHAR,
  rejected_request_id    VARCHAR,
  raw                    VARCHAR,
  source_file            VARCHAR,
  source_row             BIGINT
);
COMMENT ON TABLE attribution IS 'One row per accepted feedback event: what became of it.';
COMMENT ON COLUMN attribution.feedback_id IS 'Key of the event.';
COMMENT ON COLUMN attribution.status IS 'attributed, ambiguous or orphan.';
COMMENT ON COLUMN attribution.request_id IS 'The inference that the event judges, of several that it is credited to the heaviest; NULL unless attributed.';
COMMENT ON COLUMN attribution.method IS 'How the inference was found.';
COMMENT ON COLUMN attribution.attribution_confidence IS '1 for a known request_id or alias, else 1 / n_candidates.';
COMMENT ON COLUMN attribution.n_candidates IS 'Inferences that could have been meant: of the alias, in the window, or in the session or trace up to the event.';
COMMENT ON COLUMN attribution.delay IS 'Seconds from the inference to the event, by the corrected clock where clocks are corrected; NULL without clocks.';
COMMENT ON COLUMN attribution.early IS 'The event is dated before its inference.';
COMMENT ON COLUMN attribution.other_model_version IS 'The event names another model version than its inference has.';
COMMENT ON COLUMN attribution.retracted IS 'The sender withdrew the event; it decides nothing.';
COMMENT ON COLUMN attribution.reason IS 'Why an event is an orphan or ambiguous.';
COMMENT ON COLUMN attribution.chosen_request_id IS 'Preference: the inference that chosen_id names, itself or by an alias; NULL unless both sides are known.';
COMMENT ON COLUMN attribution.rejected_request_id IS 'Preference: the inference that rejected_id names, itself or by an alias; NULL unless both sides are known.';
COMMENT ON COLUMN attribution.raw IS 'The event as it was read.';
COMMENT ON COLUMN attribution.source_file IS 'File that the event was read from.';
COMMENT ON COLUMN attribution.source_row IS 'Row of that file.';

CREATE TABLE credits (
  feedback_id VARCHAR NOT NULL,
  request_id  VARCHAR NOT NULL,
  weight      DOUBLE NOT NULL
);
COMMENT ON TABLE credits IS 'How an attributed event is credited to inferences; weights add up to 1 per event. A preference credits neither side.';
COMMENT ON COLUMN credits.feedback_id IS 'Key of the event.';
COMMENT ON COLUMN credits.request_id IS 'An inference that the event judges.';
COMMENT ON COLUMN credits.weight IS 'Share of the event that this inference gets.';

CREATE TABLE labels (
  request_id   VARCHAR NOT NULL,
  label        VARCHAR,
  label_reason VARCHAR,
  kind         VARCHAR,
  reward       DOUBLE,
  n_feedback   BIGINT NOT NULL,
  n_raters     BIGINT NOT NULL,
  agreement    DOUBLE,
  label_delay  DOUBLE
);
COMMENT ON TABLE labels IS 'One row per inference with at least one attributed, mature, deciding event.';
COMMENT ON COLUMN labels.request_id IS 'Key of the model call.';
COMMENT ON COLUMN labels.label IS 'What the inference turned out to be: the class, or 1 / 0 by its reward.';
COMMENT ON COLUMN labels.label_reason IS 'Why the label is NULL: tie, no_weight (nobody''s vote counts under rater_weighted).';
COMMENT ON COLUMN labels.kind IS 'Kind of the deciding signals: label where classes decide, else reward.';
COMMENT ON COLUMN labels.reward IS 'Resolved reward, 0 to 1.';
COMMENT ON COLUMN labels.n_feedback IS 'Deciding events.';
COMMENT ON COLUMN labels.n_raters IS 'Raters behind them; an event without a rater is its own rater.';
COMMENT ON COLUMN labels.agreement IS 'Share of pairs of deciding events that agree (Fleiss 1971, P_i); NULL for fewer than two.';
COMMENT ON COLUMN labels.label_delay IS 'Seconds from the inference to its last deciding event.';

CREATE TABLE ledger (
  "table" VARCHAR NOT NULL,
  status  VARCHAR NOT NULL,
  n       BIGINT NOT NULL
);
COMMENT ON TABLE ledger IS 'What became of every received row; the statuses of a table add up to its received.';
COMMENT ON COLUMN ledger."table" IS 'feedback or inferences.';
COMMENT ON COLUMN ledger.status IS 'received, or what became of the row.';
COMMENT ON COLUMN ledger.n IS 'Rows.';

CREATE TABLE enriched_steps (
  trace_id        VARCHAR NOT NULL,
  request_id      VARCHAR NOT NULL,
  parent_id       VARCHAR,
  step            BIGINT NOT NULL,
  n_steps         BIGINT NOT NULL,
  ts              TIMESTAMPTZ,
  model_version   VARCHAR NOT NULL,
  model           VARCHAR,
  tool_calls      VARCHAR,
  n_tool_calls    BIGINT,
  reasoning       VARCHAR,
  output          VARCHAR,
  error           VARCHAR,
  latency_ms      DOUBLE,
  cost            DOUBLE,
  input_tokens    BIGINT,
  output_tokens   BIGINT,
  outcome         DOUBLE,
  credit          DOUBLE NOT NULL,
  credited_reward DOUBLE,
  label           VARCHAR
);
COMMENT ON TABLE enriched_steps IS 'One row per inference that has a trace_id: the steps of agents, with how their traces turned out.';
COMMENT ON COLUMN enriched_steps.trace_id IS 'Trace that the call is a step of.';
COMMENT ON COLUMN enriched_steps.request_id IS 'Key of the model call.';
COMMENT ON COLUMN enriched_steps.parent_id IS 'The step of the trace that made this call.';
COMMENT ON COLUMN enriched_steps.step IS 'Position of the call in its trace, as logged; where it is not, from 0 by ts, step and request_id.';
COMMENT ON COLUMN enriched_steps.n_steps IS 'Steps of the trace.';
COMMENT ON COLUMN enriched_steps.ts IS 'When the call was made.';
COMMENT ON COLUMN enriched_steps.model_version IS 'Version of the model that answered.';
COMMENT ON COLUMN enriched_steps.model IS 'Name of the model.';
COMMENT ON COLUMN enriched_steps.tool_calls IS 'Tool calls that the answer made, as JSON text.';
COMMENT ON COLUMN enriched_steps.n_tool_calls IS 'How many tool calls those are; NULL where none are logged or they are not JSON.';
COMMENT ON COLUMN enriched_steps.reasoning IS 'Reasoning text that came before the answer.';
COMMENT ON COLUMN enriched_steps.output IS 'Answer as text, or its content as JSON text.';
COMMENT ON COLUMN enriched_steps.error IS 'What went wrong in the call, as its metadata or tags say; NULL where they say nothing of an error.';
COMMENT ON COLUMN enriched_steps.latency_ms IS 'Duration of the call in milliseconds.';
COMMENT ON COLUMN enriched_steps.cost IS 'Cost of the call, in the currency of the source.';
COMMENT ON COLUMN enriched_steps.input_tokens IS 'Tokens of the prompt.';
COMMENT ON COLUMN enriched_steps.output_tokens IS 'Tokens of the answer.';
COMMENT ON COLUMN enriched_steps.outcome IS 'Mean reward of the events that judge the trace as a whole, 0 to 1; the same for all its steps.';
COMMENT ON COLUMN enriched_steps.credit IS 'Sum of the shares that the step got of events with a reward that were not withdrawn.';
COMMENT ON COLUMN enriched_steps.credited_reward IS 'Sum of those shares times their rewards; NULL where the step got none.';
COMMENT ON COLUMN enriched_steps.label IS 'What the inference turned out to be.';

-- The columns that the enriched views add to those of inferences and feedback.
CREATE TABLE enriched (
  reward               DOUBLE,
  label                VARCHAR,
  label_reason         VARCHAR,
  correct              BOOLEAN,
  label_delay          DOUBLE,
  n_events             BIGINT,
  n_feedback           BIGINT,
  n_raters             BIGINT,
  agreement            DOUBLE,
  n_choices            BIGINT,
  least_confidence     DOUBLE,
  margin               DOUBLE,
  entropy              DOUBLE,
  mutual_information   DOUBLE,
  vote_entropy         DOUBLE,
  disagreement         DOUBLE,
  sum_logprob          DOUBLE,
  mean_logprob         DOUBLE,
  min_logprob          DOUBLE,
  perplexity           DOUBLE,
  prob_bin             INTEGER,
  selected             BOOLEAN,
  positive             BOOLEAN,
  label_index          INTEGER,
  calibration_p        DOUBLE,
  calibration_y        DOUBLE,
  flags                VARCHAR[]
);
COMMENT ON TABLE enriched IS 'Columns that the enriched views add.';
COMMENT ON COLUMN enriched.reward IS 'Reward, 0 to 1: of the event in enriched_feedback, resolved in enriched_inferences.';
COMMENT ON COLUMN enriched.label IS 'What the inference turned out to be.';
COMMENT ON COLUMN enriched.label_reason IS 'Why the label is NULL: tie, no_weight, no_feedback, not_deciding, not_mature, no_clock.';
COMMENT ON COLUMN enriched.correct IS 'Whether the label equals the prediction; for class labels only.';
COMMENT ON COLUMN enriched.label_delay IS 'Seconds from the inference to its last deciding event.';
COMMENT ON COLUMN enriched.n_events IS 'Events that judge the inference, of any kind, whether they decide its label or not; without withdrawn ones and withdrawals.';
COMMENT ON COLUMN enriched.n_feedback IS 'Deciding events of the inference.';
COMMENT ON COLUMN enriched.n_raters IS 'Raters behind them.';
COMMENT ON COLUMN enriched.agreement IS 'Share of pairs of deciding events that agree.';
COMMENT ON COLUMN enriched.n_choices IS 'How many candidates were chosen from; NULL where none are logged.';
COMMENT ON COLUMN enriched.least_confidence IS '1 minus the largest probability; large = unsure.';
COMMENT ON COLUMN enriched.margin IS '1 minus the gap between the two largest probabilities; large = unsure.';
COMMENT ON COLUMN enriched.entropy IS 'Shannon entropy of the probabilities in nats; large = unsure.';
COMMENT ON COLUMN enriched.mutual_information IS 'Entropy of the ensemble''s mean less the mean entropy of its members, in nats (BALD); large = they disagree.';
COMMENT ON COLUMN enriched.vote_entropy IS 'Entropy of the classes that the members of the ensemble vote for, in nats; large = they disagree.';
COMMENT ON COLUMN enriched.disagreement IS 'Share of the ensemble''s members that vote against their majority (variation ratio).';
COMMENT ON COLUMN enriched.sum_logprob IS 'Log-probability of the whole answer: sum over its tokens, in nats.';
COMMENT ON COLUMN enriched.mean_logprob IS 'Mean log-probability of the answer''s tokens, in nats; low = unsure.';
COMMENT ON COLUMN enriched.min_logprob IS 'Log-probability of the answer''s least likely token, in nats; low = unsure.';
COMMENT ON COLUMN enriched.perplexity IS 'exp(-mean_logprob): among how many equally likely tokens the model chose, on average; large = unsure.';
COMMENT ON COLUMN enriched.prob_bin IS 'Bin of the calibration score: ten equal widths from 0, left-closed, the last closed.';
COMMENT ON COLUMN enriched.selected IS 'Whether the prediction is the positive class.';
COMMENT ON COLUMN enriched.positive IS 'Whether the label is the positive class; of a label that comes from rewards, whether it is 1. NULL where unlabelled.';
COMMENT ON COLUMN enriched.label_index IS 'Position of the label in the configured classes, from 0, which is its place in probabilities; for class labels only.';
COMMENT ON COLUMN enriched.calibration_p IS 'Probability of the calibration pair: score, else confidence.';
COMMENT ON COLUMN enriched.calibration_y IS 'Outcome of the calibration pair, 1 or 0; NULL where unlabelled.';
COMMENT ON COLUMN enriched.flags IS 'What was odd about the row without refusing it, such as token_logprobs:sentinel.';

-- The columns that artefacts add to the enriched views.
CREATE TABLE fitted (
  calibrated_p         DOUBLE,
  calibration_gap      DOUBLE,
  density              DOUBLE,
  response_propensity  DOUBLE,
  sample_weight        DOUBLE
);
COMMENT ON TABLE fitted IS 'Columns that the enriched views add from artefacts; NULL where none is pinned.';
COMMENT ON COLUMN fitted.calibrated_p IS 'Calibration score after recalibration.';
COMMENT ON COLUMN fitted.calibration_gap IS 'Mean of calibration score minus outcome in the bin of the score; positive = overconfident.';
COMMENT ON COLUMN fitted.density IS 'Density of the embedding among its neighbours; small = unlike the others.';
COMMENT ON COLUMN fitted.response_propensity IS 'Estimated probability that the inference gets feedback.';
COMMENT ON COLUMN fitted.sample_weight IS 'Weight that makes labelled inferences stand for all.';

------------------------------------------------------------------------------------------------------
-- What is computed of it: views, each of which is a macro with parameters too
------------------------------------------------------------------------------------------------------

CREATE TABLE calibration (
  per            VARCHAR,
  bin            INTEGER,
  n              BIGINT,
  share          DOUBLE,
  mean_predicted DOUBLE,
  observed       DOUBLE,
  low            DOUBLE,
  high           DOUBLE,
  gap            DOUBLE
);
COMMENT ON TABLE calibration IS 'Reliability table: predicted probability and observed rate in each bin. A macro too: calibration(per, keep, bins, bin_rule).';
COMMENT ON COLUMN calibration.per IS 'Group: the value of the parameter per; NULL where it is left out.';
COMMENT ON COLUMN calibration.bin IS 'Bin of calibration_p, from 0; NULL for rows that the rule leaves out.';
COMMENT ON COLUMN calibration.n IS 'Calibration pairs in the bin.';
COMMENT ON COLUMN calibration.share IS 'Their share of all calibration pairs of the group.';
COMMENT ON COLUMN calibration.mean_predicted IS 'Mean of calibration_p.';
COMMENT ON COLUMN calibration.observed IS 'Mean of calibration_y: how often it was so.';
COMMENT ON COLUMN calibration.low IS 'Lower end of the 95 % interval of observed (Wilson).';
COMMENT ON COLUMN calibration.high IS 'Upper end of it.';
COMMENT ON COLUMN calibration.gap IS 'mean_predicted - observed; positive = overconfident. NULL where there is no bin.';

CREATE TABLE group_metrics (
  per        VARCHAR,
  metric     VARCHAR,
  value      DOUBLE,
  low        DOUBLE,
  high       DOUBLE,
  n          BIGINT,
  n_labelled BIGINT,
  reason     VARCHAR
);
COMMENT ON TABLE group_metrics IS 'Every metric that is a mean over rows, one row per group and metric. A macro too: group_metrics(per, keep).';
COMMENT ON COLUMN group_metrics.per IS 'Group: the value of the parameter per; NULL where it is left out.';
COMMENT ON COLUMN group_metrics.metric IS 'Name of the metric.';
COMMENT ON COLUMN group_metrics.value IS 'Its value; NULL where it is undefined.';
COMMENT ON COLUMN group_metrics.low IS 'Lower end of its 95 % interval.';
COMMENT ON COLUMN group_metrics.high IS 'Upper end of it.';
COMMENT ON COLUMN group_metrics.n IS 'Rows in the value.';
COMMENT ON COLUMN group_metrics.n_labelled IS 'Labelled rows of the group.';
COMMENT ON COLUMN group_metrics.reason IS 'Why the value is NULL.';

CREATE TABLE uncertainty (
  per              VARCHAR,
  bin              INTEGER,
  n                BIGINT,
  least_confidence DOUBLE,
  margin           DOUBLE,
  entropy          DOUBLE,
  n_judged         BIGINT,
  correct          DOUBLE,
  low              DOUBLE,
  high             DOUBLE
);
COMMENT ON TABLE uncertainty IS 'How unsure the model was and how often it was right, in each bin of probability. A macro too: uncertainty(per, keep, bins).';
COMMENT ON COLUMN uncertainty.per IS 'Group: the value of the parameter per; NULL where it is left out.';
COMMENT ON COLUMN uncertainty.bin IS 'Bin of calibration_p, from 0; NULL for rows without a probability.';
COMMENT ON COLUMN uncertainty.n IS 'Inferences in the bin, judged or not.';
COMMENT ON COLUMN uncertainty.least_confidence IS 'Mean of 1 minus the largest probability; large = unsure.';
COMMENT ON COLUMN uncertainty.margin IS 'Mean of 1 minus the gap between the two largest probabilities; large = unsure.';
COMMENT ON COLUMN uncertainty.entropy IS 'Mean Shannon entropy of the probabilities in nats; large = unsure.';
COMMENT ON COLUMN uncertainty.n_judged IS 'Inferences of which it is known whether they were right.';
COMMENT ON COLUMN uncertainty.correct IS 'Share of them that were right.';
COMMENT ON COLUMN uncertainty.low IS 'Lower end of the 95 % interval of correct (Wilson).';
COMMENT ON COLUMN uncertainty.high IS 'Upper end of it.';

CREATE TABLE agreement (
  per       VARCHAR,
  name      VARCHAR,
  rater_a   VARCHAR,
  rater_b   VARCHAR,
  n         BIGINT,
  n_agree   BIGINT,
  agreement DOUBLE,
  low       DOUBLE,
  high      DOUBLE
);
COMMENT ON TABLE agreement IS 'How often each two raters agree about the same inference. A macro too: agreement(per, keep).';
COMMENT ON COLUMN agreement.per IS 'Group: the value of the parameter per; NULL where it is left out.';
COMMENT ON COLUMN agreement.name IS 'Name of the signal.';
COMMENT ON COLUMN agreement.rater_a IS 'The rater of the pair that comes first in the alphabet.';
COMMENT ON COLUMN agreement.rater_b IS 'The other one.';
COMMENT ON COLUMN agreement.n IS 'Inferences that both judged.';
COMMENT ON COLUMN agreement.n_agree IS 'Inferences that both judged alike.';
COMMENT ON COLUMN agreement.agreement IS 'n_agree / n.';
COMMENT ON COLUMN agreement.low IS 'Lower end of its 95 % interval (Wilson).';
COMMENT ON COLUMN agreement.high IS 'Upper end of it.';

CREATE TABLE label_delay (
  per        VARCHAR,
  name       VARCHAR,
  kind       VARCHAR,
  n          BIGINT,
  shortest   DOUBLE,
  median     DOUBLE,
  p90        DOUBLE,
  longest    DOUBLE,
  n_early    BIGINT,
  n_no_clock BIGINT
);
COMMENT ON TABLE label_delay IS 'How long feedback takes, for each signal. A macro too: label_delay(per, keep).';
COMMENT ON COLUMN label_delay.per IS 'Group: the value of the parameter per; NULL where it is left out.';
COMMENT ON COLUMN label_delay.name IS 'Name of the signal.';
COMMENT ON COLUMN label_delay.kind IS 'Kind of the signal.';
COMMENT ON COLUMN label_delay.n IS 'Attributed events with a delay that were not withdrawn.';
COMMENT ON COLUMN label_delay.shortest IS 'Shortest delay from the inference to the event, in seconds.';
COMMENT ON COLUMN label_delay.median IS 'Median delay in seconds.';
COMMENT ON COLUMN label_delay.p90 IS '90th percentile of the delay in seconds.';
COMMENT ON COLUMN label_delay.longest IS 'Longest delay in seconds.';
COMMENT ON COLUMN label_delay.n_early IS 'Events that are dated before their inference.';
COMMENT ON COLUMN label_delay.n_no_clock IS 'Events without a delay because a time is missing.';

CREATE TABLE feedback_skew (
  per           VARCHAR,
  column_name   VARCHAR,
  value         VARCHAR,
  n             BIGINT,
  n_labelled    BIGINT,
  response_rate DOUBLE,
  low           DOUBLE,
  high          DOUBLE
);
COMMENT ON TABLE feedback_skew IS 'Who gives feedback: the response rate by each value of what was known before. A macro too: feedback_skew(per, keep).';
COMMENT ON COLUMN feedback_skew.per IS 'Group: the value of the parameter per; NULL where it is left out.';
COMMENT ON COLUMN feedback_skew.column_name IS 'Column of the inferences, or hour(ts), the hour of the day in UTC.';
COMMENT ON COLUMN feedback_skew.value IS 'Its value as text; NULL where it is missing.';
COMMENT ON COLUMN feedback_skew.n IS 'Inferences with this value.';
COMMENT ON COLUMN feedback_skew.n_labelled IS 'How many of them have a label or a reward.';
COMMENT ON COLUMN feedback_skew.response_rate IS 'Share of them that got an event of any kind.';
COMMENT ON COLUMN feedback_skew.low IS 'Lower end of its 95 % interval (Wilson).';
COMMENT ON COLUMN feedback_skew.high IS 'Upper end of it.';

CREATE TABLE drift (
  per            VARCHAR,
  "column"       VARCHAR,
  chunk          TIMESTAMPTZ,
  reference      BOOLEAN,
  n              BIGINT,
  jensen_shannon DOUBLE,
  threshold      DOUBLE,
  alert          BOOLEAN
);
COMMENT ON TABLE drift IS 'How far each narrow column has moved in each week from the first third of the weeks. A macro too: drift(per, keep, every).';
COMMENT ON COLUMN drift.per IS 'Group: the value of the parameter per; NULL where it is left out.';
COMMENT ON COLUMN drift."column" IS 'Column of the inferences.';
COMMENT ON COLUMN drift.chunk IS 'When the day, week or month begins, in UTC.';
COMMENT ON COLUMN drift.reference IS 'Whether the chunk belongs to the reference: the first third of the chunks of the group.';
COMMENT ON COLUMN drift.n IS 'Inferences in the chunk.';
COMMENT ON COLUMN drift.jensen_shannon IS 'Jensen-Shannon distance from the reference, base 2: from 0 to 1.';
COMMENT ON COLUMN drift.threshold IS 'Mean + 3 standard deviations of the reference chunks; NULL with one such chunk.';
COMMENT ON COLUMN drift.alert IS 'Whether the distance is above the threshold.';

------------------------------------------------------------------------------------------------------
-- What the build keeps of it in schema narrow: sums that add up over days, versions and cohorts
------------------------------------------------------------------------------------------------------

CREATE TABLE metric_state (
  day           DATE,
  model_version VARCHAR,
  cohort        VARCHAR,
  bin           INTEGER,
  y             DOUBLE,
  rows          BIGINT,
  n             DOUBLE,
  ww            DOUBLE,
  sp            DOUBLE,
  spp           DOUBLE
);
COMMENT ON TABLE metric_state IS 'Sums of the calibration pairs, one row per day, model version, cohort, bin and outcome.';
COMMENT ON COLUMN metric_state.day IS 'Day of ts in UTC.';
COMMENT ON COLUMN metric_state.model_version IS 'Version of the model that answered.';
COMMENT ON COLUMN metric_state.cohort IS 'Experiment arm or cohort.';
COMMENT ON COLUMN metric_state.bin IS 'Bin of calibration_p: ten equal widths from 0, left-closed, the last closed.';
COMMENT ON COLUMN metric_state.y IS 'Outcome: calibration_y.';
COMMENT ON COLUMN metric_state.rows IS 'Calibration pairs.';
COMMENT ON COLUMN metric_state.n IS 'Sum of their weights, which are 1.';
COMMENT ON COLUMN metric_state.ww IS 'Sum of the squared weights.';
COMMENT ON COLUMN metric_state.sp IS 'Sum of calibration_p.';
COMMENT ON COLUMN metric_state.spp IS 'Sum of the square of calibration_p.';

CREATE TABLE metric_sums (
  day           DATE,
  model_version VARCHAR,
  cohort        VARCHAR,
  metric        VARCHAR,
  n_rows        BIGINT,
  n_labelled    BIGINT,
  n             BIGINT,
  base          BIGINT,
  outside       BIGINT,
  total         DOUBLE,
  squares       DOUBLE
);
COMMENT ON TABLE metric_sums IS 'Sums of every metric that is a mean over rows, one row per day, model version, cohort and metric.';
COMMENT ON COLUMN metric_sums.day IS 'Day of ts in UTC.';
COMMENT ON COLUMN metric_sums.model_version IS 'Version of the model that answered.';
COMMENT ON COLUMN metric_sums.cohort IS 'Experiment arm or cohort.';
COMMENT ON COLUMN metric_sums.metric IS 'Name of the metric.';
COMMENT ON COLUMN metric_sums.n_rows IS 'Inferences.';
COMMENT ON COLUMN metric_sums.n_labelled IS 'Inferences with a label or a reward.';
COMMENT ON COLUMN metric_sums.n IS 'Rows in the value of the metric.';
COMMENT ON COLUMN metric_sums.base IS 'Rows that it could be about, of a metric that is about a part of the rows; else 0.';
COMMENT ON COLUMN metric_sums.outside IS 'Values outside of [0, 1].';
COMMENT ON COLUMN metric_sums.total IS 'Sum of the values.';
COMMENT ON COLUMN metric_sums.squares IS 'Sum of the squared values.';

------------------------------------------------------------------------------------------------------
-- What the build keeps of it in schema narrow: where a row is, so that one is found among millions
------------------------------------------------------------------------------------------------------

CREATE TABLE places (
  place  UINTEGER,
  row_id BIGINT
);
COMMENT ON TABLE places IS 'The number of each inference by the hash of its id, in the order of the hashes.';
COMMENT ON COLUMN places.place IS 'Upper half of the hash of request_id; a few ids share one.';
COMMENT ON COLUMN places.row_id IS 'Number of the row in the lake and in the narrow tables.';
