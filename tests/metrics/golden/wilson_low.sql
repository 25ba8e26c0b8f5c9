SELECT
  CASE
    WHEN (
      (
        CAST("t0"."k" AS DOUBLE) / NULLIF(CAST("t0"."n" AS DOUBLE), 0.0)
      ) IS NOT NULL
    )
    AND (
      CAST("t0"."n" AS DOUBLE) > 0.0
    )
    THEN GREATEST(
      LEAST(
        (
          (
            (
              CAST("t0"."n" AS DOUBLE) * (
                CAST("t0"."k" AS DOUBLE) / NULLIF(CAST("t0"."n" AS DOUBLE), 0.0)
              )
            ) + 1.9207294103470627
          ) / (
            CAST("t0"."n" AS DOUBLE) + 3.8414588206941254
          )
        ) - (
          (
            SQRT(
              (
                CAST("t0"."n" AS DOUBLE) * GREATEST(
                  (
                    CAST("t0"."k" AS DOUBLE) / NULLIF(CAST("t0"."n" AS DOUBLE), 0.0)
                  ) * (
                    1.0 - (
                      CAST("t0"."k" AS DOUBLE) / NULLIF(CAST("t0"."n" AS DOUBLE), 0.0)
                    )
                  ),
                  0.0
                )
              ) + 0.9603647051735313
            ) * 1.959963984540054
          ) / (
            CAST("t0"."n" AS DOUBLE) + 3.8414588206941254
          )
        ),
        CAST("t0"."k" AS DOUBLE) / NULLIF(CAST("t0"."n" AS DOUBLE), 0.0)
      ),
      0.0
    )
    ELSE CAST(NULL AS DOUBLE)
  END AS "wilson_low"
FROM "rows" AS "t0"
