-- name: quarantined
-- The latest state of each event kept aside that passes the filters, newest first, from the cursor on. Bodies are read of
-- those alone that are shown.
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
WHERE id IN (
    SELECT id
    FROM quarantine
    WHERE (id, changed_at) IN (
            SELECT id, max(changed_at) FROM quarantine WHERE {source:String} IN ('', source) GROUP BY id
        )
        AND {source:String} IN ('', source)
        AND {code:String} IN ('', code)
        AND {status:String} IN ('', status)
        AND {message_id:String} IN ('', message_id)
        AND {place:String} IN (
            '', replaceRegexpAll(replaceRegexpOne(path, '^batch\\[[0-9]+\\]\\.?', ''), '\\[[0-9]+\\]', '[]')
        )
        AND ({type:String} = '' OR {type:String} IN (JSONExtractString(beside, 'type'), JSONExtractString(body, 'type')))
        AND ({event:String} = '' OR {event:String} IN (JSONExtractString(body, 'event'), JSONExtractString(body, 'name')))
        AND ({text:String} = '' OR positionCaseInsensitiveUTF8(concat(reason, '\n', body), {text:String}) > 0)
        AND received_at >= fromUnixTimestamp64Milli({since:Int64}, 'UTC')
        AND received_at < fromUnixTimestamp64Milli({until:Int64}, 'UTC')
        AND (toUnixTimestamp64Milli(received_at), id) < ({before:Int64}, {before_id:String})
    ORDER BY toUnixTimestamp64Milli(received_at) DESC, id DESC
    LIMIT 1 BY id
    LIMIT {limit:UInt32}
)
ORDER BY changed_at DESC
LIMIT 1 BY id;

-- name: quarantine_summary
-- How many events are kept aside that pass the filters, by what is asked: any of source, code, type, event, path, status.
SELECT
    if(has({by:Array(String)}, 'source'), source, '') AS by_source,
    if(has({by:Array(String)}, 'code'), code, '') AS by_code,
    if(has({by:Array(String)}, 'type'), shown_type, '') AS by_type,
    if(has({by:Array(String)}, 'event'), shown_event, '') AS by_event,
    if(has({by:Array(String)}, 'path'), place, '') AS by_path,
    if(has({by:Array(String)}, 'status'), status, '') AS by_status,
    uniqExact(id) AS events,
    toUnixTimestamp64Milli(min(received_at)) AS first_received,
    toUnixTimestamp64Milli(max(received_at)) AS last_received,
    argMax((id, reason), received_at) AS latest
FROM (
    SELECT
        id,
        source,
        code,
        status,
        reason,
        received_at,
        replaceRegexpAll(replaceRegexpOne(path, '^batch\\[[0-9]+\\]\\.?', ''), '\\[[0-9]+\\]', '[]') AS place,
        if(JSONExtractString(beside, 'type') != '', JSONExtractString(beside, 'type'), JSONExtractString(body, 'type'))
            AS shown_type,
        JSONExtractString(body, if(shown_type = 'track', 'event', 'name')) AS shown_event
    FROM quarantine
    WHERE (id, changed_at) IN (
            SELECT id, max(changed_at) FROM quarantine WHERE {source:String} IN ('', source) GROUP BY id
        )
        AND {source:String} IN ('', source)
        AND {code:String} IN ('', code)
        AND {status:String} IN ('', status)
        AND {message_id:String} IN ('', message_id)
        AND {place:String} IN ('', place)
        AND ({type:String} = '' OR {type:String} IN (JSONExtractString(beside, 'type'), JSONExtractString(body, 'type')))
        AND ({event:String} = '' OR {event:String} IN (JSONExtractString(body, 'event'), JSONExtractString(body, 'name')))
        AND ({text:String} = '' OR positionCaseInsensitiveUTF8(concat(reason, '\n', body), {text:String}) > 0)
        AND received_at >= fromUnixTimestamp64Milli({since:Int64}, 'UTC')
        AND received_at < fromUnixTimestamp64Milli({until:Int64}, 'UTC')
)
GROUP BY by_source, by_code, by_type, by_event, by_path, by_status
ORDER BY events DESC, by_source, by_code, by_type, by_event, by_path, by_status
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

-- name: catalogue_events
-- Every event that was stored, by source, type and (of track events) name; from the cursor on.
SELECT
    source,
    type,
    if(type = 'track', name, '') AS event,
    count() AS events,
    toUnixTimestamp64Milli(min(received_at)) AS first_seen,
    toUnixTimestamp64Milli(max(received_at)) AS last_seen
FROM events
WHERE {source:String} IN ('', source)
    AND {type:String} IN ('', type)
    AND ({event:String} = '' OR (type = 'track' AND name = {event:String}))
    AND (source, type, if(type = 'track', name, ''))
        > ({after_source:String}, {after_type:String}, {after_event:String})
GROUP BY source, type, event
ORDER BY source, type, event
LIMIT {limit:UInt32};

-- name: catalogue_fields
-- What is known of the fields of an event, or of a type of events. A path of '' counts the events looked at.
SELECT
    source,
    path,
    sum(seen) AS seen_in,
    toUnixTimestamp64Milli(min(first_seen)) AS first_seen_at,
    toUnixTimestamp64Milli(max(last_seen)) AS last_seen_at,
    arraySort(groupUniqArrayArray(types)) AS all_types,
    arraySort(groupUniqArrayArray(formats)) AS all_formats,
    arraySort(groupUniqArrayArray(8)(examples)) AS some_examples
FROM catalogue
WHERE {source:String} IN ('', source)
    AND type = {type:String}
    AND event = {event:String}
GROUP BY source, path
ORDER BY source, path
LIMIT 100000;
