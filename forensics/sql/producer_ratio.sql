-- What terminals and outside servers sent each other in each window, of the pairs that have a window in which the terminal
-- sent much, and more than it received. Only rows that show both directions count; what several places saw counts as
-- the one that saw most. One more row, without src, counts the windows that can be tested and those that cannot, and has the
-- usual deviation of a pair's windows from their median; the others have that of their server. Levels are whole numbers of
-- 1/1048576: the last digits of a logarithm depend on who computes it. `clients` and `outside` number the addresses; up to
-- the last step they are told by their numbers.
WITH windows AS (
    SELECT client, host, place, name, sent, received
    FROM (
        SELECT
            c.number AS client, o.number AS host,
            CAST(floor(unix_micros(t.minute) / nullif(CASE WHEN p.hourly THEN 3600000000 ELSE 60000000 END, 0)) AS BIGINT) AS place,
            max(t.name) AS name, sum(CAST(t.bytes_out AS DOUBLE)) AS sent, sum(CAST(t.bytes_in AS DOUBLE)) AS received
        FROM traffic t
        JOIN clients c ON t.src = c.address
        JOIN outside o ON t.server = o.server
        CROSS JOIN options p
        WHERE t.bytes_out IS NOT NULL AND t.bytes_in IS NOT NULL AND c.own AND NOT c.mixed
        GROUP BY 1, 2, 3
        UNION ALL
        -- Most clients were seen in one place alone: only the windows of others need an order.
        SELECT client, host, place, name, sent, received
        FROM (
            SELECT
                client, host, place, name, sent, received,
                row_number() OVER (
                    PARTITION BY client, host, place
                    ORDER BY sent + received DESC NULLS LAST, vantage NULLS LAST, bytes_kind NULLS LAST
                ) AS rank
            FROM (
                SELECT
                    c.number AS client, o.number AS host,
                    CAST(floor(unix_micros(t.minute) / nullif(CASE WHEN p.hourly THEN 3600000000 ELSE 60000000 END, 0)) AS BIGINT) AS place,
                    t.vantage, t.bytes_kind,
                    max(t.name) AS name, sum(CAST(t.bytes_out AS DOUBLE)) AS sent, sum(CAST(t.bytes_in AS DOUBLE)) AS received
                FROM traffic t
                JOIN clients c ON t.src = c.address
                JOIN outside o ON t.server = o.server
                CROSS JOIN options p
                WHERE t.bytes_out IS NOT NULL AND t.bytes_in IS NOT NULL AND c.own AND c.mixed
                GROUP BY 1, 2, 3, 4, 5
            ) s
        ) r
        WHERE rank = 1
    ) w
    WHERE sent + received > 0
),
pairs AS (
    SELECT
        w.client, w.host,
        max(CASE WHEN w.sent >= p.least_bytes AND w.sent > w.received THEN 1 ELSE 0 END) AS loud,
        count(*) AS windows,
        CASE WHEN count(*) > max(p.history) THEN count(*) - max(p.history) ELSE 0 END AS tested
    FROM windows w
    CROSS JOIN options p
    GROUP BY w.client, w.host
),
-- Most pairs have too few windows to be tested: the others alone have levels and a median.
levels AS (
    SELECT
        w.client, w.host, w.place, w.name, w.sent, w.received, p.loud,
        floor(1048576 * (ln(1 + w.sent) - ln(1 + w.received)) + 5e-1) / 1048576 AS level
    FROM windows w
    JOIN pairs p ON w.client = p.client AND w.host = p.host
    WHERE p.tested > 0
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
)
SELECT
    c.address AS src, s.server,
    timestamp_micros(w.place * CASE WHEN o.hourly THEN 3600000000 ELSE 60000000 END) AS start, w.name, w.sent, w.received,
    w.level, a.spread, CAST(NULL AS BIGINT) AS tested, CAST(NULL AS BIGINT) AS untested
FROM levels w
JOIN around a ON w.host = a.host
JOIN clients c ON w.client = c.number
JOIN outside s ON w.host = s.number
CROSS JOIN options o
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
