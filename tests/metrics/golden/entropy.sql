SELECT
  CASE
    WHEN (
      ARRAY_LENGTH("t0"."ps") > 0
    )
    AND (
      ARRAY_LENGTH(
        LIST_FILTER(
          "t0"."ps",
          __ibis_param_q__ -> (
            __ibis_param_q__ IS NULL
          )
          OR ISNAN(__ibis_param_q__)
          OR (
            __ibis_param_q__ < 0.0
          )
          OR (
            __ibis_param_q__ > 1.0
          )
        )
      ) = 0
    )
    AND (
      ABS(LIST_SUM("t0"."ps") - 1.0) <= 0.001
    )
    THEN 0.0 - LIST_SUM(
      LIST_APPLY(
        "t0"."ps",
        __ibis_param_p__ -> __ibis_param_p__ * LN(CASE WHEN __ibis_param_p__ > 0.0 THEN __ibis_param_p__ ELSE 1.0 END)
      )
    )
    WHEN (
      "t0"."ps" IS NULL
    )
    AND (
      "t0"."p" >= 0.0
    )
    AND (
      "t0"."p" <= 1.0
    )
    AND NOT (
      ISNAN("t0"."p")
    )
    THEN 0.0 - (
      (
        "t0"."p" * LN(CASE WHEN "t0"."p" > 0.0 THEN "t0"."p" ELSE 1.0 END)
      ) + (
        (
          1.0 - "t0"."p"
        ) * LN(CASE WHEN (
          1.0 - "t0"."p"
        ) > 0.0 THEN 1.0 - "t0"."p" ELSE 1.0 END)
      )
    )
    ELSE CAST(NULL AS DOUBLE)
  END AS "entropy"
FROM "rows" AS "t0"
