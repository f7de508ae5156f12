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
  [stated.holds_0 AND measured.holds_0] AS holds,
  measured.due_0 AS due
FROM (
  SELECT
    profile_id,
    countIf(is_0 AND recent_0 AND passes_0 AND passes_1) AS figure_0,
    figure_0 >= {p10: UInt64} AS holds_0,
    minIf(turn_0, turn_0 > 0) AS due_0
  FROM (
    SELECT
      anchor_id,
      toUnixTimestamp64Milli(at) AS moment,
      type = {p3: String} AND name = {p4: String} AS is_0,
      moment > {now: Int64} - {p5: Int64} AND moment <= {now: Int64} AS recent_0,
      JSONExtractRaw(properties, {p6: String}) AS property_0,
      startsWith(property_0, '"') AND JSONExtractString(property_0) = {p7: String} AS passes_0,
      JSONExtractRaw(properties, {p8: String}) AS property_1,
      match(property_1, '^[-0-9]') AND JSONExtractFloat(property_1) > {p9: Float64} AS passes_1,
      arrayMin(
        arrayPushBack(
          arrayFilter(
            turn -> turn > {now: Int64},
            arrayMap(width -> moment + width, arrayConcat(if(is_0, {p11: Array(Int64)}, [])))
          ),
          4611686018427387904
        )
      ) AS turn_0
    FROM events
    WHERE
      (
        (
          type = {p3: String} AND name = {p4: String}
        )
        AND at > fromUnixTimestamp64Milli({now: Int64} - {p5: Int64})
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
      argMaxIf(value, bitShiftLeft(toUInt128(verified), 127) + rank, name = {p0: String}),
      {p1: String}
    ) AS trait_0,
    startsWith(trait_0, '"') AND has({p2: Array(String)}, JSONExtractString(trait_0)) AS holds_0
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
      name IN {p12: Array(String)}
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
