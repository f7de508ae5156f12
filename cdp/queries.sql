-- name: warehouse_version
SELECT version(), toUnixTimestamp64Milli(now64(3));

-- name: events_newest
-- The stored events that pass the filters, newest first, beginning below a place.
SELECT toUnixTimestamp64Milli(received_at) AS received, log_partition, log_offset, log_index, message_id, anchor_id,
       source, type, name, toUnixTimestamp64Milli(at) AS happened, user_id, anonymous_id, group_id, trace_id,
       properties, context, traits
FROM events
WHERE received_at >= fromUnixTimestamp64Milli({since:Int64}) AND received_at < fromUnixTimestamp64Milli({until:Int64})
  AND (empty({source:String}) OR source = {source:String})
  AND (empty({type:String}) OR type = {type:String})
  AND (empty({event:String}) OR name = {event:String})
  AND (empty({message_id:String}) OR message_id = {message_id:String})
  AND received_at <= fromUnixTimestamp64Milli({received:Int64})
  AND (toUnixTimestamp64Milli(received_at), log_partition, log_offset, log_index)
    < ({received:Int64}, {log_partition:UInt16}, {log_offset:UInt64}, {log_index:UInt32})
ORDER BY received_at DESC, log_partition DESC, log_offset DESC, log_index DESC
LIMIT {rows:UInt32};

-- name: events_oldest
-- The stored events that pass the filters, oldest first, beginning above a place.
SELECT toUnixTimestamp64Milli(received_at) AS received, log_partition, log_offset, log_index, message_id, anchor_id,
       source, type, name, toUnixTimestamp64Milli(at) AS happened, user_id, anonymous_id, group_id, trace_id,
       properties, context, traits
FROM events
WHERE received_at >= fromUnixTimestamp64Milli({since:Int64}) AND received_at < fromUnixTimestamp64Milli({until:Int64})
  AND (empty({source:String}) OR source = {source:String})
  AND (empty({type:String}) OR type = {type:String})
  AND (empty({event:String}) OR name = {event:String})
  AND (empty({message_id:String}) OR message_id = {message_id:String})
  AND received_at >= fromUnixTimestamp64Milli({received:Int64})
  AND (toUnixTimestamp64Milli(received_at), log_partition, log_offset, log_index)
    > ({received:Int64}, {log_partition:UInt16}, {log_offset:UInt64}, {log_index:UInt32})
ORDER BY received_at, log_partition, log_offset, log_index
LIMIT {rows:UInt32};
