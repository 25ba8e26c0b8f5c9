SELECT
  CASE
    WHEN (
      ARRAY_LENGTH(
        LIST_FILTER(
          "t0"."pss",
          __ibis_param_m__ -> (
            __ibis_param_m__ IS NULL
          )
          OR NOT (
            (
              ARRAY_LENGTH(__ibis_param_m__) > 0
            )
            AND (
              ARRAY_LENGTH(
                LIST_FILTER(
                  __ibis_param_m__,
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
              ABS(LIST_SUM(__ibis_param_m__) - 1.0) <= 0.001
            )
          )
        )
      ) = 0
    )
    AND (
      LIST_MIN(LIST_APPLY("t0"."pss", __ibis_param_m__ -> ARRAY_LENGTH(__ibis_param_m__))) = LIST_MAX(LIST_APPLY("t0"."pss", __ibis_param_m__ -> ARRAY_LENGTH(__ibis_param_m__)))
    )
    THEN 1.0 - LIST_MAX(
      LIST_EXTRACT(
        LIST_APPLY(
          CAST([
            LIST_APPLY(
              "t0"."pss",
              __ibis_param_m__ -> CASE
                WHEN (
                  __ibis_param_m__ IS NULL
                ) OR (
                  LIST_MAX(__ibis_param_m__) IS NULL
                )
                THEN NULL
                ELSE COALESCE(LIST_INDEXOF(__ibis_param_m__, LIST_MAX(__ibis_param_m__)), 0)
              END - 1
            )
          ] AS BIGINT[][]),
          __ibis_param_votes__ -> LIST_APPLY(
            RANGE(0, LIST_MAX(__ibis_param_votes__) + 1, 1),
            __ibis_param_k__ -> ARRAY_LENGTH(
              LIST_FILTER(
                __ibis_param_votes__,
                __ibis_param_vote__ -> __ibis_param_vote__ = __ibis_param_k__
              )
            ) / ARRAY_LENGTH(__ibis_param_votes__)
          )
        ),
        1
      )
    )
    ELSE CAST(NULL AS DOUBLE)
  END AS "disagreement"
FROM "rows" AS "t0"
