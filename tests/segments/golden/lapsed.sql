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
  [measured.holds_0 AND NOT measured.holds_1] AS holds,
  measured.due_0 AS due
FROM (
  SELECT
    profile_id,
    countIf(is_0 AND past_0) AS figure_0,
    figure_0 >= {p2: UInt64} AS holds_0,
    countIf(is_0 AND recent_0) AS figure_1,
    figure_1 >= {p2: UInt64} AS holds_1,
    minIf(turn_0, turn_0 > 0) AS due_0
  FROM (
    SELECT
      anchor_id,
      toUnixTimestamp64Milli(at) AS moment,
      type = {p0: String} AND name = {p1: String} AS is_0,
      moment <= {now: Int64} AS past_0,
      moment > {now: Int64} - {p3: Int64} AND moment <= {now: Int64} AS recent_0,
      arrayMin(
        arrayPushBack(
          arrayFilter(
            turn -> turn > {now: Int64},
            arrayMap(width -> moment + width, arrayConcat(if(is_0, {p4: Array(Int64)}, [])))
          ),
          4611686018427387904
        )
      ) AS turn_0
    FROM events
    WHERE
      (
        type = {p0: String} AND name = {p1: String}
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
