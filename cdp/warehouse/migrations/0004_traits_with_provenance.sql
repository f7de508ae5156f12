-- Whether it was proven whom an event names.
ALTER TABLE events ADD COLUMN IF NOT EXISTS verified UInt8 AFTER traits;

-- statements: every value of a trait that a stored event said. `rank` orders them: by time, and what was said at the same
-- moment in one fixed way, so that the order of arrival never matters.
CREATE VIEW IF NOT EXISTS statements AS
SELECT anchor_id, said.1 AS name, said.2 AS value, at, source, message_id, verified,
       bitShiftLeft(toUInt128(toUnixTimestamp64Milli(at)), 64) + sipHash64(source, message_id, value) AS rank
FROM events
ARRAY JOIN JSONExtractKeysAndValuesRaw(traits) AS said
WHERE traits != '{}';

-- trait_values: of each anchor's trait the latest value of each source, proven ones apart from others, as JSON text. What
-- a profile's trait is, a rule says (docs/decisions/0020). `rank` is as in `statements`.
CREATE TABLE IF NOT EXISTS trait_values (
    anchor_id  UUID,
    name       LowCardinality(String),
    source     LowCardinality(String),
    verified   UInt8,
    at         DateTime64(3, 'UTC'),
    value      String,
    message_id String,
    rank       UInt128 MATERIALIZED
        bitShiftLeft(toUInt128(toUnixTimestamp64Milli(at)), 64) + sipHash64(source, message_id, value)
)
ENGINE = ReplacingMergeTree(rank)
ORDER BY (anchor_id, name, source, verified)
SETTINGS index_granularity = 1024, fsync_after_insert = 1, fsync_part_directory = 1, min_compressed_bytes_to_fsync_after_merge = 1;

INSERT INTO trait_values (anchor_id, name, source, verified, at, value, message_id)
SELECT anchor_id, name, source, verified, at, value, message_id FROM statements;

DROP TABLE IF EXISTS traits;

-- generic_values: identifiers that so many people share that they say nothing of who somebody is; the row with the highest
-- version counts, and only if generic = 1.
CREATE TABLE IF NOT EXISTS generic_values (
    type    LowCardinality(String),
    value   String,
    generic UInt8,
    version UInt64,
    at      DateTime64(3, 'UTC')
)
ENGINE = ReplacingMergeTree(version)
ORDER BY (type, value)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1, min_compressed_bytes_to_fsync_after_merge = 1;
