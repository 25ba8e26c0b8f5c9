"""Judgements that come faster than a person can make them."""

from __future__ import annotations

from datetime import timedelta

from workbench.cleaners._cleaner import Cleaner
from workbench.configuration import duration
from workbench.errors import ConfigError
from workbench.guide import Param
from workbench.project import Cleaning

#: Who judges, by the value of `by`.
_JUDGES = {"rater_id": "coalesce(rater_id, user_id)", "user_id": "user_id"}


def _drop(cleaning: Cleaning, source: str, records: str, window: str, most: int, by: str) -> str:
    try:
        length = duration(window)
    except (ValueError, OverflowError):
        raise ConfigError(
            f"window of bursts cannot be {window!r}.",
            "Write a number and a unit of ms, s, m, h, d or w: bursts(window='1m').",
        ) from None
    interval = f"to_microseconds({length // timedelta(microseconds=1)})"
    # A window that is too full starts at some judgement; all that it reaches are part of the burst.
    return f"""SELECT example_id, 'burst' AS reason, CAST(NULL AS VARCHAR) AS kept_id
FROM (
  SELECT example_id, bool_or(begins) OVER (PARTITION BY judge ORDER BY label_ts
    RANGE BETWEEN {interval} PRECEDING AND CURRENT ROW) AS inside
  FROM (
    SELECT example_id, judge, label_ts, {most} < count(*) OVER (PARTITION BY judge ORDER BY label_ts
      RANGE BETWEEN CURRENT ROW AND {interval} FOLLOWING) AS begins
    FROM (SELECT example_id, label_ts, {_JUDGES[by]} AS judge FROM {source})
    WHERE judge IS NOT NULL AND label_ts IS NOT NULL
  )
) WHERE inside"""


cleaner = Cleaner(
    name="bursts",
    about="All examples that one rater judged within a window which holds more than `most` of "
    "them, both ends included (`burst`): spam, or clicks of a machine. One judgement of a long "
    "conversation, and labels that were imported with one time, look the same.",
    params={
        "window": Param(default="1m", about="Length of the window: a number and a unit."),
        "most": Param(default=30, about="Examples that a window may hold.", minimum=1),
        "by": Param(
            default="rater_id",
            about="Who judges: the rater, and the user where there is none; or the user.",
            choices=tuple(_JUDGES),
        ),
    },
    drop=_drop,
)
