-- Events that two evidence files may both have seen, with the difference of their clocks: the time by `other` minus the
-- time by `one`. What is `exact` has ports, so that each event is one by itself: connections by both ends, and, where a
-- gateway changed the client's address on the way, by the client's port and the server. A connection that a file holds
-- twice is left out: which of the two is meant would be a guess; so is one whose opening a sensor did not see, since it
-- began at another time. All other events are requests, look-ups, contacts by
-- name, and rows of logs without ports by client, server and sizes: those that a file holds at most three times, and
-- between places of their own alone, since a job that runs every night is in all parts of a rotated log. No zone is more
-- than 18 hours from another that matters here. Each hour of a pair gives its 60 rarest events.
WITH told AS (
    SELECT proto, src, src_port, dst, dst_port, source, start, 1 AS flow
    FROM flows
    WHERE proto = 'udp' OR (proto = 'tcp' AND (history IS NULL OR history LIKE '%S%' OR lower(history) LIKE '%h%'))
    UNION ALL
    SELECT 'tcp' AS proto, src, src_port, dst, dst_port, source, start, CAST(NULL AS INT) AS flow
    FROM requests
),
ported AS (
    SELECT
        proto, src, src_port, dst, dst_port, source, start, flow,
        src || ' ' || CAST(src_port AS STRING) AS near_end,
        dst || ' ' || CAST(dst_port AS STRING) AS far_end
    FROM told
    WHERE src_port IS NOT NULL AND dst_port IS NOT NULL AND dst IS NOT NULL
),
whole AS (
    SELECT
        proto || ' ' || least(near_end, far_end) || ' ' || greatest(near_end, far_end) AS key,
        '' AS client, source, min(start) AS start
    FROM ported
    GROUP BY 1, source
    HAVING count(flow) <= 1
    UNION ALL
    SELECT
        proto || ' ' || CAST(src_port AS STRING) || ' to ' || far_end AS key,
        min(src) AS client, source, min(start) AS start
    FROM ported
    GROUP BY 1, source
    HAVING count(flow) <= 1 AND count(DISTINCT src) = 1
),
-- What was seen at one place alone is in no other file: most of a large log is left out before its keys are made.
described AS (
    SELECT
        r.src AS src, r.source AS source, r.start AS start, r.url AS url, s.vantage AS vantage,
        coalesce(r.method, '') || ' ' || coalesce(r.name, r.dst, '') || ' ' AS what
    FROM requests r
    JOIN sources s ON r.source = s.source
    WHERE r.url IS NOT NULL
),
asked AS (
    SELECT
        d.src, d.source, d.start, d.what,
        regexp_extract(d.url, '^(?:[a-zA-Z]+://[^/?]*)?(.*)$', 1) AS target,
        regexp_extract(d.url, '^(?:[a-zA-Z]+://[^/?]*)?([^?]*)', 1) AS page
    FROM described d
    JOIN (SELECT what FROM described GROUP BY what HAVING min(vantage) <> max(vantage)) w ON d.what = w.what
),
called AS (
    SELECT n.name, n.source, n.time AS start, CASE WHEN n.how = 'dns' THEN n.client END AS client, s.vantage AS vantage
    FROM names n
    JOIN sources s ON n.source = s.source
),
heard AS (
    SELECT c.name, c.source, c.start, c.client
    FROM called c
    JOIN (SELECT name FROM called GROUP BY name HAVING min(vantage) <> max(vantage)) w ON c.name = w.name
),
moved AS (
    SELECT
        f.src, coalesce(f.name, f.dst) AS host, f.bytes_kind, f.bytes_out, f.bytes_in, f.source, f.start,
        s.vantage AS vantage
    FROM flows f
    JOIN sources s ON f.source = s.source
    WHERE f.src_port IS NULL
),
named AS (
    SELECT 'target ' || src || ' ' || what || target AS key, source, start FROM asked
    UNION
    SELECT 'page ' || src || ' ' || what || page AS key, source, start FROM asked
    UNION
    SELECT 'page of any ' || what || page AS key, source, start FROM asked
    UNION
    SELECT 'look-up ' || client || ' ' || name AS key, source, start FROM heard
    UNION
    SELECT 'name ' || name AS key, source, start FROM heard
    UNION
    SELECT
        'sizes ' || m.src || ' ' || m.host || ' ' || m.bytes_kind || ' ' || CAST(m.bytes_out AS STRING)
        || ' ' || CAST(m.bytes_in AS STRING) AS key,
        m.source, m.start
    FROM moved m
    JOIN (SELECT host FROM moved GROUP BY host HAVING min(vantage) <> max(vantage)) w ON m.host = w.host
),
counted AS (
    SELECT key, source, start, count(*) OVER (PARTITION BY key, source) AS times
    FROM named
    WHERE key IS NOT NULL
),
seen AS (
    SELECT 1 AS exact, key, client, source, start, 1 AS times FROM whole
    UNION ALL
    SELECT 0 AS exact, key, '' AS client, source, start, times FROM counted WHERE times <= 3
),
differing AS (
    SELECT
        a.source AS one,
        b.source AS other,
        unix_micros(a.start) AS time,
        unix_micros(b.start) - unix_micros(a.start) AS difference,
        max(a.exact) AS exact,
        min(a.times * b.times) AS commonness
    FROM seen a
    JOIN seen b ON a.exact = b.exact AND a.key = b.key
    JOIN sources s ON a.source = s.source
    JOIN sources t ON b.source = t.source
    WHERE a.source < b.source
      AND (a.client = '' OR a.client <> b.client)
      AND (a.exact = 1 OR (s.vantage <> t.vantage
           AND abs(unix_micros(b.start) - unix_micros(a.start)) <= 64800000000))
    GROUP BY a.source, b.source, unix_micros(a.start), unix_micros(b.start) - unix_micros(a.start)
),
placed AS (
    SELECT
        d.*,
        row_number() OVER (
            PARTITION BY one, other, floor(time / 3600000000)
            ORDER BY exact DESC NULLS LAST, commonness NULLS LAST, time NULLS LAST, difference NULLS LAST
        ) AS place
    FROM differing d
)
SELECT one, other, time, difference, exact
FROM placed
WHERE place <= 60
ORDER BY one NULLS LAST, other NULLS LAST, time NULLS LAST, difference NULLS LAST
