-- name: profiles
-- What is known of some profiles, a row a fact. Traits, identifiers and activity lie under anchors: `owner` is the anchor.
-- Only rows of kind `anchor` and `segment` lie under profiles; an anchor with `rank` 0 has moved away. Of a trait the latest
-- of each source is there; `rank` has its moment and orders values. Generic identifiers are left out.
SELECT profile_id AS owner, 'anchor' AS fact, '' AS name, toString(anchor_id) AS value, '' AS source, toUInt8(0) AS verified,
       '' AS message_id, toUInt128(argMax(present, version)) AS rank, toUnixTimestamp64Milli(min(at)) AS first_seen,
       toUnixTimestamp64Milli(max(at)) AS last_seen, toUInt64(0) AS events
FROM identity_map
WHERE profile_id IN {profiles:Array(UUID)}
GROUP BY profile_id, anchor_id
UNION ALL
SELECT anchor_id, 'activity', '', '', '', 0, '', 0, toUnixTimestamp64Milli(min(at)), toUnixTimestamp64Milli(max(at)),
       count()
FROM events
WHERE anchor_id IN (SELECT anchor_id FROM identity_map WHERE profile_id IN {profiles:Array(UUID)})
GROUP BY anchor_id
UNION ALL
SELECT anchor_id, 'trait', toString(name), argMax(value, trait_values.rank), toString(source), verified,
       argMax(message_id, trait_values.rank), max(trait_values.rank), 0, 0, 0
FROM trait_values
WHERE anchor_id IN (SELECT anchor_id FROM identity_map WHERE profile_id IN {profiles:Array(UUID)})
GROUP BY anchor_id, name, source, verified
UNION ALL
SELECT anchor_id, 'identifier', toString(type), text, toString(source), 0, '', 0, toUnixTimestamp64Milli(first_seen), 0, 0
FROM observations
ARRAY JOIN identifier_types AS type, identifier_values AS text
WHERE anchor_id IN (SELECT anchor_id FROM identity_map WHERE profile_id IN {profiles:Array(UUID)})
  AND (toString(type), text) NOT IN (
    SELECT toString(type), value FROM generic_values GROUP BY type, value HAVING argMax(generic, version) = 1
  )
UNION ALL
SELECT profile_id, 'segment', toString(segment), '', '', 0, '', 0, 0, 0, 0
FROM segment_changes
WHERE profile_id IN {profiles:Array(UUID)}
GROUP BY profile_id, segment
HAVING argMax(change, sequence) = 'entered'
-- One thread: the rows are few, and starting more costs more than they save.
SETTINGS max_threads = 1;

-- name: frequencies
-- Of some traits each value that was said of some profiles: how often since it was last taken back, and who said it last.
WITH anchors AS (
    SELECT profile_id, anchor_id FROM identity_map WHERE profile_id IN {profiles:Array(UUID)}
    GROUP BY profile_id, anchor_id HAVING argMax(present, version) = 1
)
SELECT profile_id, name, value, argMax(source, place), verified, max(place), argMax(anchor_id, place),
       argMax(message_id, place), countIf(place > taken_back)
FROM (
    SELECT profile_id, anchor_id, name, value, source, verified, message_id, place,
           maxIf(place, value = 'null') OVER (PARTITION BY profile_id, name, verified) AS taken_back
    FROM (
        SELECT anchor_id, name, value, source, verified, message_id, rank AS place
        FROM statements
        WHERE anchor_id IN (SELECT anchor_id FROM anchors) AND name IN {names:Array(String)}
    ) AS said
    INNER JOIN anchors USING anchor_id
)
GROUP BY profile_id, name, verified, value
SETTINGS max_threads = 1;

-- name: said
-- Every value of a profile's traits that any stored event said: how often, by which source, since when and last.
SELECT name, value, source, verified, count() AS times, toUnixTimestamp64Milli(min(at)) AS first_at,
       toUnixTimestamp64Milli(max(at)) AS last_at, argMax(anchor_id, rank), argMax(message_id, rank)
FROM statements
WHERE anchor_id IN (
    SELECT anchor_id FROM identity_map WHERE profile_id = {profile:UUID}
    GROUP BY anchor_id HAVING argMax(present, version) = 1
)
GROUP BY name, value, source, verified
ORDER BY name, max(rank) DESC, value, source
LIMIT {each:UInt32} BY name
LIMIT {limit:UInt32}
SETTINGS max_threads = 1;

-- name: purchases
-- What some profiles bought, a row a currency, and the category that they looked at most. Amounts and quantities are whole
-- millionths. An order is told by its order_id wherever it was said; one that was cancelled is none. Its amount is the
-- latest that was said; its refunds are told apart by refund_id, and are at most its amount.
WITH anchors AS (
    SELECT profile_id, anchor_id FROM identity_map WHERE profile_id IN {profiles:Array(UUID)}
    GROUP BY profile_id, anchor_id HAVING argMax(present, version) = 1
),
orders AS (
    SELECT profile_id, order_key, minIf(moment, name = 'Order Completed') AS ordered_at,
           argMaxIf(currency, place, said AND currency != '') AS code,
           argMaxIf(amount, place, said AND isNotNull(amount)) AS worth,
           maxMapIf([refund_key], [toInt128(abs(ifNull(amount, 0)))], name = 'Order Refunded') AS refunds,
           countIf(name = 'Order Refunded' AND isNull(amount)) AS whole_refunds,
           argMaxIf(products, place, said AND products != '') AS bought
    FROM (
        SELECT anchor_id, name, toUnixTimestamp64Milli(at) AS moment, (moment, source, message_id) AS place,
               name IN ('Order Completed', 'Order Updated') AS said,
               replaceAll(JSONExtractRaw(properties, 'order_id'), '"', '') AS order_id,
               if(order_id IN ('', 'null'), concat(source, ' ', message_id), order_id) AS order_key,
               replaceAll(JSONExtractRaw(properties, 'refund_id'), '"', '') AS refund_id,
               if(refund_id IN ('', 'null'), concat(source, ' ', message_id), refund_id) AS refund_key,
               upper(JSONExtractString(properties, 'currency')) AS currency,
               arrayFirst(raw -> match(raw, '^"?-?[0-9]') AND isNotNull(toFloat64OrNull(trim(BOTH '"' FROM raw))),
                          [JSONExtractRaw(properties, 'revenue'), JSONExtractRaw(properties, 'total'),
                           JSONExtractRaw(properties, 'value')]) AS written,
               toFloat64OrNull(trim(BOTH '"' FROM written)) AS number,
               if(isNull(number), NULL, toInt64(round(least(greatest(number, -9e12), 9e12) * 1e6))) AS amount,
               JSONExtractRaw(properties, 'products') AS products
        FROM events
        WHERE anchor_id IN (SELECT anchor_id FROM anchors) AND type = 'track'
          AND name IN ('Order Completed', 'Order Updated', 'Order Cancelled', 'Order Refunded')
    ) AS told
    INNER JOIN anchors USING anchor_id
    GROUP BY profile_id, order_key
    HAVING countIf(name = 'Order Completed') > 0 AND countIf(name = 'Order Cancelled') = 0
)
SELECT profile_id, 'bought' AS fact, if(isNull(worth), '', if(code = '', 'XXX', code)) AS name, count() AS orders,
       sum(toInt128(ifNull(worth, 0))) AS amount,
       sum(if(whole_refunds > 0, toInt128(ifNull(worth, 0)),
              least(greatest(toInt128(ifNull(worth, 0)), 0), arraySum(refunds.2)))) AS refunded,
       min(ordered_at) AS first_at, max(ordered_at) AS last_at,
       sumMap(categories, quantities) AS by_quantity, maxMap(categories, arrayMap(one -> ordered_at, categories)) AS by_time
FROM (
    SELECT *, arrayFilter(one -> one.1 != '', arrayMap(
                 item -> (JSONExtractString(item, 'category'),
                          if(match(JSONExtractRaw(item, 'quantity'), '^[0-9]'),
                             toInt64(round(least(JSONExtractFloat(item, 'quantity'), 1e6) * 1e6)), 1000000)),
                 JSONExtractArrayRaw(bought))) AS items,
           arrayMap(one -> one.1, items) AS categories, arrayMap(one -> one.2, items) AS quantities
    FROM orders
)
GROUP BY profile_id, name
UNION ALL
SELECT profile_id, 'looked at', argMax(category, (times, last_at, category)), max(times), 0, 0, 0, 0, ([], []), ([], [])
FROM (
    SELECT profile_id, category, count() AS times, max(moment) AS last_at
    FROM (
        SELECT anchor_id, toUnixTimestamp64Milli(at) AS moment, JSONExtractString(properties, 'category') AS category
        FROM events
        WHERE anchor_id IN (SELECT anchor_id FROM anchors) AND type = 'track'
          AND name IN ('Product Viewed', 'Product Added')
    ) AS seen
    INNER JOIN anchors USING anchor_id
    WHERE category != ''
    GROUP BY profile_id, category
)
GROUP BY profile_id
SETTINGS max_threads = 1;
