-- What terminals and outside servers sent each other in each window, of the pairs that have a window in which the terminal
-- sent much, and more than it received. Only rows that show both directions count; what several places saw counts as
-- the one that saw most. One more row, without src, counts the windows that can be tested and those that cannot, and has the
-- usual deviation of a pair's windows from their median; the others have that of their server. Levels are whole numbers of
-- 1/1048576: the last digits of a logarithm depend on who computes it.
WITH seen AS (
    SELECT
        t.src, t.server, t.vantage, t.bytes_kind,
        CASE WHEN p.hourly THEN date_trunc('hour', t.minute) ELSE t.minute END AS start,
        max(t.name) AS name,
        sum(CAST(t.bytes_out AS DOUBLE)) AS sent,
        sum(CAST(t.bytes_in AS DOUBLE)) AS received
    FROM traffic t
    JOIN terminals c ON t.src = c.src
    JOIN outside o ON t.server = o.server
    CROSS JOIN options p
    WHERE t.bytes_out IS NOT NULL AND t.bytes_in IS NOT NULL
    GROUP BY
        t.src, t.server, t.vantage, t.bytes_kind,
        CASE WHEN p.hourly THEN date_trunc('hour', t.minute) ELSE t.minute END
),
ranked AS (
    SELECT
        s.*,
        row_number() OVER (
            PARTITION BY src, server, start
            ORDER BY sent + received DESC NULLS LAST, vantage NULLS LAST, bytes_kind NULLS LAST
        ) AS place
    FROM seen s
),
windows AS (
    SELECT
        src, server, start, name, sent, received,
        floor(1048576 * (ln(1 + sent) - ln(1 + received)) + 5e-1) / 1048576 AS level
    FROM ranked
    WHERE place = 1 AND sent + received > 0
),
pairs AS (
    SELECT
        w.src, w.server,
        max(CASE WHEN w.sent >= p.least_bytes AND w.sent > w.received THEN 1 ELSE 0 END) AS loud,
        count(*) AS windows,
        median(w.level) AS middle,
        CASE WHEN count(*) > max(p.history) THEN count(*) - max(p.history) ELSE 0 END AS tested
    FROM windows w
    CROSS JOIN options p
    GROUP BY w.src, w.server
),
deviations AS (
    SELECT w.server, abs(w.level - p.middle) AS deviation
    FROM windows w
    JOIN pairs p ON w.src = p.src AND w.server = p.server
    WHERE p.tested > 0
),
spread AS (
    SELECT median(deviation) AS spread
    FROM deviations
),
around AS (
    SELECT server, median(deviation) AS spread
    FROM deviations
    GROUP BY server
)
SELECT
    w.src, w.server, w.start, w.name, w.sent, w.received, w.level, a.spread, CAST(NULL AS BIGINT) AS tested,
    CAST(NULL AS BIGINT) AS untested
FROM windows w
JOIN pairs p ON w.src = p.src AND w.server = p.server
JOIN around a ON w.server = a.server
WHERE p.loud = 1 AND p.tested > 0
UNION ALL
SELECT
    CAST(NULL AS STRING) AS src, CAST(NULL AS STRING) AS server, CAST(NULL AS TIMESTAMP) AS start,
    CAST(NULL AS STRING) AS name, CAST(NULL AS DOUBLE) AS sent, CAST(NULL AS DOUBLE) AS received,
    CAST(NULL AS DOUBLE) AS level, max(s.spread) AS spread, CAST(sum(CAST(tested AS DOUBLE)) AS BIGINT) AS tested,
    CAST(sum(CAST(windows - tested AS DOUBLE)) AS BIGINT) AS untested
FROM pairs
CROSS JOIN spread s
ORDER BY src NULLS FIRST, server NULLS FIRST, start NULLS FIRST
