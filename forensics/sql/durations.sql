-- How long the connections of terminals with outside servers last, as histograms on the scale ln(1 + s) in steps of 1/4:
-- by port, without src and server; by port of each of the servers in `wanted`, without src; and of each pair of terminal
-- and server's port in `longest`, with the name it used last by the alphabet, and when its longest connection was. Rows
-- without place count the terminals of a server's port. Connections are read once: those with other servers are told
-- apart by port alone, and up to the last step numbers stand for addresses.
WITH met AS (
    SELECT
        CASE WHEN w.server IS NOT NULL THEN t.number END AS client, w.number AS host, c.port, c.proto,
        CAST(floor(4 * ln(1 + c.lasted / 1000000)) AS BIGINT) AS place, k.lasted AS longest, count(*) AS n,
        max(CASE WHEN k.lasted IS NOT NULL THEN c.name END) AS name,
        min(CASE WHEN c.lasted = k.lasted THEN c.start END) AS start,
        min(CASE WHEN c.lasted = k.lasted THEN c."end" END) AS "end",
        max(CASE WHEN c.lasted = k.lasted THEN c.pieces END) AS pieces
    FROM connections c
    JOIN terminals t ON c.src = t.src
    JOIN outside o ON c.server = o.server
    LEFT JOIN wanted w ON c.server = w.server
    LEFT JOIN longest k ON c.src = k.src AND c.server = k.server AND c.port IS NOT DISTINCT FROM k.port
        AND c.proto IS NOT DISTINCT FROM k.proto
    GROUP BY 1, 2, 3, 4, 5, 6
)
SELECT
    CAST(NULL AS STRING) AS src, CAST(NULL AS STRING) AS server, port, proto, place, try_sum(n) AS n,
    CAST(NULL AS STRING) AS name, CAST(NULL AS TIMESTAMP) AS start, CAST(NULL AS TIMESTAMP) AS "end",
    CAST(NULL AS BIGINT) AS pieces
FROM met
GROUP BY port, proto, place
UNION ALL
SELECT
    CAST(NULL AS STRING), w.server, m.port, m.proto, m.place, try_sum(m.n), CAST(NULL AS STRING),
    CAST(NULL AS TIMESTAMP), CAST(NULL AS TIMESTAMP), CAST(NULL AS BIGINT)
FROM met m
JOIN wanted w ON m.host = w.number
GROUP BY w.server, m.port, m.proto, m.place
UNION ALL
SELECT
    CAST(NULL AS STRING), w.server, m.port, m.proto, CAST(NULL AS BIGINT), count(DISTINCT m.client), CAST(NULL AS STRING),
    CAST(NULL AS TIMESTAMP), CAST(NULL AS TIMESTAMP), CAST(NULL AS BIGINT)
FROM met m
JOIN wanted w ON m.host = w.number
GROUP BY w.server, m.port, m.proto
UNION ALL
SELECT t.src, w.server, m.port, m.proto, m.place, m.n, m.name, m.start, m."end", m.pieces
FROM met m
JOIN terminals t ON m.client = t.number
JOIN wanted w ON m.host = w.number
WHERE m.longest IS NOT NULL
ORDER BY src NULLS FIRST, server NULLS FIRST, port NULLS FIRST, proto NULLS FIRST, place NULLS FIRST
