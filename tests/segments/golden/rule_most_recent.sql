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
  [stated.holds_0, stated.holds_1] AS holds,
  toInt64(0) AS due
FROM (
  SELECT
    profile_id,
    JSONExtractRaw(argMaxIf(value, rank, name = {p0: String})) AS trait_0,
    startsWith(trait_0, '"') AND JSONExtractString(trait_0) = {p1: String} AS holds_0,
    JSONExtractRaw(
      argMaxIf(value, bitShiftLeft(toUInt128(verified), 127) + rank, name = {p2: String})
    ) AS trait_1,
    notIn(trait_1, ('', 'null')) AS holds_1
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
      name IN {p3: Array(String)}
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
