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
  [measured.holds_0, measured.holds_1, measured.holds_2] AS holds,
  measured.due_0 AS due
FROM (
  SELECT
    profile_id,
    countIf(is_0 AND recent_0) AS figure_0,
    figure_0 >= {p3: UInt64} AS holds_0,
    countIf(is_0 AND recent_1) AS figure_1,
    figure_1 >= {p3: UInt64} AS holds_1,
    countIf(is_1 AND recent_2) AS figure_2,
    figure_2 >= {p3: UInt64} AS holds_2,
    minIf(turn_0, turn_0 > 0) AS due_0
  FROM (
    SELECT
      anchor_id,
      toUnixTimestamp64Milli(at) AS moment,
      type = {p0: String} AND name = {p1: String} AS is_0,
      moment > {now: Int64} - {p2: Int64} AND moment <= {now: Int64} AS recent_0,
      moment > {now: Int64} - {p4: Int64} AND moment <= {now: Int64} AS recent_1,
      type = {p5: String} AS is_1,
      moment > {now: Int64} - {p6: Int64} AND moment <= {now: Int64} AS recent_2,
      arrayMin(
        arrayPushBack(
          arrayFilter(
            turn -> turn > {now: Int64},
            arrayMap(
              width -> moment + width,
              arrayConcat(if(is_0, {p7: Array(Int64)}, []), if(is_1, {p8: Array(Int64)}, []))
            )
          ),
          4611686018427387904
        )
      ) AS turn_0
    FROM events
    WHERE
      (
        (
          (
            type = {p0: String} AND name = {p1: String}
          ) OR type = {p5: String}
        )
        AND at > fromUnixTimestamp64Milli({now: Int64} - {p6: Int64})
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
