-- name: schema
BEGIN IMMEDIATE;
CREATE TABLE IF NOT EXISTS topics (number INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, partitions INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS messages (
    id INTEGER PRIMARY KEY, timestamp INTEGER NOT NULL, records INTEGER NOT NULL, source TEXT NOT NULL, value BLOB NOT NULL
);
CREATE INDEX IF NOT EXISTS weights ON messages (id, records, source);
CREATE TABLE IF NOT EXISTS groups (name TEXT PRIMARY KEY, version INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS subscriptions (
    group_name TEXT NOT NULL, topic INTEGER NOT NULL, PRIMARY KEY (group_name, topic)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS members (
    name TEXT PRIMARY KEY, group_name TEXT NOT NULL, process TEXT NOT NULL, topics TEXT NOT NULL, expires REAL NOT NULL
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS shares (
    group_name TEXT NOT NULL, place INTEGER NOT NULL, member TEXT NOT NULL, generation INTEGER NOT NULL,
    PRIMARY KEY (group_name, place)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS offsets (
    group_name TEXT NOT NULL, place INTEGER NOT NULL, next INTEGER NOT NULL, PRIMARY KEY (group_name, place)
) WITHOUT ROWID;
PRAGMA user_version = 1;
COMMIT;

-- name: add_topic
INSERT INTO topics (name, partitions) VALUES (?, ?) ON CONFLICT (name) DO NOTHING;

-- name: topics
SELECT name, number, partitions FROM topics;

-- name: append
INSERT INTO messages (id, timestamp, records, source, value) VALUES (?, ?, ?, ?, ?);

-- name: newest
-- The newest message of a partition is never deleted, so its id is all that the next offset needs.
SELECT max(id) FROM messages WHERE id >= ? AND id < ?;

-- name: read
SELECT id, timestamp, records, source, value FROM messages WHERE id >= ? AND id < ? ORDER BY id;

-- name: backlog
SELECT source, count(*), sum(records) FROM messages INDEXED BY weights WHERE id >= ? AND id < ? GROUP BY source;

-- name: committed
SELECT place, next FROM offsets WHERE group_name = ?;

-- name: versions
SELECT name, version FROM groups;

-- name: bump
INSERT INTO groups (name, version) VALUES (?, 1)
ON CONFLICT (name) DO UPDATE SET version = version + 1;

-- name: version
SELECT version FROM groups WHERE name = ?;

-- name: subscribe
INSERT INTO subscriptions (group_name, topic) VALUES (?, ?) ON CONFLICT DO NOTHING;

-- name: members
SELECT name, process, topics, expires FROM members WHERE group_name = ?;

-- name: join
INSERT INTO members (name, group_name, process, topics, expires) VALUES (?, ?, ?, ?, ?);

-- name: renew
UPDATE members SET expires = ? WHERE name = ?;

-- name: leave
DELETE FROM members WHERE name = ?;

-- name: shares
SELECT place, member, generation FROM shares WHERE group_name = ?;

-- name: take
INSERT INTO shares (group_name, place, member, generation) VALUES (?, ?, ?, ?);

-- name: release
DELETE FROM shares WHERE group_name = ? AND place = ? AND member = ?;

-- name: release_all
DELETE FROM shares WHERE group_name = ? AND member = ?;

-- name: commit
-- Only who holds the partition, since the same moment, may move its offset.
INSERT INTO offsets (group_name, place, next)
SELECT :group_name, :place, :next
WHERE EXISTS (
    SELECT 1 FROM shares
    WHERE group_name = :group_name AND place = :place AND member = :member AND generation = :generation
)
ON CONFLICT (group_name, place) DO UPDATE SET next = excluded.next;

-- name: consumed
-- How far every group that reads a topic has come, per partition: only what lies below may go because of its age.
SELECT min(coalesce(offsets.next, 0)) FROM subscriptions
LEFT JOIN offsets ON offsets.group_name = subscriptions.group_name AND offsets.place = :place
WHERE subscriptions.topic = :topic;

-- name: oldest
SELECT id, timestamp FROM messages WHERE id >= ? AND id < ? ORDER BY id LIMIT ?;

-- name: forget
DELETE FROM messages WHERE id >= ? AND id <= ?;
