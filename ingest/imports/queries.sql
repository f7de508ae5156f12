-- name: any_imported
-- Whether the source has stored events of files other than this one.
SELECT 1 FROM events
WHERE source = {source:String} AND startsWith(message_id, {prefix:String}) AND trace_id != {trace:String}
LIMIT 1;

-- name: stored
-- Which of these messages are stored by other imports, and what their content was.
SELECT message_id, JSONExtractString(context, 'import', 'digest')
FROM events
WHERE message_id IN {ids:Array(String)} AND source = {source:String} AND trace_id != {trace:String};

-- name: known
-- Which of these identifiers people have already.
SELECT DISTINCT concat(type, ':', value)
FROM observations
ARRAY JOIN identifier_types AS type, identifier_values AS value
WHERE value IN {values:Array(String)};
