-- The longest connection of each terminal with each port of a server, where it is long enough to matter; `tested` counts
-- all such pairs.
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
counted AS (
    SELECT p.*, count(*) OVER () AS tested
    FROM pairs p
),
kept AS (
    SELECT n.*
    FROM counted n
    CROSS JOIN options p
    WHERE n.lasted >= p.least_us
)
SELECT
    k.src, k.server, k.port, k.proto, k.name, k.lasted, k.connections, k.long_ones, k.tested,
    min(c.start) AS start, min(c."end") AS "end", max(c.pieces) AS pieces
FROM kept k
JOIN connections c ON c.src = k.src AND c.server = k.server AND c.proto IS NOT DISTINCT FROM k.proto
    AND c.port IS NOT DISTINCT FROM k.port AND c.lasted = k.lasted
GROUP BY k.src, k.server, k.port, k.proto, k.name, k.lasted, k.connections, k.long_ones, k.tested
ORDER BY k.src NULLS LAST, k.server NULLS LAST, k.port NULLS LAST, k.proto NULLS LAST
