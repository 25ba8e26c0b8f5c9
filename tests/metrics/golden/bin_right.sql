SELECT
  CASE
    WHEN (
      "t0"."p" >= 0.0
    ) AND (
      "t0"."p" <= 1.0
    ) AND NOT (
      ISNAN("t0"."p")
    )
    THEN GREATEST(
      LEAST(
        CAST((
          FLOOR("t0"."p" * 10.000000000010001) + CEIL("t0"."p" - (
            FLOOR("t0"."p" * 10.000000000010001) * (
              1 / 10
            )
          ))
        ) - 1.0 AS BIGINT),
        9
      ),
      0
    )
    ELSE CAST(NULL AS BIGINT)
  END AS "bin_right"
FROM "rows" AS "t0"
