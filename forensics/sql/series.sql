-- Bytes and connections of each client and server in each window. One conversation seen from several places counts
-- once: as the vantage that saw most of it. A sum beyond 63 bits, which only hostile logs reach, is null: not known.
-- `windows` has one row; its `hourly` says whether windows are hours or minutes; `named` has the servers in question.
WITH seen AS (
    SELECT
        src,
        t.server AS server,
        CASE WHEN w.hourly THEN date_trunc('hour', minute) ELSE date_trunc('minute', minute) END AS start,
        vantage,
        bytes_kind,
        max(name) AS name,
        try_sum(bytes_out) AS bytes_out,
        try_sum(bytes_in) AS bytes_in,
        try_sum(connections) AS connections
    FROM traffic t
    CROSS JOIN windows w
    JOIN named n ON t.server = n.server
    WHERE t.server <> src
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
ORDER BY src NULLS LAST, server NULLS LAST, start NULLS LAST
