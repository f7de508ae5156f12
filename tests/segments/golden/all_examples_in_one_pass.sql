WITH anchors AS (
  SELECT
    profile_id,
    anchor_id
  FROM identity_map
  WHERE
    profile_id IN {profiles: Array(UUID)}
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
    measured.figure_2 >= {p7: UInt64} AND NOT measured.figure_3 >= {p7: UInt64},
    measured.figure_1 >= {p7: UInt64} AND NOT measured.figure_4 >= {p7: UInt64},
    (
      startsWith(stated.trait_0, '"')
      AND has({p11: Array(String)}, JSONExtractString(stated.trait_0))
    )
    AND measured.figure_5 >= {p15: UInt64}
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
    JSONExtractRaw(argMaxIf(value, rank, name = {p9: String}), {p10: String}) AS trait_0
  FROM (
    SELECT
      anchor_id,
      name,
      rank,
      value
    FROM traits
    WHERE
      name IN {p18: Array(String)}
      AND anchor_id IN (
        SELECT
          anchor_id
        FROM anchors
      )
  ) AS facts
  INNER JOIN anchors
    USING (anchor_id)
  GROUP BY
    profile_id
) AS stated
  USING (profile_id)
LEFT JOIN (
  SELECT
    profile_id,
    sumIf(toInt128(amount_0), is_0 AND past_0) AS figure_0,
    countIf(is_0 AND past_0) AS figure_1,
    countIf(is_1 AND recent_0) AS figure_2,
    countIf(is_0 AND recent_0) AS figure_3,
    countIf(is_0 AND recent_1) AS figure_4,
    countIf(is_0 AND recent_1 AND passes_0 AND passes_1) AS figure_5,
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
      ) AS turns_0
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
  INNER JOIN anchors
    USING (anchor_id)
  GROUP BY
    profile_id
) AS measured
  USING (profile_id)
