-- The longest connection of each terminal with each port of a server, where it is long enough to matter. One more row,
-- the first, counts all such pairs, however short their connections are: `tested`.
WITH pairs AS (
    SELECT
        c.src, c.server, c.port, c.proto, max(c.name) AS name, max(c.lasted) AS lasted, count(*) AS connections,
        count(CASE WHEN c.lasted >= p.least_us THEN 1 END) AS long_ones
    FROM connections c
    JOIN terminals t ON c.src = t.src
    JOIN outside o ON c.server = o.server
    CROSS JOIN options p
    GROUP BY c.src, c.server, c.port, c.proto
),
kept AS (
    SELECT n.*
    FROM pairs n
    CROSS JOIN options p
    WHERE n.lasted >= p.least_us
)
SELECT
    count(*) AS tested, CAST(NULL AS STRING) AS src, CAST(NULL AS STRING) AS server, CAST(NULL AS INT) AS port,
    CAST(NULL AS STRING) AS proto, CAST(NULL AS STRING) AS name, CAST(NULL AS BIGINT) AS lasted,
    CAST(NULL AS BIGINT) AS connections, CAST(NULL AS BIGINT) AS long_ones, CAST(NULL AS TIMESTAMP) AS start,
    CAST(NULL AS TIMESTAMP) AS "end", CAST(NULL AS BIGINT) AS pieces
FROM pairs
UNION ALL
SELECT
    CAST(NULL AS BIGINT) AS tested, k.src, k.server, k.port, k.proto, k.name, k.lasted, k.connections, k.long_ones,
    min(c.start) AS start, min(c."end") AS "end", max(c.pieces) AS pieces
FROM kept k
CROSS JOIN options p
JOIN connections c ON c.src = k.src AND c.server = k.server AND c.proto IS NOT DISTINCT FROM k.proto
    AND c.port IS NOT DISTINCT FROM k.port AND c.lasted = k.lasted
WHERE c.lasted >= p.least_us
GROUP BY k.src, k.server, k.port, k.proto, k.name, k.lasted, k.connections, k.long_ones
ORDER BY tested NULLS LAST, src NULLS LAST, server NULLS LAST, port NULLS LAST, proto NULLS LAST
