-- name: create_migrations
CREATE TABLE IF NOT EXISTS migrations (
    number UInt32,
    name String,
    applied_at DateTime64(3, 'UTC') DEFAULT now64(3, 'UTC')
) ENGINE = ReplacingMergeTree ORDER BY number;

-- name: migrations
SELECT number FROM migrations FINAL ORDER BY number;

-- name: record_migration
INSERT INTO migrations (number, name) SELECT {number:UInt32}, {name:String};

-- name: kill_inserts
KILL QUERY WHERE query_id IN {ids:Array(String)} SYNC;

-- name: stored_by_source
SELECT source, count() FROM events GROUP BY source;

-- name: quarantined_by_source
SELECT source, uniqExact(id), uniqExactIf(id, startsWith(id, {mark:String})) FROM quarantine GROUP BY source;

-- name: last_stored
SELECT max(log_offset) FROM events WHERE log_partition = {partition:UInt16} HAVING count() > 0;

-- name: stored_places
SELECT log_offset, log_index, message_id FROM events
WHERE log_partition = {partition:UInt16} AND log_offset BETWEEN {first:UInt64} AND {last:UInt64};
