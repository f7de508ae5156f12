-- name: profiles
-- What is known of some profiles, a row a fact. Traits, identifiers and activity lie under anchors: `owner` is the anchor.
-- Only rows of kind `anchor` and `segment` lie under profiles; an anchor with `rank` 0 has moved away. Of a trait the latest
-- of each source is there; `rank` has its moment and orders values. Generic identifiers are left out. `map` is the table of
-- the view, and `other` its column that says (in `source`) whose an anchor is in the other view.
SELECT profile_id AS owner, 'anchor' AS fact, '' AS name, toString(anchor_id) AS value,
       toString(argMax({other:Identifier}, version)) AS source, toUInt8(0) AS verified,
       '' AS message_id, toUInt128(argMax(present, version)) AS rank, toUnixTimestamp64Milli(min(at)) AS first_seen,
       toUnixTimestamp64Milli(max(at)) AS last_seen, toUInt64(0) AS events
FROM {map:Identifier}
WHERE profile_id IN {profiles:Array(UUID)}
GROUP BY profile_id, anchor_id
UNION ALL
SELECT anchor_id, 'activity', '', '', '', 0, '', 0, toUnixTimestamp64Milli(min(at)), toUnixTimestamp64Milli(max(at)),
       count()
FROM events
WHERE anchor_id IN (SELECT anchor_id FROM {map:Identifier} WHERE profile_id IN {profiles:Array(UUID)})
GROUP BY anchor_id
UNION ALL
SELECT anchor_id, 'trait', toString(name), argMax(value, trait_values.rank), toString(source), verified,
       argMax(message_id, trait_values.rank), max(trait_values.rank), 0, 0, 0
FROM trait_values
WHERE anchor_id IN (SELECT anchor_id FROM {map:Identifier} WHERE profile_id IN {profiles:Array(UUID)})
GROUP BY anchor_id, name, source, verified
UNION ALL
SELECT anchor_id, 'identifier', toString(type), text, toString(source), 0, '', 0, toUnixTimestamp64Milli(first_seen), 0, 0
FROM observations
ARRAY JOIN identifier_types AS type, identifier_values AS text
WHERE anchor_id IN (SELECT anchor_id FROM {map:Identifier} WHERE profile_id IN {profiles:Array(UUID)})
  AND (toString(type), text) NOT IN (
    SELECT toString(type), value FROM generic_values GROUP BY type, value HAVING argMax(generic, version) = 1
  )
UNION ALL
SELECT profile_id, 'segment', toString(segment), '', '', 0, '', 0, 0, 0, 0
FROM segment_changes
WHERE profile_id IN {profiles:Array(UUID)}
   OR profile_id IN (SELECT {part:Identifier} FROM {map:Identifier} WHERE profile_id IN {profiles:Array(UUID)})
GROUP BY profile_id, segment
HAVING argMax(change, sequence) = 'entered';

-- name: memberships
-- The segments that some profiles are in now.
SELECT profile_id, segment
FROM segment_changes
WHERE profile_id IN {profiles:Array(UUID)}
GROUP BY profile_id, segment
HAVING argMax(change, sequence) = 'entered'
ORDER BY profile_id, segment;

-- name: parts
-- The sure people of whom the likely profiles of some sure people consist.
SELECT DISTINCT profile_id, sure_id
FROM (
    SELECT profile_id, anchor_id, argMax(sure_id, version) AS sure_id
    FROM identity_map
    WHERE profile_id IN (SELECT likely_id FROM sure_map WHERE profile_id IN {profiles:Array(UUID)})
    GROUP BY profile_id, anchor_id
    HAVING argMax(present, version) = 1
);

-- name: likely
-- The likely profile that a sure person is, or was last, a part of.
SELECT argMax(likely_id, version) FROM sure_map WHERE profile_id = {sure:UUID} HAVING count() > 0;

-- name: frequencies
-- Of some traits each value that was said of some profiles: how often since it was last taken back, and who said it last.
WITH anchors AS (
    SELECT profile_id, anchor_id FROM {map:Identifier} WHERE profile_id IN {profiles:Array(UUID)}
    GROUP BY profile_id, anchor_id HAVING argMax(present, version) = 1
)
SELECT profile_id, name, value, argMax(source, place), verified, max(place), argMax(anchor_id, place),
       argMax(message_id, place), countIf(place > taken_back)
FROM (
    SELECT profile_id, anchor_id, name, value, source, verified, message_id, place,
           maxIf(place, value = 'null') OVER (PARTITION BY profile_id, name, verified) AS taken_back
    FROM (
        SELECT anchor_id, name, value, source, verified, message_id, rank AS place
        FROM statements
        WHERE anchor_id IN (SELECT anchor_id FROM anchors) AND name IN {names:Array(String)}
    ) AS said
    INNER JOIN anchors USING anchor_id
)
GROUP BY profile_id, name, verified, value;

-- name: said
-- Every value of a profile's traits that any stored event said: how often, by which source, since when and last.
SELECT name, value, source, verified, count() AS times, toUnixTimestamp64Milli(min(at)) AS first_at,
       toUnixTimestamp64Milli(max(at)) AS last_at, argMax(anchor_id, rank), argMax(message_id, rank)
FROM statements
WHERE anchor_id IN (
    SELECT anchor_id FROM identity_map WHERE profile_id = {profile:UUID}
    GROUP BY anchor_id HAVING argMax(present, version) = 1
)
GROUP BY name, value, source, verified
ORDER BY name, max(rank) DESC, value, source
LIMIT {each:UInt32} BY name
LIMIT {limit:UInt32};

-- name: purchases
-- More of the same profiles, in the same columns: the events about orders (`value`: a JSON array of them, which is read
-- ten times as fast as rows), and the categories (`name`) of products that were looked at.
UNION ALL
SELECT anchor_id, 'orders', '',
       toJSONString(groupArray((toString(name), toUnixTimestamp64Milli(at), toString(source), message_id, properties))),
       '', 0, '', 0, 0, 0, 0
FROM events
WHERE anchor_id IN (SELECT anchor_id FROM {map:Identifier} WHERE profile_id IN {profiles:Array(UUID)})
  AND type = 'track' AND name IN ('Order Completed', 'Order Updated', 'Order Cancelled', 'Order Refunded')
GROUP BY anchor_id
UNION ALL
SELECT anchor_id, 'looked at', JSONExtractString(properties, 'category') AS category, '', '', 0, '', 0, 0,
       toUnixTimestamp64Milli(max(at)), count()
FROM events
WHERE anchor_id IN (SELECT anchor_id FROM {map:Identifier} WHERE profile_id IN {profiles:Array(UUID)})
  AND type = 'track' AND name IN ('Product Viewed', 'Product Added') AND category != ''
GROUP BY anchor_id, category;
