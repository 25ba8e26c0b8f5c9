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
    THEN 1.0 - (
      LIST_MAX("t0"."ps") - CASE
        WHEN ARRAY_LENGTH("t0"."ps") > 1
        THEN LIST_EXTRACT(
          LIST_SORT("t0"."ps"),
          (
            ARRAY_LENGTH("t0"."ps") - 2
          ) + CAST((
            ARRAY_LENGTH("t0"."ps") - 2
          ) >= 0 AS BIGINT)
        )
        ELSE 0.0
      END
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
    THEN 1.0 - ABS((
      "t0"."p" * 2.0
    ) - 1.0)
    ELSE CAST(NULL AS DOUBLE)
  END AS "margin"
FROM "rows" AS "t0"
