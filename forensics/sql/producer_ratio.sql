-- What terminals and outside servers sent each other in each window, from `volume_windows` and `volume_pairs`: of the
-- pairs that have a window in which the terminal sent much, and more than it received. Only rows that show both
-- directions count. One more row, without src, counts the windows that can be tested and those that cannot, and has
-- the usual deviation of a pair's windows from their median; the others have that of their server. Levels are whole
-- numbers of 1/1048576: the last digits of a logarithm depend on who computes it. `members` and `outside` say which
-- addresses the numbers are; up to the last step numbers stand for addresses.
WITH pairs AS (
    SELECT
        p.client, p.host, CASE WHEN p.most >= o.least_bytes THEN 1 ELSE 0 END AS loud, p.shown AS windows,
        CASE WHEN p.shown > o.history THEN p.shown - o.history ELSE 0 END AS tested
    FROM volume_pairs p
    CROSS JOIN options o
    WHERE p.shown > 0
),
-- Most pairs have too few windows to be tested: the others alone have levels and a median.
levels AS (
    SELECT
        w.client, w.host, w.start, w.sent, w.received, p.loud,
        floor(1048576 * (ln(1 + w.sent) - ln(1 + w.received)) + 5e-1) / 1048576 AS level
    FROM volume_windows w
    JOIN pairs p ON w.client = p.client AND w.host = p.host
    WHERE p.tested > 0 AND w.sent + w.received > 0
),
middles AS (
    SELECT client, host, median(level) AS middle
    FROM levels
    GROUP BY client, host
),
deviations AS (
    SELECT w.host, abs(w.level - m.middle) AS deviation
    FROM levels w
    JOIN middles m ON w.client = m.client AND w.host = m.host
),
spread AS (
    SELECT median(deviation) AS spread
    FROM deviations
),
-- Only the servers of rows that are told need a spread of their own.
around AS (
    SELECT d.host, median(d.deviation) AS spread
    FROM deviations d
    JOIN (SELECT DISTINCT host FROM pairs WHERE loud = 1 AND tested > 0) l ON d.host = l.host
    GROUP BY d.host
),
named AS (
    SELECT
        l.client, l.host, CAST(floor(unix_micros(t.minute) / nullif(o.size, 0)) AS BIGINT) * o.size AS start,
        max(t.name) AS name
    FROM traffic t
    CROSS JOIN options o
    JOIN (
        SELECT p.client, p.host, c.address, s.server
        FROM pairs p
        JOIN members c ON p.client = c.number
        JOIN outside s ON p.host = s.number
        WHERE p.loud = 1 AND p.tested > 0
    ) l ON t.src = l.address AND t.server = l.server
    WHERE t.name IS NOT NULL AND t.bytes_out IS NOT NULL AND t.bytes_in IS NOT NULL
    GROUP BY 1, 2, 3
)
SELECT
    c.address AS src, s.server,
    timestamp_micros(w.start) AS start, n.name, w.sent, w.received,
    w.level, a.spread, CAST(NULL AS BIGINT) AS tested, CAST(NULL AS BIGINT) AS untested
FROM levels w
JOIN around a ON w.host = a.host
JOIN members c ON w.client = c.number
JOIN outside s ON w.host = s.number
LEFT JOIN named n ON w.client = n.client AND w.host = n.host AND w.start = n.start
WHERE w.loud = 1
UNION ALL
SELECT
    CAST(NULL AS STRING) AS src, CAST(NULL AS STRING) AS server, CAST(NULL AS TIMESTAMP) AS start,
    CAST(NULL AS STRING) AS name, CAST(NULL AS DOUBLE) AS sent, CAST(NULL AS DOUBLE) AS received,
    CAST(NULL AS DOUBLE) AS level, max(s.spread) AS spread, CAST(sum(CAST(tested AS DOUBLE)) AS BIGINT) AS tested,
    CAST(sum(CAST(windows - tested AS DOUBLE)) AS BIGINT) AS untested
FROM pairs
CROSS JOIN spread s
ORDER BY src NULLS FIRST, server NULLS FIRST, start NULLS FIRST
