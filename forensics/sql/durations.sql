-- How long the connections of each terminal with the servers in `wanted` last, as a histogram on the scale ln(1 + s) in
-- steps of 1/4, with the name it used last by the alphabet; and when the connections were that are of `longest`, each the
-- longest of a terminal with a server's port.
SELECT
    c.src, c.server, c.port, c.proto, CAST(floor(4 * ln(1 + c.lasted / 1000000)) AS BIGINT) AS place,
    max(c.name) AS name, count(*) AS n,
    min(CASE WHEN c.lasted = k.lasted THEN c.start END) AS start, min(CASE WHEN c.lasted = k.lasted THEN c."end" END) AS "end",
    max(CASE WHEN c.lasted = k.lasted THEN c.pieces END) AS pieces
FROM connections c
JOIN terminals t ON c.src = t.src
JOIN wanted w ON c.server = w.server
LEFT JOIN longest k ON c.src = k.src AND c.server = k.server AND c.port IS NOT DISTINCT FROM k.port
    AND c.proto IS NOT DISTINCT FROM k.proto
GROUP BY 1, 2, 3, 4, 5
ORDER BY src NULLS FIRST, server NULLS FIRST, port NULLS FIRST, proto NULLS FIRST, place NULLS LAST
