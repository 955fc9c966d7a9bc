-- What terminals and outside servers sent each other in each window, of the pairs that have a window in which the terminal
-- sent much, and more than it received. Only rows that show both directions count; what several places saw counts as
-- the one that saw most. One more row, without src, counts the windows that can be tested and those that cannot, and has the
-- usual deviation of a pair's windows from their median; the others have that of their server. Levels are whole numbers of
-- 1/1048576: the last digits of a logarithm depend on who computes it.
WITH seen AS (
    SELECT
        t.src, t.server, t.vantage, t.bytes_kind,
        CAST(floor(unix_micros(t.minute) / nullif(CASE WHEN p.hourly THEN 3600000000 ELSE 60000000 END, 0)) AS BIGINT) AS place,
        max(t.name) AS name,
        sum(CAST(t.bytes_out AS DOUBLE)) AS sent,
        sum(CAST(t.bytes_in AS DOUBLE)) AS received
    FROM traffic t
    JOIN terminals c ON t.src = c.src
    JOIN outside o ON t.server = o.server
    CROSS JOIN options p
    WHERE t.bytes_out IS NOT NULL AND t.bytes_in IS NOT NULL
    GROUP BY 1, 2, 3, 4, 5
),
-- Most windows were seen in one place alone: only the others need an order.
counted AS (
    SELECT
        src, server, place, count(*) AS places, max(name) AS name, max(sent) AS sent, max(received) AS received
    FROM seen
    GROUP BY src, server, place
),
ranked AS (
    SELECT
        s.*,
        row_number() OVER (
            PARTITION BY s.src, s.server, s.place
            ORDER BY s.sent + s.received DESC NULLS LAST, s.vantage NULLS LAST, s.bytes_kind NULLS LAST
        ) AS rank
    FROM seen s
    JOIN counted c ON s.src = c.src AND s.server = c.server AND s.place = c.place
    WHERE c.places > 1
),
chosen AS (
    SELECT src, server, place, name, sent, received FROM counted WHERE places = 1
    UNION ALL
    SELECT src, server, place, name, sent, received FROM ranked WHERE rank = 1
),
windows AS (
    SELECT
        src, server, place, name, sent, received,
        floor(1048576 * (ln(1 + sent) - ln(1 + received)) + 5e-1) / 1048576 AS level
    FROM chosen
    WHERE sent + received > 0
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
    w.src, w.server,
    timestamp_micros(w.place * CASE WHEN o.hourly THEN 3600000000 ELSE 60000000 END) AS start, w.name, w.sent, w.received, w.level, a.spread, CAST(NULL AS BIGINT) AS tested,
    CAST(NULL AS BIGINT) AS untested
FROM windows w
JOIN pairs p ON w.src = p.src AND w.server = p.server
JOIN around a ON w.server = a.server
CROSS JOIN options o
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
