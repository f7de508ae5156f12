-- devices: in which slices of time a device was used, anonymously (kind session) or by whom an observation tells. With the
-- observations and the ties in `links` it is what the live identity graph is made of again.
CREATE TABLE IF NOT EXISTS devices (
    device     String,
    period     UInt32,
    anchor_id  UUID,
    kind       LowCardinality(String),
    at         SimpleAggregateFunction(min, DateTime64(3, 'UTC')),
    first_seen SimpleAggregateFunction(min, DateTime64(3, 'UTC'))
)
ENGINE = AggregatingMergeTree
ORDER BY (device, period, anchor_id, kind)
SETTINGS index_granularity = 1024, fsync_after_insert = 1, fsync_part_directory = 1, min_compressed_bytes_to_fsync_after_merge = 1;
