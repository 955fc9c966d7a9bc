-- How long the connections of each terminal with the servers in `wanted` last, as a histogram on the scale ln(1 + s) in
-- steps of 1/4, with the name it used last by the alphabet.
SELECT
    c.src, c.server, c.port, c.proto, CAST(floor(4 * ln(1 + c.lasted / 1000000)) AS BIGINT) AS place,
    max(c.name) AS name, count(*) AS n
FROM connections c
JOIN terminals t ON c.src = t.src
JOIN wanted w ON c.server = w.server
GROUP BY 1, 2, 3, 4, 5
ORDER BY src NULLS FIRST, server NULLS FIRST, port NULLS FIRST, proto NULLS FIRST, place NULLS LAST
