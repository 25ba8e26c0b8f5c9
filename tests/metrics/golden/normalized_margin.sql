SELECT
  (
    (
      CASE
        WHEN COALESCE(
          (
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
          AND (
            (
              "t0"."k" >= 0
            ) AND (
              "t0"."k" < ARRAY_LENGTH("t0"."ps")
            )
          ),
          FALSE
        )
        THEN LIST_MAX(
          LIST_APPLY(
            LIST_FILTER(
              RANGE(0, ARRAY_LENGTH("t0"."ps"), 1),
              __ibis_param_k__ -> __ibis_param_k__ = "t0"."k"
            ),
            __ibis_param_k__ -> LIST_EXTRACT("t0"."ps", __ibis_param_k__ + CAST(__ibis_param_k__ >= 0 AS BIGINT))
          )
        )
        ELSE CAST(NULL AS DOUBLE)
      END + 1.0
    ) - COALESCE(
      LIST_MAX(
        LIST_APPLY(
          LIST_FILTER(
            RANGE(0, ARRAY_LENGTH("t0"."ps"), 1),
            __ibis_param_k__ -> __ibis_param_k__ <> "t0"."k"
          ),
          __ibis_param_k__ -> LIST_EXTRACT("t0"."ps", __ibis_param_k__ + CAST(__ibis_param_k__ >= 0 AS BIGINT))
        )
      ),
      0.0
    )
  ) / 2.0 AS "normalized_margin"
FROM "rows" AS "t0"
