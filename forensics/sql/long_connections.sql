-- Each terminal and port of a server with a connection that is long enough to matter: how long the longest lasted, and how
-- many there are. One more row, the first, counts all such pairs, however short their connections are: `tested`; it is not
-- there where there are none. The last rows, without src, are a histogram by port: how many connections last how long, on
-- the scale ln(1 + s) in steps of 1/4. Connections are read once: `of_port` is 1 where a group is of the histogram.
WITH counted AS (
    -- All pairs without a long connection are one row.
    SELECT
        of_port,
        CASE WHEN long_ones > 0 THEN client END AS client,
        CASE WHEN long_ones > 0 THEN host END AS host,
        CASE WHEN of_port = 1 OR long_ones > 0 THEN port END AS port,
        CASE WHEN of_port = 1 OR long_ones > 0 THEN proto END AS proto,
        place, max(lasted) AS lasted, max(long_ones) AS long_ones, count(*) AS pairs, max(n) AS n
    FROM (
        SELECT
            grouping(client) AS of_port, client, host, port, proto, place, max(lasted) AS lasted,
            count(long_one) AS long_ones, count(*) AS n
        FROM (
            SELECT
                t.number AS client, o.number AS host, c.port AS port, c.proto AS proto,
                CAST(floor(4 * ln(1 + c.lasted / 1000000)) AS BIGINT) AS place, c.lasted AS lasted,
                CASE WHEN c.lasted >= p.least_us THEN 1 END AS long_one
            FROM connections c
            JOIN terminals t ON c.src = t.src
            JOIN outside o ON c.server = o.server
            CROSS JOIN options p
        ) m
        GROUP BY GROUPING SETS ((client, host, port, proto), (port, proto, place))
    ) g
    GROUP BY 1, 2, 3, 4, 5, 6
)
SELECT
    try_sum(pairs) AS tested, CAST(NULL AS STRING) AS src, CAST(NULL AS STRING) AS server, CAST(NULL AS INT) AS port,
    CAST(NULL AS STRING) AS proto, CAST(NULL AS BIGINT) AS lasted, CAST(NULL AS BIGINT) AS long_ones,
    CAST(NULL AS BIGINT) AS place, CAST(NULL AS BIGINT) AS n
FROM counted
WHERE of_port = 0
HAVING count(*) > 0
UNION ALL
SELECT
    CAST(NULL AS BIGINT) AS tested, t.src, o.server, c.port, c.proto, c.lasted, c.long_ones,
    CAST(NULL AS BIGINT) AS place, CAST(NULL AS BIGINT) AS n
FROM counted c
JOIN terminals t ON c.client = t.number
JOIN outside o ON c.host = o.number
WHERE c.of_port = 0 AND c.long_ones > 0
UNION ALL
SELECT
    CAST(NULL AS BIGINT) AS tested, CAST(NULL AS STRING) AS src, CAST(NULL AS STRING) AS server, port, proto,
    CAST(NULL AS BIGINT) AS lasted, CAST(NULL AS BIGINT) AS long_ones, place, n
FROM counted
WHERE of_port = 1
ORDER BY
    tested NULLS LAST, src NULLS LAST, server NULLS LAST, port NULLS LAST, proto NULLS LAST, place NULLS LAST
