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
