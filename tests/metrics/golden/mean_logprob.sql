SELECT
  LIST_AVG(
    CASE
      WHEN (
        ARRAY_LENGTH("t0"."ps") > 0
      )
      AND (
        ARRAY_LENGTH(
          LIST_FILTER(
            "t0"."ps",
            __ibis_param_p__ -> (
              __ibis_param_p__ IS NULL
            )
            OR ISNAN(__ibis_param_p__)
            OR (
              __ibis_param_p__ < -1000.0
            )
            OR (
              __ibis_param_p__ > 1e-06
            )
          )
        ) = 0
      )
      THEN "t0"."ps"
      ELSE CAST(NULL AS DOUBLE[])
    END
  ) AS "mean_logprob"
FROM "rows" AS "t0"
