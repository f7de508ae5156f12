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
  [measured.holds_0] AS holds,
  measured.due_0 AS due
FROM (
  SELECT
    profile_id,
    countIf(is_0 AND past_0 AND passes_0) AS figure_0,
    figure_0 >= {p6: UInt64} AS holds_0,
    minIf(turn_0, turn_0 > 0) AS due_0
  FROM (
    SELECT
      anchor_id,
      toUnixTimestamp64Milli(at) AS moment,
      type = {p0: String} AS is_0,
      moment <= {now: Int64} AS past_0,
      arrayElement(
        arrayMap(
          whole -> if(
            startsWith(whole, '['),
            JSONExtractRaw(whole, {p2: UInt32}, {p3: String}),
            JSONExtractRaw(whole, {p4: String}, {p3: String})
          ),
          [JSONExtractRaw(properties, {p1: String})]
        ),
        1
      ) AS property_0,
      startsWith(property_0, '"') AND JSONExtractString(property_0) = {p5: String} AS passes_0,
      arrayMin(
        arrayPushBack(
          arrayFilter(
            turn -> turn > {now: Int64},
            arrayMap(width -> moment + width, arrayConcat(if(is_0, {p7: Array(Int64)}, [])))
          ),
          4611686018427387904
        )
      ) AS turn_0
    FROM events
    WHERE
      type = {p0: String} AND anchor_id IN (
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
