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
  [counted.holds_0, stated.holds_0] AS holds,
  toInt64(0) AS due
FROM (
  SELECT
    profile_id,
    JSONExtractRaw(
      argMaxIf(value, bitShiftLeft(toUInt128(verified), 127) + rank, name = {p2: String})
    ) AS trait_0,
    notIn(trait_0, ('', 'null')) AS holds_0
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
INNER JOIN (
  SELECT
    profile_id,
    JSONExtractRaw(argMaxIf(value, tuple(verified, times, rank), name = {p0: String})) AS trait_0,
    startsWith(trait_0, '"') AND JSONExtractString(trait_0) = {p1: String} AS holds_0
  FROM (
    SELECT
      profile_id,
      name,
      value,
      verified,
      countIf(place > taken_back) AS times,
      max(place) AS rank
    FROM (
      SELECT
        profile_id,
        name,
        value,
        verified,
        rank AS place,
        maxIf(rank, value = 'null') OVER (PARTITION BY profile_id, name, verified) AS taken_back
      FROM (
        SELECT
          anchor_id,
          name,
          value,
          verified,
          rank
        FROM statements
        WHERE
          name IN {p4: Array(String)}
          AND anchor_id IN (
            SELECT
              anchor_id
            FROM anchors
          )
      ) AS facts
      INNER JOIN anchors
        USING (anchor_id)
    ) AS said
    GROUP BY
      profile_id,
      name,
      verified,
      value
  ) AS values
  RIGHT JOIN (
    SELECT DISTINCT
      profile_id
    FROM anchors
  ) AS people
    USING (profile_id)
  GROUP BY
    profile_id
) AS counted
  USING (profile_id)
