-- How long connections of terminals last, as a histogram on the scale ln(1 + s) in steps of 1/4: of every terminal with the
-- servers in `wanted`, with the name it used last by the alphabet, and (where server is null) of all terminals with all
-- servers by port.
WITH placed AS (
    SELECT c.src, c.server, c.port, c.proto, c.name, CAST(floor(4 * ln(1 + c.lasted / 1000000)) AS BIGINT) AS place
    FROM connections c
    JOIN terminals t ON c.src = t.src
    JOIN outside o ON c.server = o.server
),
counted AS (
    SELECT p.src, p.server, p.port, p.proto, p.place, max(p.name) AS name, count(*) AS n
    FROM placed p
    JOIN wanted w ON p.server = w.server
    GROUP BY p.src, p.server, p.port, p.proto, p.place
    UNION ALL
    SELECT
        CAST(NULL AS STRING) AS src, CAST(NULL AS STRING) AS server, port, proto, place, CAST(NULL AS STRING) AS name,
        count(*) AS n
    FROM placed
    GROUP BY port, proto, place
)
SELECT src, server, port, proto, place, name, n
FROM counted
ORDER BY src NULLS FIRST, server NULLS FIRST, port NULLS FIRST, proto NULLS FIRST, place NULLS LAST
