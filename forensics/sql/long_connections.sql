-- How long the connections of terminals with outside servers last that last 50 s or more, as a histogram on the scale
-- ln(1 + s) in steps of 1/4. Of a terminal and port of a server that have a long connection there are rows of their own,
-- with the name used last by the alphabet, how long the longest lasted and how many are long, and in the row of the
-- longest when it was. A server that has a long connection has rows of its own, without client, for its others; without
-- host are those of all other servers. Shorter connections are here where they are long, and are not counted in `n`.
WITH met AS (
    SELECT
        t.number AS client, u.number AS host, c.port, c.proto, c.name, c.start, c."end", c.lasted, c.pieces, c.counted,
        CAST(floor(4 * ln(1 + c.lasted / 1000000)) AS BIGINT) AS place
    FROM (
        SELECT src, server, port, proto, name, start, "end", lasted, pieces, 1 AS counted
        FROM connections
        WHERE lasted >= 50000000
        UNION ALL
        SELECT l.src, l.server, l.port, l.proto, l.name, l.start, l."end", l.lasted, 1 AS pieces, 0 AS counted
        FROM lasting l
        CROSS JOIN options o
        WHERE l.lasted < 50000000
          AND o.least_us < 50000000
          AND l.lasted >= o.least_us
    ) c
    JOIN terminals t ON c.src = t.src
    JOIN outside u ON c.server = u.server
),
longest AS (
    SELECT m.client, m.host, m.port, m.proto, max(m.lasted) AS lasted, count(*) AS long_ones
    FROM met m
    CROSS JOIN options o
    WHERE m.lasted >= o.least_us
    GROUP BY m.client, m.host, m.port, m.proto
)
SELECT
    k.client, w.host, m.port, m.proto, m.place, try_sum(m.counted) AS n,
    max(CASE WHEN k.lasted IS NOT NULL THEN m.name END) AS name, k.lasted, k.long_ones,
    min(CASE WHEN m.lasted = k.lasted THEN m.start END) AS start,
    min(CASE WHEN m.lasted = k.lasted THEN m."end" END) AS "end",
    max(CASE WHEN m.lasted = k.lasted THEN m.pieces END) AS pieces
FROM met m
LEFT JOIN (SELECT DISTINCT host FROM longest) w ON m.host = w.host
LEFT JOIN longest k ON m.client = k.client AND m.host = k.host AND m.port IS NOT DISTINCT FROM k.port
    AND m.proto IS NOT DISTINCT FROM k.proto
GROUP BY k.client, w.host, m.port, m.proto, m.place, k.lasted, k.long_ones
ORDER BY client NULLS LAST, host NULLS LAST, port NULLS LAST, proto NULLS LAST, place NULLS LAST
