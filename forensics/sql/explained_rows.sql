-- What a finding's terminal and server did with each other in its time: contacts, requests, and names that were looked
-- up or used; the first of them. `asked` has one row; a null for its `src` or `server` stands for all.
WITH behind AS (
    SELECT
        'contacts' AS kind, c.start AS start, c."end" AS "end", c.src AS src, c.server AS dst, c.name AS name,
        CAST(NULL AS STRING) AS url, CAST(NULL AS INT) AS status, c.bytes_out AS bytes_out, c.bytes_in AS bytes_in,
        c.source AS source, c.record AS record
    FROM contacts c
    CROSS JOIN asked a
    WHERE (a.src IS NULL OR c.src = a.src) AND (a.server IS NULL OR c.server = a.server)
        AND c.start < a."end" AND c."end" >= a.start
    UNION ALL
    SELECT
        'requests', r.start, coalesce(r."end", r.start), r.src, coalesce(r.dst, k.address, r.name), r.name,
        r.url, r.status, r.request_bytes, r.response_bytes, r.source, r.record
    FROM requests r
    CROSS JOIN asked a
    LEFT JOIN address_of k ON r.name = k.name
    WHERE (a.src IS NULL OR r.src = a.src)
        AND (a.server IS NULL OR coalesce(r.dst, k.address, r.name) = a.server)
        AND r.start < a."end" AND coalesce(r."end", r.start) >= a.start
    UNION ALL
    SELECT
        'names', n.time, n.time, n.client, n.address, n.name,
        CAST(NULL AS STRING), CAST(NULL AS INT), CAST(NULL AS BIGINT), CAST(NULL AS BIGINT), n.source, n.record
    FROM names n
    CROSS JOIN asked a
    WHERE (a.src IS NULL OR n.client = a.src) AND (a.server IS NULL OR n.address = a.server OR n.name = a.server)
        AND n.time < a."end" AND n.time >= a.start
),
numbered AS (
    SELECT
        b.*,
        row_number() OVER (
            ORDER BY start NULLS LAST, kind NULLS LAST, source NULLS LAST, record NULLS LAST, name NULLS LAST
        ) AS place,
        count(*) OVER () AS found
    FROM behind b
)
SELECT kind, start, "end", src, dst, name, url, status, bytes_out, bytes_in, source, record, found
FROM numbered
WHERE place <= 10000
ORDER BY place NULLS LAST
