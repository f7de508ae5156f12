-- name: traffic
-- Some stored events of a source: of each type and name as many as wanted, from anywhere in the span.
SELECT type, name, if(type = 'identify', traits, properties) AS said
FROM events
WHERE source = {source:String}
    AND received_at >= fromUnixTimestamp64Milli({since:Int64}, 'UTC')
    AND (log_partition, log_offset, log_index) IN (
        SELECT log_partition, log_offset, log_index
        FROM events
        WHERE source = {source:String}
            AND received_at >= fromUnixTimestamp64Milli({since:Int64}, 'UTC')
            AND type != 'alias'
            AND {type:String} IN ('', type)
            AND {event:String} IN ('', name)
        LIMIT {each:UInt32} BY type, if(type = 'track', name, '')
        LIMIT {most:UInt32}
    );

-- name: violations
-- Which rules events of a source broke, the most often broken first. A repeat of an event is no other violation.
SELECT
    type,
    event,
    path,
    keyword,
    uniqExact(message_id) AS violations,
    toUnixTimestamp64Milli(min(at)) AS first_seen,
    toUnixTimestamp64Milli(max(at)) AS last_seen,
    argMax((message_id, trace_id, reason, mode), at) AS latest
FROM violations
WHERE source = {source:String}
    AND {type:String} IN ('', type)
    AND {event:String} IN ('', event)
    AND {path:String} IN ('', path)
    AND {keyword:String} IN ('', keyword)
    AND {mode:String} IN ('', mode)
    AND at >= fromUnixTimestamp64Milli({since:Int64}, 'UTC')
    AND at < fromUnixTimestamp64Milli({until:Int64}, 'UTC')
GROUP BY type, event, path, keyword
HAVING (violations, type, event, path, keyword)
    < ({fewer_than:UInt64}, {after_type:String}, {after_event:String}, {after_path:String}, {after_keyword:String})
ORDER BY violations DESC, type DESC, event DESC, path DESC, keyword DESC
LIMIT {limit:UInt32};
