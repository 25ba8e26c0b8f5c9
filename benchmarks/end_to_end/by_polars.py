"""The same table as by the workbench, by a script in polars as a person would tune it.

Narrow columns first, joins by key, only of the inferences that have feedback; texts last, streamed
into the file. Nothing is kept for another question than this one.
"""

from __future__ import annotations

import sys
from datetime import datetime
from pathlib import Path

import polars as pl

HOUR = pl.duration(hours=1)
NARROW = (
    "request_id", "ts", "model_version", "user_id", "session_id", "score", "prediction",
    "latency_ms", "device", "cohort",
)  # fmt: skip


def events_of(folder: Path) -> pl.DataFrame:
    """The events that count: valid, each once, no spam."""
    events = pl.scan_parquet(folder / "feedback.parquet")
    return (
        events.filter(pl.col("value").is_in(["0", "1"]))
        .sort("ts", "value", "comment")
        .unique("feedback_id", keep="first", maintain_order=True)
        .filter(pl.col("rater_id") != "load-test")
        .select(
            "feedback_id", "rater_id", "comment",
            pl.col("request_id").alias("named"), pl.col("session_id").alias("event_session"),
            pl.col("user_id").alias("event_user"), pl.col("ts").alias("feedback_ts"),
            pl.col("value").cast(pl.Float64).alias("reward"),
        )
        .collect(engine="streaming")
    )  # fmt: skip


def attributed(events: pl.DataFrame, inferences: pl.DataFrame) -> pl.DataFrame:
    """Each event with its inference: by id, by session, by user."""
    exact = (
        events.filter(pl.col("named").is_not_null())
        .join(inferences.select("request_id"), left_on="named", right_on="request_id")
        .with_columns(request_id="named", method=pl.lit("request_id"))
    )
    found = [exact]
    rest = events.filter(pl.col("named").is_null())
    for key, method in (("event_session", "session"), ("event_user", "user")):
        own = rest.filter(pl.col(key).is_not_null())
        column = key.replace("event_", "") + "_id"
        near = inferences.lazy().select(column, "ts", "request_id")
        near = near.join(own.lazy().select(key).unique(), left_on=column, right_on=key, how="semi")
        joined = own.sort("feedback_ts").join_asof(
            near.sort("ts").collect(engine="streaming"), left_on="feedback_ts", right_on="ts",
            by_left=key, by_right=column, strategy="backward",
        )  # fmt: skip
        joined = joined.filter(pl.col("feedback_ts") - pl.col("ts") <= HOUR)
        found.append(joined.with_columns(method=pl.lit(method)).drop("ts"))
    columns = exact.columns
    return pl.concat([frame.select(columns) for frame in found])


def labels(events: pl.DataFrame) -> pl.DataFrame:
    """The latest verdict of each rater, their mean, and the label."""
    return (
        events.sort("feedback_ts", "feedback_id")
        .group_by("request_id", "rater_id")
        .agg(pl.col("reward").last())
        .group_by("request_id")
        .agg(pl.col("reward").mean().alias("mean_reward"))
        .select(
            "request_id",
            label=pl.when(pl.col("mean_reward") >= 0.5).then(pl.lit("1")).otherwise(pl.lit("0")),
        )
    )


def contexts(
    folder: Path, judged: pl.DataFrame, inferences: pl.DataFrame, as_of: datetime
) -> pl.DataFrame:
    """What was known of each judged inference at its time, and what was bought in the day after."""
    profiles = pl.read_parquet(folder / "profiles.parquet").sort("valid_from")
    health = pl.read_parquet(folder / "health.parquet").sort("minute")
    rows = judged.sort("ts").join_asof(
        profiles, left_on="ts", right_on="valid_from", by="user_id", strategy="backward"
    )
    rows = rows.join_asof(
        health, left_on="ts", right_on="minute", by="model_version", strategy="backward"
    )
    # Sums up to a time, of which two give what lies between.
    orders = (
        pl.read_parquet(folder / "orders.parquet", columns=["user_id", "ordered_at", "amount"])
        .sort("ordered_at")
        .with_columns(
            upto=pl.col("amount").cum_sum().over("user_id"),
            count=pl.int_range(1, pl.len() + 1).over("user_id"),
        )
        .select("user_id", "ordered_at", "upto", "count")
    )
    rows = rows.join_asof(
        orders.rename({"upto": "upto_from", "count": "count_from"}),
        left_on="ts", right_on="ordered_at", by="user_id", strategy="backward",
    ).drop("ordered_at")  # fmt: skip
    rows = (
        rows.with_columns(until=pl.col("ts") + pl.duration(hours=24))
        .sort("until")
        .join_asof(orders, left_on="until", right_on="ordered_at", by="user_id")
        .with_columns(
            n_orders=pl.col("count").fill_null(0) - pl.col("count_from").fill_null(0),
            amount=pl.col("upto").fill_null(0) - pl.col("upto_from").fill_null(0),
        )
        .with_columns(
            # A day that is not over yet has no sum.
            pl.when(pl.col("until") <= as_of).then(pl.col(name)).alias(name)
            for name in ("n_orders", "amount")
        )
        .drop("upto", "count", "upto_from", "count_from", "ordered_at", "until")
    )
    # An earlier call counts once its answer was there: the last three by then, each found once.
    answered = pl.duration(microseconds=(pl.col("latency_ms") * 1000).round().cast(pl.Int64))
    earlier = (
        inferences.lazy()
        .select("user_id", "ts", "latency_ms", (pl.col("ts") + answered).alias("known"))
        .join(judged.lazy().select("user_id").unique(), on="user_id", how="semi")
        .sort("known", "ts")
        .with_columns(
            pl.col("latency_ms").shift(n).over("user_id").alias(f"before_{n}") for n in (1, 2)
        )
        .select(
            "user_id", "known",
            earlier_latency=pl.mean_horizontal("latency_ms", "before_1", "before_2"),
        )
        .collect(engine="streaming")
    )  # fmt: skip
    return rows.sort("ts").join_asof(
        earlier, left_on="ts", right_on="known", by="user_id", allow_exact_matches=False
    ).drop("known")  # fmt: skip


def main(folder: Path, target: Path, *, payload: bool) -> None:
    """Write the table to `target`."""
    log = pl.scan_parquet(folder / "logs" / "*.parquet")
    inferences = log.select(NARROW).collect(engine="streaming")
    received = events_of(folder)
    events = attributed(received, inferences)
    judged = inferences.join(events.select("request_id").unique(), on="request_id", how="semi")
    rows = contexts(folder, judged, inferences, received["feedback_ts"].max())
    rows = events.join(rows, on="request_id").join(labels(events), on="request_id")
    rows = rows.drop("named", "event_session", "event_user")
    if payload:
        wide = log.select("request_id", "input", "output", "logits")
        wide.join(rows.lazy(), on="request_id").sink_parquet(target, compression="zstd")
    else:
        rows.write_parquet(target, compression="zstd")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), payload=sys.argv[3] == "full")
