-- The surer view: who the anchor belongs to there is in identity_map beside the likely profile. Until then both were one.
ALTER TABLE identity_map ADD COLUMN IF NOT EXISTS sure_id UUID DEFAULT profile_id AFTER anchor_id;

-- sure_map: as identity_map, for the surer view: `profile_id` is a sure person, `likely_id` the profile they are part of
-- (docs/decisions/0022). Both maps get a row for each assignment.
CREATE TABLE IF NOT EXISTS sure_map (
    profile_id UUID,
    anchor_id  UUID,
    likely_id  UUID,
    present    UInt8,
    version    UInt64,
    at         DateTime64(3, 'UTC')
)
ENGINE = ReplacingMergeTree(version)
ORDER BY (profile_id, anchor_id)
SETTINGS index_granularity = 1024, fsync_after_insert = 1, fsync_part_directory = 1, min_compressed_bytes_to_fsync_after_merge = 1;

INSERT INTO sure_map (profile_id, anchor_id, likely_id, present, version, at)
SELECT sure_id, anchor_id, profile_id, present, version, at FROM identity_map FINAL WHERE present = 1;

-- Which model weighed the evidence of a link; 0 where a rule or somebody joined.
ALTER TABLE links ADD COLUMN IF NOT EXISTS model UInt32 DEFAULT 0;
