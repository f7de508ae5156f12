-- name: profiles
-- What is known of some profiles, a row a fact. Traits, identifiers and activity lie under anchors: `owner` is the anchor.
-- Only rows of kind `anchor` and `segment` lie under profiles; an anchor with `rank` 0 has moved away.
SELECT profile_id AS owner, 'anchor' AS fact, '' AS name, toString(anchor_id) AS value,
       toUInt128(argMax(present, version)) AS rank, toUnixTimestamp64Milli(min(at)) AS first_seen,
       toUnixTimestamp64Milli(max(at)) AS last_seen, toUInt64(0) AS events
FROM identity_map
WHERE profile_id IN {profiles:Array(UUID)}
GROUP BY profile_id, anchor_id
UNION ALL
SELECT anchor_id, 'activity', '', '', 0, toUnixTimestamp64Milli(min(at)), toUnixTimestamp64Milli(max(at)), count()
FROM events
WHERE anchor_id IN (SELECT anchor_id FROM identity_map WHERE profile_id IN {profiles:Array(UUID)})
GROUP BY anchor_id
UNION ALL
SELECT anchor_id, 'trait', toString(name), argMax(value, traits.rank), max(traits.rank), 0, 0, 0
FROM traits
WHERE anchor_id IN (SELECT anchor_id FROM identity_map WHERE profile_id IN {profiles:Array(UUID)})
GROUP BY anchor_id, name
UNION ALL
SELECT anchor_id, concat('identifier ', source), toString(type), text, 0, toUnixTimestamp64Milli(first_seen), 0, 0
FROM observations
ARRAY JOIN identifier_types AS type, identifier_values AS text
WHERE anchor_id IN (SELECT anchor_id FROM identity_map WHERE profile_id IN {profiles:Array(UUID)})
UNION ALL
SELECT profile_id, 'segment', toString(segment), '', 0, 0, 0, 0
FROM segment_changes
WHERE profile_id IN {profiles:Array(UUID)}
GROUP BY profile_id, segment
HAVING argMax(change, sequence) = 'entered'
-- One thread: the rows are few, and starting more costs more than they save.
SETTINGS max_threads = 1;
