-- The longest connection of each terminal with each port of a server, where it is long enough to matter. One more row,
-- the first, counts all such pairs, however short their connections are: `tested`; it is not there where there are none.
-- The last rows, without src, are a histogram by port: how many connections last how long, on the scale ln(1 + s) in
-- steps of 1/4. One reading counts both: `of_port` is 1 where a group is of the histogram.
WITH counted AS (
    SELECT
        of_port, CASE WHEN of_port = 1 THEN port END AS port, CASE WHEN of_port = 1 THEN proto END AS proto, place,
        count(*) AS groups, max(n) AS n
    FROM (
        SELECT grouping(client) AS of_port, port, proto, place, count(*) AS n
        FROM (
            SELECT
                t.number AS client, o.number AS host, c.port AS port, c.proto AS proto,
                CAST(floor(4 * ln(1 + c.lasted / 1000000)) AS BIGINT) AS place
            FROM connections c
            JOIN terminals t ON c.src = t.src
            JOIN outside o ON c.server = o.server
        ) m
        GROUP BY GROUPING SETS ((client, host, port, proto), (port, proto, place))
    ) g
    GROUP BY 1, 2, 3, 4
),
-- Read once more: a step that both stood on would be kept, and that is every connection.
lasting AS (
    SELECT c.src, c.server, c.port, c.proto, c.lasted, c.start, c."end", c.pieces
    FROM connections c
    JOIN terminals t ON c.src = t.src
    JOIN outside o ON c.server = o.server
    CROSS JOIN options p
    WHERE c.lasted >= p.least_us
),
longest AS (
    SELECT src, server, port, proto, max(lasted) AS lasted, count(*) AS long_ones
    FROM lasting
    GROUP BY src, server, port, proto
)
SELECT
    groups AS tested, CAST(NULL AS STRING) AS src, CAST(NULL AS STRING) AS server, CAST(NULL AS INT) AS port,
    CAST(NULL AS STRING) AS proto, CAST(NULL AS BIGINT) AS lasted, CAST(NULL AS BIGINT) AS long_ones,
    CAST(NULL AS TIMESTAMP) AS start, CAST(NULL AS TIMESTAMP) AS "end", CAST(NULL AS BIGINT) AS pieces,
    CAST(NULL AS BIGINT) AS place, CAST(NULL AS BIGINT) AS n
FROM counted
WHERE of_port = 0
UNION ALL
SELECT
    CAST(NULL AS BIGINT) AS tested, k.src, k.server, k.port, k.proto, k.lasted, k.long_ones,
    min(l.start) AS start, min(l."end") AS "end", max(l.pieces) AS pieces,
    CAST(NULL AS BIGINT) AS place, CAST(NULL AS BIGINT) AS n
FROM longest k
JOIN lasting l ON l.src = k.src AND l.server = k.server AND l.proto IS NOT DISTINCT FROM k.proto
    AND l.port IS NOT DISTINCT FROM k.port AND l.lasted = k.lasted
GROUP BY k.src, k.server, k.port, k.proto, k.lasted, k.long_ones
UNION ALL
SELECT
    CAST(NULL AS BIGINT) AS tested, CAST(NULL AS STRING) AS src, CAST(NULL AS STRING) AS server, port, proto,
    CAST(NULL AS BIGINT) AS lasted, CAST(NULL AS BIGINT) AS long_ones, CAST(NULL AS TIMESTAMP) AS start,
    CAST(NULL AS TIMESTAMP) AS "end", CAST(NULL AS BIGINT) AS pieces, place, n
FROM counted
WHERE of_port = 1
ORDER BY
    tested NULLS LAST, src NULLS LAST, server NULLS LAST, port NULLS LAST, proto NULLS LAST, place NULLS LAST
