-- Direct connections of terminals with outside servers, of terminals that use a proxy on the same day. A connection that
-- the proxy's own log has as well, within a minute, went through it unseen (a proxy in the path) and is none.
WITH direct AS (
    SELECT
        f.src, coalesce(f.dst, a.address) AS server, f.dst_port AS port, f.proto, f.name, f.state, f.start, f."end",
        f.bytes_out, f.bytes_in, unix_micros(f.start) AS began, q.day, f.source, f.record,
        CASE
            WHEN f.bytes_in > 0 OR f.state IN ('SF', 'S1', 'S2', 'S3', 'RSTO', 'RSTR') THEN 1
            WHEN f.bytes_in = 0 OR f.state IN ('S0', 'REJ', 'RSTRH', 'SH', 'RSTOS0') THEN 0
        END AS answered
    FROM flows f
    JOIN terminals t ON f.src = t.src
    JOIN quarters q ON CAST(floor(unix_micros(f.start) / 900000000) AS BIGINT) = q.quarter
    LEFT JOIN address_of a ON f.name = a.name
    JOIN outside o ON coalesce(f.dst, a.address) = o.server
    JOIN ports p ON f.dst_port = p.port AND f.proto = p.proto
    WHERE f.via IS NULL AND (f.tunnel IS NULL OR f.tunnel = 'inner')
),
proxied AS (
    SELECT c.src, c.server, q.day, unix_micros(c.start) AS began, unix_micros(c."end") AS ended
    FROM contacts c
    JOIN terminals t ON c.src = t.src
    JOIN quarters q ON CAST(floor(unix_micros(c.start) / 900000000) AS BIGINT) = q.quarter
    WHERE c.via IS NOT NULL
),
used AS (
    SELECT src, day, count(*) AS contacts
    FROM proxied
    GROUP BY src, day
),
met AS (
    SELECT DISTINCT src, server FROM direct
),
logged AS (
    SELECT p.src, p.server, p.began, p.ended
    FROM proxied p
    JOIN met m ON p.src = m.src AND p.server = m.server
),
past AS (
    SELECT d.*, u.contacts AS through
    FROM direct d
    JOIN used u ON d.src = u.src AND d.day = u.day
    WHERE NOT EXISTS (
        SELECT 1
        FROM logged l
        WHERE l.src = d.src AND l.server = d.server
          AND d.began >= l.began - 60000000 AND d.began <= l.ended + 60000000
    )
),
shared AS (
    SELECT server, count(DISTINCT src) AS terminals
    FROM past
    GROUP BY server
)
SELECT
    d.src, d.server, d.port, d.proto, max(d.name) AS name, min(d.start) AS start, max(d."end") AS "end",
    count(*) AS connections, max(d.answered) AS answered, count(DISTINCT d.day) AS days,
    sum(CAST(d.bytes_out AS DOUBLE)) AS sent, max(d.through) AS through, max(s.terminals) AS terminals
FROM past d
JOIN shared s ON d.server = s.server
GROUP BY d.src, d.server, d.port, d.proto
ORDER BY d.src NULLS LAST, d.server NULLS LAST, d.port NULLS LAST, d.proto NULLS LAST
