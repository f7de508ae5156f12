SELECT
  count(),
  sumForEach(holds),
  groupArrayIf(20)(profile_id, arrayElement(holds, 1))
FROM (
  WITH anchors AS (
    SELECT
      profile_id,
      anchor_id
    FROM identity_map
    GROUP BY
      profile_id,
      anchor_id
    HAVING
      argMax(present, version) = 1
  )
  SELECT
    known.profile_id AS profile_id,
    [
      measured.figure_0 >= {p3: Int128} OR measured.figure_1 >= {p4: UInt64},
      measured.figure_0 >= {p3: Int128},
      measured.figure_1 >= {p4: UInt64}
    ] AS holds,
    measured.due_0 AS due
  FROM (
    SELECT DISTINCT
      profile_id
    FROM anchors
  ) AS known
  LEFT JOIN (
    SELECT
      profile_id,
      sumIf(toInt128(amount_0), is_0 AND past_0) AS figure_0,
      countIf(is_0 AND past_0) AS figure_1,
      min(turns_0) AS due_0
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
        ) AS turns_0
      FROM events
      WHERE
        type = {p0: String} AND name = {p1: String}
    ) AS facts
    INNER JOIN anchors
      USING (anchor_id)
    GROUP BY
      profile_id
  ) AS measured
    USING (profile_id)
) AS answers
