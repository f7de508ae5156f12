-- violations: where events broke their source's tracking plan. One row an event, path and keyword; a repeat replaces itself.
CREATE TABLE IF NOT EXISTS violations (
    source     LowCardinality(String),
    type       LowCardinality(String),
    event      LowCardinality(String),
    path       LowCardinality(String),
    keyword    LowCardinality(String),
    message_id String,
    reason     String,
    trace_id   String,
    at         DateTime64(3, 'UTC'),
    mode       LowCardinality(String)
)
ENGINE = ReplacingMergeTree(at)
ORDER BY (source, type, event, path, keyword, message_id)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1, min_compressed_bytes_to_fsync_after_merge = 1;

-- catalogue: what the fields of each event looked like, learnt from a part of the traffic (docs/decisions/0015). A path of ""
-- is the event itself: there `seen` counts the events looked at. Examples are masked before they come here.
CREATE TABLE IF NOT EXISTS catalogue (
    source     LowCardinality(String),
    type       LowCardinality(String),
    event      String,
    path       String,
    first_seen SimpleAggregateFunction(min, DateTime64(3, 'UTC')),
    last_seen  SimpleAggregateFunction(max, DateTime64(3, 'UTC')),
    seen       SimpleAggregateFunction(sum, UInt64),
    types      SimpleAggregateFunction(groupUniqArrayArray, Array(String)),
    formats    SimpleAggregateFunction(groupUniqArrayArray, Array(String)),
    examples   SimpleAggregateFunction(groupUniqArrayArray(8), Array(String))
)
ENGINE = AggregatingMergeTree
ORDER BY (source, type, event, path)
SETTINGS index_granularity = 1024, fsync_after_insert = 1, fsync_part_directory = 1, min_compressed_bytes_to_fsync_after_merge = 1;
