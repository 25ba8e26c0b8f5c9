SELECT
  LIST_EXTRACT(
    LIST_APPLY(
      CAST([
        LIST_EXTRACT(
          LIST_APPLY(
            CAST([
              LIST_EXTRACT(
                LIST_APPLY(
                  CAST([
                    (
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
                  ] AS BOOLEAN[]),
                  __ibis_param_ok__ -> LIST_FILTER("t0"."pss", __ibis_param____ -> __ibis_param_ok__)
                ),
                1
              )
            ] AS DOUBLE[][][]),
            __ibis_param_kept__ -> (
              0.0 - LIST_SUM(
                LIST_APPLY(
                  LIST_APPLY(
                    RANGE(
                      0,
                      LIST_MAX(
                        LIST_APPLY(__ibis_param_kept__, __ibis_param_m__ -> ARRAY_LENGTH(__ibis_param_m__))
                      ),
                      1
                    ),
                    __ibis_param_k__ -> LIST_AVG(
                      LIST_APPLY(
                        __ibis_param_kept__,
                        __ibis_param_m__ -> LIST_EXTRACT(__ibis_param_m__, __ibis_param_k__ + CAST(__ibis_param_k__ >= 0 AS BIGINT))
                      )
                    )
                  ),
                  __ibis_param_p__ -> __ibis_param_p__ * LN(CASE WHEN __ibis_param_p__ > 0.0 THEN __ibis_param_p__ ELSE 1.0 END)
                )
              )
            ) - LIST_AVG(
              LIST_APPLY(
                __ibis_param_kept__,
                __ibis_param_classes__ -> 0.0 - LIST_SUM(
                  LIST_APPLY(
                    __ibis_param_classes__,
                    __ibis_param_p__ -> __ibis_param_p__ * LN(CASE WHEN __ibis_param_p__ > 0.0 THEN __ibis_param_p__ ELSE 1.0 END)
                  )
                )
              )
            )
          ),
          1
        )
      ] AS DOUBLE[]),
      __ibis_param_nats__ -> CASE WHEN __ibis_param_nats__ < 0.0 THEN 0.0 ELSE __ibis_param_nats__ END
    ),
    1
  ) AS "mutual_information"
FROM "rows" AS "t0"
