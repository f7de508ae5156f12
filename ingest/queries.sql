-- name: quarantined
-- The latest state of each event kept aside, newest first, from the cursor on.
SELECT
    id,
    source,
    toUnixTimestamp64Milli(received_at) AS received,
    trace_id,
    code,
    reason,
    path,
    message_id,
    sent_at,
    body,
    beside,
    status,
    toUnixTimestamp64Milli(changed_at) AS changed
FROM (
    SELECT * FROM quarantine
    WHERE {source:String} IN ('', source)
    ORDER BY changed_at DESC
    LIMIT 1 BY id
)
WHERE {code:String} IN ('', code)
    AND {status:String} IN ('', status)
    AND received >= {since:Int64}
    AND received < {until:Int64}
    AND (received, id) < ({before:Int64}, {before_id:String})
ORDER BY received DESC, id DESC
LIMIT {limit:UInt32};

-- name: quarantined_by_id
-- The latest state of some events kept aside.
SELECT
    id,
    source,
    toUnixTimestamp64Milli(received_at) AS received,
    trace_id,
    code,
    reason,
    path,
    message_id,
    sent_at,
    body,
    beside,
    status,
    toUnixTimestamp64Milli(changed_at) AS changed
FROM quarantine
WHERE id IN {ids:Array(String)}
ORDER BY changed_at DESC
LIMIT 1 BY id;
