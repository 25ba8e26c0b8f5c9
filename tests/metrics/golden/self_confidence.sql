SELECT
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
    THEN LIST_EXTRACT(
      LIST_FILTER(
        "t0"."ps",
        __ibis_param____ -> COALESCE(
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
      ),
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
        THEN "t0"."k"
        ELSE 0
      END + CAST(CASE
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
        THEN "t0"."k"
        ELSE 0
      END >= 0 AS BIGINT)
    )
    ELSE CAST(NULL AS DOUBLE)
  END AS "self_confidence"
FROM "rows" AS "t0"
