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
  [stated.holds_0] AS holds,
  toInt64(0) AS due
FROM (
  SELECT
    profile_id,
    JSONExtractRaw(
      argMaxIf(value, bitShiftLeft(toUInt128(verified), 127) + rank, name = {p0: String})
    ) AS trait_0,
    startsWith(trait_0, '"') AND startsWith(JSONExtractString(trait_0), {p1: String}) AS holds_0
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
      name IN {p2: Array(String)}
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
