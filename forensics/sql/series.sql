-- Bytes and connections of each client and server in each window. One conversation seen from several places counts
-- once: as the vantage that saw most of it. A sum beyond 63 bits, which only hostile logs reach, is null: not known.
WITH seen AS (
    SELECT
        src,
        server,
        date_trunc('{unit}', minute) AS start,
        vantage,
        bytes_kind,
        max(name) AS name,
        TRY_CAST(sum(bytes_out) AS BIGINT) AS bytes_out,
        TRY_CAST(sum(bytes_in) AS BIGINT) AS bytes_in,
        TRY_CAST(sum(connections) AS BIGINT) AS connections
    FROM traffic
    WHERE server <> src
    GROUP BY 1, 2, 3, 4, 5
)
SELECT
    src,
    server,
    start,
    max(name) AS name,
    max(bytes_out) AS bytes_out,
    max(bytes_in) AS bytes_in,
    max(connections) AS connections
FROM seen
GROUP BY src, server, start
ORDER BY src, server, start
