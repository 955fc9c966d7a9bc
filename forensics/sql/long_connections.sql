-- Each terminal and port of a server with a connection that is long enough to matter: how long the longest lasted, and how
-- many there are. One more row, the first, counts all such pairs, however short their connections are: `tested`; it is not
-- there where there are none. Connections are grouped as they are: who is who is asked of the groups, which are fewer.
WITH counted AS (
    -- All pairs without a long connection are one row.
    SELECT
        CASE WHEN p.long_ones > 0 THEN p.src END AS src,
        CASE WHEN p.long_ones > 0 THEN p.server END AS server,
        CASE WHEN p.long_ones > 0 THEN p.port END AS port,
        CASE WHEN p.long_ones > 0 THEN p.proto END AS proto,
        max(p.lasted) AS lasted, max(p.long_ones) AS long_ones, count(*) AS pairs
    FROM (
        SELECT
            c.src, c.server, c.port, c.proto, max(c.lasted) AS lasted,
            count(CASE WHEN c.lasted >= o.least_us THEN 1 END) AS long_ones
        FROM connections c
        CROSS JOIN options o
        GROUP BY c.src, c.server, c.port, c.proto
    ) p
    JOIN terminals t ON p.src = t.src
    JOIN outside u ON p.server = u.server
    GROUP BY 1, 2, 3, 4
)
SELECT
    try_sum(pairs) AS tested, CAST(NULL AS STRING) AS src, CAST(NULL AS STRING) AS server, CAST(NULL AS INT) AS port,
    CAST(NULL AS STRING) AS proto, CAST(NULL AS BIGINT) AS lasted, CAST(NULL AS BIGINT) AS long_ones
FROM counted
HAVING count(*) > 0
UNION ALL
SELECT CAST(NULL AS BIGINT) AS tested, src, server, port, proto, lasted, long_ones
FROM counted
WHERE long_ones > 0
ORDER BY tested NULLS LAST, src NULLS LAST, server NULLS LAST, port NULLS LAST, proto NULLS LAST
