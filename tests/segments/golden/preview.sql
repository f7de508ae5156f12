SELECT
  count(),
  sumForEach(holds),
  groupArrayIf(20)(profile_id, arrayElement(holds, 1))
FROM (
  WITH anchors AS (
    SELECT
      profile_id,
      anchor_id
    FROM sure_map
    GROUP BY
      profile_id,
      anchor_id
    HAVING
      argMax(present, version) = 1
  )
  SELECT
    profile_id,
    [measured.holds_0 OR measured.holds_1, measured.holds_0, measured.holds_1] AS holds,
    measured.due_0 AS due
  FROM (
    SELECT
      profile_id,
      sumIf(toInt128(amount_0), is_0 AND past_0) AS figure_0,
      figure_0 >= {p3: Int128} AS holds_0,
      countIf(is_0 AND past_0) AS figure_1,
      figure_1 >= {p4: UInt64} AS holds_1,
      minIf(turn_0, turn_0 > 0) AS due_0
    FROM (
      SELECT
        anchor_id,
        toUnixTimestamp64Milli(at) AS moment,
        type = {p0: String} AND name = {p1: String} AS is_0,
        moment <= {now: Int64} AS past_0,
        JSONExtractRaw(properties, {p2: String}) AS property_0,
        if(
          match(property_0, '^[-0-9]'),
          toInt64(
            round(
              least(
                greatest(JSONExtractFloat(property_0), toFloat64(-9000000000000)),
                toFloat64(9000000000000)
              ) * 1000000
            )
          ),
          0
        ) AS amount_0,
        arrayMin(
          arrayPushBack(
            arrayFilter(
              turn -> turn > {now: Int64},
              arrayMap(width -> moment + width, arrayConcat(if(is_0, {p5: Array(Int64)}, [])))
            ),
            4611686018427387904
          )
        ) AS turn_0
      FROM events
      WHERE
        type = {p0: String} AND name = {p1: String}
    ) AS facts
    RIGHT JOIN anchors
      USING (anchor_id)
    GROUP BY
      profile_id
  ) AS measured
) AS answers
