-- name: profiles_of_partition
-- A page of the people whose changes belong to one partition, in the order of their ids. A likely profile has the id of one
-- of its sure people, so these are all of both views.
SELECT DISTINCT profile_id
FROM sure_map
WHERE profile_id > {after:UUID} AND CRC32(toString(profile_id)) % {partitions:UInt32} = {partition:UInt32}
ORDER BY profile_id
LIMIT {limit:UInt32};

-- name: sequences_of_partition
-- What is known of the memberships of one partition: for each profile its segments and their last sequences.
SELECT profile_id, groupArray(segment) AS segments, groupArray(last) AS sequences
FROM (
    SELECT profile_id, segment, max(sequence) AS last
    FROM segment_changes
    WHERE CRC32(toString(profile_id)) % {partitions:UInt32} = {partition:UInt32}
    GROUP BY profile_id, segment
)
GROUP BY profile_id;

-- name: members
-- A page of those who were in a segment at a moment: the latest change until then is an entry.
SELECT profile_id, toUnixTimestamp64Milli(argMax(at, sequence)) AS since
FROM segment_changes
WHERE segment = {segment:String} AND profile_id > {after:UUID} AND toUnixTimestamp64Milli(at) <= {at:Int64}
GROUP BY profile_id
HAVING argMax(change, sequence) = 'entered'
ORDER BY profile_id
LIMIT {limit:UInt32};

-- name: changes
-- A page of the changes of a segment, the latest first. A change that was stored twice is shown once.
SELECT
    profile_id,
    sequence,
    any(change) AS change,
    toUnixTimestamp64Milli(min(at)) AS moment,
    any(reason) AS reason,
    any(trace_id) AS trace_id
FROM segment_changes
WHERE segment = {segment:String}
GROUP BY profile_id, sequence
HAVING (moment, profile_id, sequence) < ({moment:Int64}, {profile_id:UUID}, {sequence:UInt32})
ORDER BY moment DESC, profile_id DESC, sequence DESC
LIMIT {limit:UInt32};

-- name: changes_of_profile
-- As `changes`, of one profile.
SELECT
    profile_id,
    sequence,
    any(change) AS change,
    toUnixTimestamp64Milli(min(at)) AS moment,
    any(reason) AS reason,
    any(trace_id) AS trace_id
FROM segment_changes
WHERE segment = {segment:String} AND profile_id = {profile:UUID}
GROUP BY profile_id, sequence
HAVING (moment, profile_id, sequence) < ({moment:Int64}, {profile_id:UUID}, {sequence:UInt32})
ORDER BY moment DESC, profile_id DESC, sequence DESC
LIMIT {limit:UInt32};
