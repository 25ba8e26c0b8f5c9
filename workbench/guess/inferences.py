"""The mapping of the inference log."""

from __future__ import annotations

from collections.abc import Callable

from workbench.guess.clock import epoch_unit, looks_like_index, set_clock
from workbench.guess.draft import Draft, Line, choose
from workbench.guess.files import quote
from workbench.guess.keys import Join
from workbench.guess.names import Evidence, evidence, phrase, words
from workbench.guess.profile import Column

_SCOPES = frozenset({"episode", "thread", "run", "interaction"})


def map_inferences(draft: Draft, join: Join, *, same_file: bool) -> None:
    """Fill `draft` with what the inference log says."""
    _key(draft, join, same_file=same_file)
    set_clock(draft, what="inference")
    _model(draft)
    _people_and_places(draft)
    _texts(draft)
    _prediction(draft)
    _numbers(draft)
    _sentinels(draft)


def map_features(draft: Draft, reserved: set[tuple[str, ...]]) -> None:
    """Take what is left of a table of predictions as features, with their types."""
    if "prediction" not in draft.columns or {"input", "output"} & set(draft.columns):
        return
    for column in draft.free:
        skip = column.path in reserved or len(column.path) > 1 or column.nested
        if skip or column.path in draft.asked or looks_like_index(column):
            continue
        draft.features[column.path[0]] = _feature_type(draft, column)


def _feature_type(draft: Draft, column: Column) -> str:
    if draft.sample.group.format == "parquet" or column.type not in ("VARCHAR", "JSON"):
        known = {"INTEGER": "BIGINT", "SMALLINT": "BIGINT", "TINYINT": "BIGINT", "FLOAT": "DOUBLE"}
        return "VARCHAR" if column.type.startswith("ENUM") else known.get(column.type, column.type)
    for dtype, likely in (
        ("BIGINT", column.share("plain_integers") == 1),
        ("DOUBLE", column.numeric),
        ("BOOLEAN", column.share("booleans") == 1),
    ):
        padded = dtype == "DOUBLE" and column.integral and column.share("plain_integers") < 1
        if not likely or padded:
            continue
        (bad,) = draft.sample.ask(
            f"SELECT count(*) FROM {draft.sample.keys(column)} "
            f"WHERE trim(k) <> '' AND TRY_CAST(k AS {dtype}) IS NULL"
        )
        if bad == 0:
            return dtype
    return "VARCHAR"


def _key(draft: Draft, join: Join, *, same_file: bool) -> None:
    for column in draft.sample.columns:
        if looks_like_index(column):
            draft.note(f"{column.name} only counts the rows of a file: it is not taken as a key.")
    if join.key is not None:
        repeated = join.key.stats["distinct"] < join.key.stats["filled"]
        if repeated:
            draft.note(f"{join.key.name} repeats: further rows of one key count as duplicates.")
        why = f"holds {join.overlap:.0%} of the feedback's keys" if join.overlap else ""
        draft.map("request_id", join.key, why=why)
    elif same_file:
        draft.sql = row_key_sql(draft)
        draft.columns["request_id"] = Line("request_id", "made by sql")
        draft.note("no column is a key, so the row's place in its file is the request_id.")
    else:
        draft.ask("request_id", join.keys, "which column is the key of the inference?")


def row_key(draft: Draft) -> str:
    """Return SQL of a key made of the row's place in its file."""
    if len(draft.sample.group.files) == 1:
        return "CAST(source_row AS VARCHAR)"
    return "source_file || ':' || source_row"


def row_key_sql(draft: Draft) -> str:
    """Query that adds the row's place in its file as ``request_id``."""
    taken = draft.sample.find("request_id")
    if taken is not None:
        return f"SELECT * REPLACE ({row_key(draft)} AS {quote(taken.path[0])}) FROM source"
    return f"SELECT *, {row_key(draft)} AS request_id FROM source"


def _model(draft: Draft) -> None:
    def few(column: Column) -> bool:
        return (column.key_like and column.few_values) or (
            not column.numeric and not column.nested and column.few_values
        )  # fmt: skip

    versions = [c for c in draft.named("model_version") if few(c)]
    models = [c for c in draft.named("model") if few(c)]
    exact = [c for c in versions if evidence("model_version", c.path) is Evidence.EXACT]
    versions = exact or versions
    plain = [c for c in draft.free if c.spoken in ("version", "v", "release") and few(c)]
    if len(models) == 1:
        draft.map("model", models[0])
    elif models:
        draft.ask("model", models, "which column is the name of the model?")
    if len(versions) == 1:
        draft.map("model_version", versions[0])
    elif versions:
        draft.ask("model_version", versions, "which column is the version of the model?")
    elif plain:
        options = [*plain, *models]
        draft.ask(
            "model_version", options, "is this the version of the model, or of something else?"
        )
    elif len(models) == 1:
        draft.map("model_version", models[0], why="there is no version beside the model's name")
    elif models:
        draft.ask("model_version", models, "which column is the version of the model?")
    else:
        draft.columns["model_version"] = Line("'unknown'", "a constant; write the version here")
        draft.note("no column is the version of the model: it is 'unknown' for every row.")


def people(draft: Draft, fields: dict[str, str]) -> None:
    """Map identifiers of people and sessions that are called so and repeat as such do."""
    for name, what in fields.items():
        called = [c for c in draft.named(name) if c.key_like]
        exact = [c for c in called if evidence(name, c.path) is Evidence.EXACT]
        pick = exact or called
        repeats = [c for c in pick if c.stats["distinct"] < c.stats["filled"]]
        if len(pick) == 1 and (exact or repeats):
            draft.map(name, pick[0])
        elif pick:
            draft.ask(name, pick, f"which column is {what}?")


def _people_and_places(draft: Draft) -> None:
    people(
        draft,
        {
            "user_id": "the user",
            "session_id": "the session",
            "trace_id": "the trace",
            "parent_id": "the step that made the call",
            "item_id": "the item that was recommended or judged",
        },
    )
    for column in draft.free:
        head = words(column.path[-1])
        is_scope = len(head) == 2 and head[0] in _SCOPES and head[1] == "id" and column.key_like
        if is_scope and "session_id" not in draft.columns and "session_id" not in draft.asks:
            draft.ask(
                "session_id", [column], f"is {column.name} a session_id or a trace_id?"
            )  # fmt: skip


def _texts(draft: Draft) -> None:
    for name, what in (("input", "the prompt"), ("output", "the answer")):
        called = [c for c in draft.named(name) if c.text]
        exact = [c for c in called if evidence(name, c.path) is Evidence.EXACT]
        pick = exact or called
        top = [c for c in pick if not any(_inside(c, other) for other in pick)]
        if len(top) == 1:
            draft.map(name, top[0])
        elif top:
            draft.ask(name, top, f"which column is {what}?")
    left = [
        c
        for c in draft.free
        if c.text and not c.nested and c.stats["mean_length"] >= 60 and c.share("dicts") < 0.9
        and not any(evidence(f, c.path) for f in ("reasoning", "params", "comment"))
    ]  # fmt: skip
    missing = [name for name in ("input", "output") if name not in {*draft.columns, *draft.asks}]
    if left and missing:
        draft.ask(missing[0], left, f"is one of these the {' or the '.join(missing)}?")


def _inside(column: Column, other: Column) -> bool:
    return column is not other and column.path[: len(other.path)] == other.path


def _prediction(draft: Draft) -> None:
    called = [
        c
        for c in draft.named("prediction")
        if not c.nested and not c.text and (c.few_values or c.numeric)
    ]
    if len(called) == 1:
        draft.map("prediction", called[0])
    elif called:
        draft.ask("prediction", called, "which column is the prediction?")
    _score(draft)
    _probabilities(draft)


def _unit(column: Column) -> bool:
    inside = column.numeric and column.stats["low"] >= 0 and column.stats["high"] <= 1
    return inside and column.stats["distinct"] > 2


def _score(draft: Draft) -> None:
    confident = [c for c in draft.named("confidence") if not c.nested]
    if len(confident) == 1 and _unit(confident[0]):
        draft.map("confidence", confident[0])
    elif confident:
        draft.ask(
            "confidence",
            confident,
            "which column is the probability, 0 to 1, that the prediction is right?",
        )
    scored = [c for c in draft.named("score") if not c.nested]
    good = [c for c in scored if _unit(c)]
    question = "which column is the probability, 0 to 1, of the positive class?"
    if not scored:
        return
    if len(scored) > 1 or not good:
        options: list[Column | str] = []
        for c in scored:
            percent = c.numeric and c.stats["low"] >= 0 and 1 < c.stats["high"] <= 100
            options.append(f"{c.sql} / 100" if percent else c)
        ranges = ", ".join(
            f"{c.name} holds {c.stats['low']:g} to {c.stats['high']:g}" for c in scored if c.numeric
        )
        draft.ask("score", options, f"{question} {ranges}".strip(), about=scored)
        return
    column, prediction = good[0], draft.mapped.get("prediction")
    if prediction is None or len(prediction.domain) != 2:
        draft.ask("score", [column], f"{column.name}: is it the probability of the positive class?")
        return
    positive = _positive_class(draft, prediction, column)
    if positive is None:
        draft.ask(
            "score",
            [column],
            f"{column.name}: is it the probability of one class, and of which, or the confidence?",
        )
        return
    draft.map("score", column, why=f"it is high exactly where the prediction is {positive!r}")
    draft.settings["positive_class"] = positive


def _positive_class(draft: Draft, prediction: Column, score: Column) -> str | None:
    """Return the class whose rows all score at least as high as the rows of the other."""
    rows = draft.sample.connection.execute(
        f"SELECT trim(CAST({prediction.sql} AS VARCHAR)) AS c, min(CAST({score.sql} AS DOUBLE)), "
        f"max(CAST({score.sql} AS DOUBLE)) FROM {draft.sample.view} "
        f"WHERE {prediction.sql} IS NOT NULL AND nullif(trim(CAST({score.sql} AS VARCHAR)), '') "
        "IS NOT NULL GROUP BY 1 ORDER BY 2"
    ).fetchall()
    if len(rows) != 2 or rows[0][2] > rows[1][1]:
        return None
    positive, negative = str(rows[1][0]), str(rows[0][0])
    swapped = negative.lower() in ("1", "1.0", "true", "yes") or positive.lower() in ("0", "0.0")
    return None if swapped else _plain(positive)


def _plain(value: str) -> str:
    lowered = value.lower()
    if lowered in ("true", "false"):
        return lowered
    return value.removesuffix(".0")


def _probabilities(draft: Draft) -> None:
    for name in ("probabilities", "logits", "embedding", "token_logprobs"):
        for column in draft.named(name):
            if column.share("sentinels"):
                continue
            if not column.type.endswith("]") or not draft.fits(name, column):
                continue
            if name == "token_logprobs":
                (bad,) = draft.sample.ask(
                    f"SELECT count(*) FROM {draft.sample.view} WHERE list_max({column.sql}) > 0"
                )
                if bad:
                    continue
            if name == "probabilities":
                (bad,) = draft.sample.ask(
                    f"SELECT count(*) FROM {draft.sample.view} "
                    f"WHERE abs(list_sum({column.sql}) - 1) > 0.01"
                )
                if bad:
                    draft.ask(name, [column], f"{column.name} does not add up to 1: what is it?")
                    continue
                draft.note(f"{column.name} holds probabilities: name their order with classes.")
            draft.map(name, column)
            break


def _numbers(draft: Draft) -> None:
    _latency(draft)
    fits: dict[str, Callable[[Column], bool]] = {
        "input_tokens": lambda c: c.integral,
        "output_tokens": lambda c: c.integral,
        "cost": lambda c: c.numeric,
        "propensity": lambda c: c.numeric,
        "position": lambda c: c.integral,
        "step": lambda c: c.integral,
    }
    for name, fit in fits.items():
        called = [c for c in draft.named(name) if not c.nested]
        if called and all(fit(c) for c in called):
            choose(draft, name, f"the {name}")
    for name in ("params", "reasoning", "cohort", "channel", "device"):
        called = draft.named(name)
        if len(called) == 1 and draft.fits(name, called[0]):
            draft.map(name, called[0])
    tags = draft.sample.find("tags")
    if tags is not None and tags.type.endswith("[]") and tags.path not in draft.used:
        draft.map("tags", tags)


def _latency(draft: Draft) -> None:
    called = [c for c in draft.named("latency_ms") if c.numeric and c.stats["low"] >= 0]
    called = [c for c in called if epoch_unit(c) is None]
    if len(called) != 1:
        if called:
            draft.ask("latency_ms", called, "which column is the duration of the call?")
        return
    column = called[0]
    parts = set(words(column.path[-1]))
    if "ms" in parts:
        draft.map("latency_ms", column)
    elif parts & {"s", "seconds"}:
        value = (
            column.sql if draft.sample.group.format != "csv" else f"CAST({column.sql} AS DOUBLE)"
        )
        draft.map("latency_ms", column, expression=f"{value} * 1000", why="seconds in the source")
    else:
        draft.ask(
            "latency_ms",
            [column, f"CAST({column.sql} AS DOUBLE) * 1000"],
            f"is {column.name} in milliseconds or in seconds?",
        )


def _sentinels(draft: Draft) -> None:
    for column in draft.sample.columns:
        speaks = {"score", "logprobs", "probability", "logits", "loss", "logprob"}
        numbers = column.numeric or bool(speaks & set(phrase(column.path[-1]).split("_")))
        count = int(column.stats["sentinels"])
        if numbers and count and len(column.path) == 1:
            draft.note(
                f"{column.name} holds -9999 (or -999) in {count} of {draft.sample.rows} rows, "
                "which stands for a missing value: do not average it."
                + ("" if column.path in draft.used else " It stays unmapped and goes to metadata.")
            )
