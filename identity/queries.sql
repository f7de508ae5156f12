-- name: ledger_observations
-- The observations above an anchor, in order. One that was told twice counts from the first time. Aggregated in the
-- order in which they are stored, no more is read than a page.
SELECT anchor_id, argMin(identifier_types, first_seen), argMin(identifier_values, first_seen),
       argMin(attributes, first_seen), toUnixTimestamp64Milli(min(first_seen)), argMin(source, first_seen)
FROM observations
WHERE anchor_id > {after:UUID}
GROUP BY anchor_id
ORDER BY anchor_id
LIMIT {rows:UInt32}
SETTINGS optimize_aggregation_in_order = 1;

-- name: ledger_devices
-- In which slices of time devices were used, above one of them, in order.
SELECT device, period, anchor_id, kind, toUnixTimestamp64Milli(min(at)), toUnixTimestamp64Milli(min(first_seen))
FROM devices
WHERE (device, period, anchor_id) > ({device:String}, {period:UInt32}, {after:UUID})
GROUP BY device, period, anchor_id, kind
ORDER BY device, period, anchor_id
LIMIT {rows:UInt32}
SETTINGS optimize_aggregation_in_order = 1;

-- name: ledger_assignments
-- Whose the anchors above one of them are, in order. They are stored by profile, so every page looks at all of them.
SELECT anchor_id, argMaxIf(profile_id, version, present = 1)
FROM identity_map
WHERE anchor_id > {after:UUID}
GROUP BY anchor_id
ORDER BY anchor_id
LIMIT {rows:UInt32};

-- name: ledger_ties
-- What was decided by hand and not taken back.
SELECT rule, value
FROM links
WHERE rule IN ('assert', 'deny') AND value != ''
GROUP BY rule, value
HAVING argMax(withdrawn, version) = 0;

-- name: ledger_absorbed
-- Who absorbed a profile last.
SELECT other_id, argMax(profile_id, version)
FROM profile_changes
WHERE kind = 'merged'
GROUP BY other_id;

-- name: ledger_version
-- The last version that the ledger knows.
SELECT greatest((SELECT max(version) FROM identity_map),
                (SELECT max(version) FROM links),
                (SELECT max(version) FROM profile_changes));

-- name: anchors
-- The anchors of a profile.
SELECT anchor_id, any(kind)
FROM identity_map
WHERE profile_id = {profile:UUID}
GROUP BY anchor_id
HAVING argMax(present, version) = 1
ORDER BY anchor_id
LIMIT {limit:UInt32};

-- name: events
-- The latest events of a profile.
SELECT message_id, anchor_id, source, type, name, toUnixTimestamp64Milli(at), toUnixTimestamp64Milli(received_at),
       user_id, anonymous_id, properties, trace_id
FROM events
WHERE anchor_id IN (
    SELECT anchor_id FROM identity_map WHERE profile_id = {profile:UUID}
    GROUP BY anchor_id HAVING argMax(present, version) = 1
)
ORDER BY at DESC, message_id
LIMIT {limit:UInt32};

-- name: deliveries
-- The latest attempts to send something of a profile to a destination.
SELECT id, destination, connector, segment, action, outcome, attempt, toUnixTimestamp64Milli(at), reason, trace_id
FROM deliveries FINAL
WHERE profile_id IN {profiles:Array(UUID)}
ORDER BY at DESC, id
LIMIT {limit:UInt32};
