-- How long the connections of terminals with outside servers last that are shorter than 50 s, as a histogram on the scale
-- ln(1 + s) in steps of 1/4, with rows like those of long_connections. Each is one flow. `known` has the servers with rows
-- of their own, and those that are not outside, below 0: a short list is looked through faster than that of all servers.
-- The rows of these are returned as well: what leaves them out would be asked of every flow.
SELECT
    k.client, m.host, m.port, m.proto, m.place, try_sum(m.n) AS n,
    max(CASE WHEN k.client IS NOT NULL THEN m.name END) AS name
FROM (
    SELECT
        w.number AS host, CASE WHEN w.number IS NOT NULL AND t.asked THEN t.number END AS client, l.port, l.proto,
        CAST(floor(4 * ln(1 + l.lasted / 1000000)) AS BIGINT) AS place, count(*) AS n, max(l.name) AS name
    FROM lasting l
    JOIN terminals t ON l.src = t.src
    LEFT JOIN known w ON l.server = w.server
    WHERE l.lasted < 50000000
    GROUP BY 1, 2, 3, 4, 5
) m
LEFT JOIN longest k ON m.client = k.client AND m.host = k.host AND m.port IS NOT DISTINCT FROM k.port
    AND m.proto IS NOT DISTINCT FROM k.proto
GROUP BY k.client, m.host, m.port, m.proto, m.place
ORDER BY client NULLS LAST, host NULLS LAST, port NULLS LAST, proto NULLS LAST, place NULLS LAST
