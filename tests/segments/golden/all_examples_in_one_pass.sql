WITH anchors AS (
  SELECT
    profile_id,
    anchor_id
  FROM sure_map
  WHERE
    profile_id IN {profiles: Array(UUID)}
  GROUP BY
    profile_id,
    anchor_id
  HAVING
    argMax(present, version) = 1
)
SELECT
  profile_id,
  [
    measured.holds_0 OR measured.holds_1,
    measured.holds_2 AND NOT measured.holds_3,
    measured.holds_4 AND NOT measured.holds_5,
    stated.holds_0 AND measured.holds_6
  ] AS holds,
  measured.due_0 AS due
FROM (
  SELECT
    profile_id,
    sumIf(toInt128(amount_0), is_0 AND past_0) AS figure_0,
    figure_0 >= {p3: Int128} AS holds_0,
    countIf(is_0 AND past_0) AS figure_1,
    figure_1 >= {p4: UInt64} AS holds_1,
    countIf(is_1 AND recent_0) AS figure_2,
    figure_2 >= {p7: UInt64} AS holds_2,
    countIf(is_0 AND recent_0) AS figure_3,
    figure_3 >= {p7: UInt64} AS holds_3,
    figure_1 >= {p7: UInt64} AS holds_4,
    countIf(is_0 AND recent_1) AS figure_4,
    figure_4 >= {p7: UInt64} AS holds_5,
    countIf(is_0 AND recent_1 AND passes_0 AND passes_1) AS figure_5,
    figure_5 >= {p15: UInt64} AS holds_6,
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
      type = {p0: String} AND name = {p5: String} AS is_1,
      moment > {now: Int64} - {p6: Int64} AND moment <= {now: Int64} AS recent_0,
      moment > {now: Int64} - {p8: Int64} AND moment <= {now: Int64} AS recent_1,
      JSONExtractRaw(properties, {p12: String}) AS property_1,
      startsWith(property_1, '"') AND JSONExtractString(property_1) = {p13: String} AS passes_0,
      match(property_0, '^[-0-9]') AND JSONExtractFloat(property_0) > {p14: Float64} AS passes_1,
      arrayMin(
        arrayPushBack(
          arrayFilter(
            turn -> turn > {now: Int64},
            arrayMap(
              width -> moment + width,
              arrayConcat(if(is_0, {p16: Array(Int64)}, []), if(is_1, {p17: Array(Int64)}, []))
            )
          ),
          4611686018427387904
        )
      ) AS turn_0
    FROM events
    WHERE
      (
        (
          type = {p0: String} AND name = {p1: String}
        )
        OR (
          type = {p0: String} AND name = {p5: String}
        )
      )
      AND anchor_id IN (
        SELECT
          anchor_id
        FROM anchors
      )
  ) AS facts
  RIGHT JOIN anchors
    USING (anchor_id)
  GROUP BY
    profile_id
) AS measured
INNER JOIN (
  SELECT
    profile_id,
    JSONExtractRaw(
      argMaxIf(value, bitShiftLeft(toUInt128(verified), 127) + rank, name = {p9: String}),
      {p10: String}
    ) AS trait_0,
    startsWith(trait_0, '"')
    AND has({p11: Array(String)}, JSONExtractString(trait_0)) AS holds_0
  FROM (
    SELECT
      anchor_id,
      name,
      source,
      verified,
      rank,
      value
    FROM trait_values
    WHERE
      name IN {p18: Array(String)}
      AND anchor_id IN (
        SELECT
          anchor_id
        FROM anchors
      )
  ) AS facts
  RIGHT JOIN anchors
    USING (anchor_id)
  GROUP BY
    profile_id
) AS stated
  USING (profile_id)
