-- Bytes and connections of a finding's terminal and server in each window around it, each conversation as the vantage
-- that saw most of it. `asked` has one row; a null for its `src` or `server` stands for all.
WITH seen AS (
    SELECT
        t.src AS src,
        t.server AS server,
        CASE WHEN a.hourly THEN date_trunc('hour', t.minute) ELSE date_trunc('minute', t.minute) END AS start,
        t.vantage AS vantage,
        t.bytes_kind AS bytes_kind,
        try_sum(t.bytes_out) AS bytes_out,
        try_sum(t.bytes_in) AS bytes_in
    FROM traffic t
    CROSS JOIN asked a
    WHERE (a.src IS NULL OR t.src = a.src) AND (a.server IS NULL OR t.server = a.server)
        AND t.minute >= a.first AND t.minute <= a.last
    GROUP BY 1, 2, 3, 4, 5
),
pairs AS (
    SELECT src, server, start, max(bytes_out) AS bytes_out, max(bytes_in) AS bytes_in
    FROM seen
    GROUP BY src, server, start
)
SELECT start, try_sum(bytes_out) AS bytes_out, try_sum(bytes_in) AS bytes_in
FROM pairs
GROUP BY start
ORDER BY start NULLS LAST
