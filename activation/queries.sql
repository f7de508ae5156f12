-- name: memberships
-- The newest change of each profile in a segment, by profile, page by page.
SELECT
    toString(profile_id),
    argMax(change, segment_changes.sequence),
    max(segment_changes.sequence),
    toUnixTimestamp64Milli(argMax(at, segment_changes.sequence)),
    argMax(trace_id, segment_changes.sequence)
FROM segment_changes
WHERE segment = {segment:String} AND profile_id > {after:UUID}
GROUP BY profile_id
ORDER BY profile_id
LIMIT {limit:UInt32};

-- name: acknowledged
-- What a destination said last about each profile of such a page, since it was defined.
SELECT
    toString(profile_id),
    argMax(action, (deliveries.sequence, attempt, at)),
    argMax(outcome, (deliveries.sequence, attempt, at))
FROM deliveries
WHERE destination = {destination:String}
    AND segment = {segment:String}
    AND profile_id >= {first:UUID}
    AND profile_id <= {last:UUID}
    AND at >= toDateTime64({since:String}, 3, 'UTC')
    AND outcome != 'dropped'
GROUP BY profile_id;

-- name: deliveries
-- The newest attempts at a destination.
SELECT
    id, connector, segment, toString(profile_id) AS profile, deliveries.sequence AS number, action, outcome, attempt,
    toUnixTimestamp64Milli(at) AS moment, reason, trace_id
FROM deliveries FINAL
WHERE destination = {destination:String}
    AND ({segment:String} = '' OR segment = {segment:String})
    AND ({outcome:String} = '' OR outcome = {outcome:String})
    AND ({profile:String} = '' OR profile_id = toUUIDOrZero({profile:String}))
    AND (toUnixTimestamp64Milli(at), id, attempt) < ({before:Int64}, {before_id:String}, {before_attempt:UInt32})
ORDER BY at DESC, id DESC, attempt DESC
LIMIT {limit:UInt32};
