-- Every statement can be run again: two processes may migrate at once, and a crash may come between two statements.

-- events: one row an event, stored once under its anchor and never rewritten. Small granules and small blocks, because
-- segments read a few thousand profiles out of millions (docs/decisions/0005).
CREATE TABLE IF NOT EXISTS events (
    anchor_id     UUID,
    at            DateTime64(3, 'UTC'),
    received_at   DateTime64(3, 'UTC'),
    source        LowCardinality(String),
    message_id    String,
    type          LowCardinality(String),
    name          LowCardinality(String),
    user_id       String,
    anonymous_id  String,
    group_id      String,
    properties    String,
    context       String,
    traits        String,
    trace_id      String,
    log_partition UInt16,
    log_offset    UInt64,
    log_index     UInt32,
    INDEX places (log_partition, log_offset) TYPE minmax GRANULARITY 1,
    INDEX messages message_id TYPE bloom_filter(0.01) GRANULARITY 4
)
ENGINE = MergeTree
PARTITION BY toYYYYMM(received_at)
ORDER BY (anchor_id, at, message_id)
SETTINGS index_granularity = 256, min_compress_block_size = 4096, max_compress_block_size = 16384,
    fsync_after_insert = 1, fsync_part_directory = 1, min_compressed_bytes_to_fsync_after_merge = 1;

-- traits: the latest value of each trait per anchor, as JSON text; combined per profile at read. `rank` orders values: by
-- time, and values of the same moment in one fixed way, so that the order of arrival never matters.
CREATE TABLE IF NOT EXISTS traits (
    anchor_id  UUID,
    name       LowCardinality(String),
    at         DateTime64(3, 'UTC'),
    value      String,
    source     LowCardinality(String),
    message_id String,
    rank       UInt128 MATERIALIZED
        bitShiftLeft(toUInt128(toUnixTimestamp64Milli(at)), 64) + sipHash64(source, message_id, value)
)
ENGINE = ReplacingMergeTree(rank)
ORDER BY (anchor_id, name)
SETTINGS index_granularity = 1024, fsync_after_insert = 1, fsync_part_directory = 1, min_compressed_bytes_to_fsync_after_merge = 1;

-- identity_map: which profile an anchor belongs to; the row with the highest version counts, and only if present = 1.
CREATE TABLE IF NOT EXISTS identity_map (
    profile_id UUID,
    anchor_id  UUID,
    kind       LowCardinality(String),
    present    UInt8,
    version    UInt64,
    at         DateTime64(3, 'UTC'),
    INDEX anchors anchor_id TYPE bloom_filter(0.01) GRANULARITY 1
)
ENGINE = ReplacingMergeTree(version)
ORDER BY (profile_id, anchor_id)
SETTINGS index_granularity = 1024, fsync_after_insert = 1, fsync_part_directory = 1, min_compressed_bytes_to_fsync_after_merge = 1;

-- observations: identity-bearing content, kept for ever.
CREATE TABLE IF NOT EXISTS observations (
    anchor_id         UUID,
    source            LowCardinality(String),
    first_seen        DateTime64(3, 'UTC'),
    identifier_types  Array(LowCardinality(String)),
    identifier_values Array(String),
    attributes        Map(String, String),
    message_id        String,
    trace_id          String
)
ENGINE = ReplacingMergeTree
ORDER BY anchor_id
SETTINGS index_granularity = 1024, fsync_after_insert = 1, fsync_part_directory = 1, min_compressed_bytes_to_fsync_after_merge = 1;

-- links: the append-only ledger of evidence. A repeat of the same change has the same version and replaces itself.
CREATE TABLE IF NOT EXISTS links (
    left        UUID,
    right       UUID,
    rule        LowCardinality(String),
    value       String,
    probability Float64,
    withdrawn   UInt8,
    version     UInt64,
    at          DateTime64(3, 'UTC'),
    message_id  String,
    trace_id    String,
    author      String
)
ENGINE = ReplacingMergeTree
ORDER BY (left, right, rule, value, version)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1, min_compressed_bytes_to_fsync_after_merge = 1;

-- profile_changes: merges and splits.
CREATE TABLE IF NOT EXISTS profile_changes (
    profile_id UUID,
    other_id   UUID,
    kind       LowCardinality(String),
    reason     String,
    version    UInt64,
    at         DateTime64(3, 'UTC'),
    trace_id   String
)
ENGINE = ReplacingMergeTree
ORDER BY (profile_id, version, other_id)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1, min_compressed_bytes_to_fsync_after_merge = 1;

-- segment_changes: who came in and went out, for ever; "who was in at T" is the latest change before T.
CREATE TABLE IF NOT EXISTS segment_changes (
    segment    LowCardinality(String),
    profile_id UUID,
    sequence   UInt32,
    change     LowCardinality(String),
    at         DateTime64(3, 'UTC'),
    reason     LowCardinality(String),
    trace_id   String
)
ENGINE = ReplacingMergeTree
ORDER BY (segment, profile_id, sequence)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1, min_compressed_bytes_to_fsync_after_merge = 1;

-- deliveries: every attempt at every destination.
CREATE TABLE IF NOT EXISTS deliveries (
    id          String,
    destination LowCardinality(String),
    connector   LowCardinality(String),
    segment     LowCardinality(String),
    profile_id  UUID,
    sequence    UInt32,
    action      LowCardinality(String),
    outcome     LowCardinality(String),
    attempt     UInt32,
    at          DateTime64(3, 'UTC'),
    reason      String,
    trace_id    String
)
ENGINE = ReplacingMergeTree
ORDER BY (destination, profile_id, segment, sequence, attempt)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1, min_compressed_bytes_to_fsync_after_merge = 1;

-- quarantine: events kept aside; the row with the highest changed_at counts.
CREATE TABLE IF NOT EXISTS quarantine (
    id          String,
    source      LowCardinality(String),
    received_at DateTime64(3, 'UTC'),
    trace_id    String,
    code        LowCardinality(String),
    reason      String,
    path        String,
    message_id  String,
    sent_at     String,
    body        String,
    beside      String,
    status      LowCardinality(String),
    changed_at  DateTime64(3, 'UTC')
)
ENGINE = ReplacingMergeTree(changed_at)
ORDER BY (source, received_at, id)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1, min_compressed_bytes_to_fsync_after_merge = 1;
