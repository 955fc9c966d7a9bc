-- What volume_spikes compares pairs by of which no record says what was sent: requests, seconds that they lasted, or
-- bytes of the replies, as `options.measure` says. Tables and parts are those of spike_windows.sql.
WITH seen AS (
    SELECT
        c.src AS src,
        c.server AS server,
        m.own AS own,
        CAST(floor(unix_micros(c.start) / nullif(o.size, 0)) AS BIGINT) * o.size AS start,
        c.vantage AS vantage,
        max(c.name) AS name,
        max(c.bytes_out) AS known,
        CASE
            WHEN max(o.measure) = 'requests' THEN CAST(count(*) AS DOUBLE)
            WHEN max(o.measure) = 'seconds' THEN CAST(try_sum(unix_micros(c."end") - unix_micros(c.start)) AS DOUBLE) / 1e6
            ELSE CAST(try_sum(c.bytes_in) AS DOUBLE)
        END AS amount
    FROM contacts c
    CROSS JOIN options o
    JOIN members m ON c.src = m.address
    LEFT JOIN inside i ON c.server = i.server
    WHERE c.server <> c.src AND i.server IS NULL
    GROUP BY 1, 2, 3, 4, 5
),
merged AS (
    SELECT src, server, own, start, max(name) AS name, max(known) AS known, max(amount) AS amount
    FROM seen
    GROUP BY src, server, own, start
),
silent AS (
    SELECT src, server
    FROM merged
    GROUP BY src, server
    HAVING max(known) IS NULL
),
shown AS (
    SELECT DISTINCT server, start
    FROM merged
    WHERE own
),
sized AS (
    SELECT
        w.src AS src,
        w.server AS server,
        w.start AS start,
        CAST(floor(w.start / 86400000000) AS BIGINT) * 86400000000 AS day,
        CAST(floor(w.start / nullif(o.period, 0)) AS BIGINT) * o.period AS period,
        w.start >= unix_micros(o.settled) AS judged,
        w.name AS name,
        w.amount AS amount,
        CAST(floor(1024 * ln(1 + w.amount)) AS BIGINT) AS x
    FROM merged w
    CROSS JOIN options o
    JOIN silent q ON w.src = q.src AND w.server = q.server
    LEFT JOIN shown s ON w.server = s.server AND w.start = s.start AND NOT w.own
    WHERE s.server IS NULL AND w.amount IS NOT NULL
),
pairs AS (
    SELECT
        src,
        server,
        count(*) AS n,
        min_by(x, start) AS x,
        min(period) AS period,
        sqrt(
            (CAST(try_sum(x * x) AS DOUBLE) - CAST(try_sum(x) AS DOUBLE) * CAST(try_sum(x) AS DOUBLE) / nullif(count(*), 0))
            / nullif(count(*) - 1, 0)
        ) AS spread
    FROM sized
    GROUP BY src, server
),
candidates AS (
    SELECT DISTINCT d.src AS src, d.server AS server
    FROM (
        SELECT src, server, CAST(try_sum(CAST(floor(amount) AS BIGINT)) AS DOUBLE) AS total
        FROM sized
        GROUP BY src, server, day
    ) d
    CROSS JOIN options o
    WHERE d.total >= o.least
)
SELECT
    'pair' AS part, w.src AS src, w.server AS server, timestamp_micros(w.start) AS start, w.name AS name,
    w.amount AS amount, CAST(floor(1) AS BIGINT) AS n, w.x AS total, w.x * w.x AS square
FROM sized w
JOIN candidates c ON w.src = c.src AND w.server = c.server
UNION ALL
SELECT
    'server', NULL, w.server, timestamp_micros(w.period), NULL,
    NULL, count(*), try_sum(w.x), try_sum(w.x * w.x)
FROM sized w
JOIN (SELECT DISTINCT server FROM candidates) s ON w.server = s.server
LEFT JOIN candidates c ON w.src = c.src AND w.server = c.server
WHERE c.src IS NULL
GROUP BY w.server, w.period
UNION ALL
SELECT
    'first', NULL, NULL, timestamp_micros(period), NULL,
    CAST(floor(x / 256e0) AS DOUBLE), count(*), NULL, NULL
FROM pairs
GROUP BY period, floor(x / 256e0)
UNION ALL
SELECT
    'usual', NULL, NULL, NULL, NULL,
    median(floor(1048576 * spread + 5e-1) / 1048576), count(*), NULL, NULL
FROM pairs
WHERE n >= 6
UNION ALL
SELECT
    'active', NULL, NULL, NULL, NULL,
    NULL, max(n), NULL, NULL
FROM (SELECT count(DISTINCT src) AS n FROM sized GROUP BY start) a
UNION ALL
SELECT
    'counts', NULL, NULL, NULL, NULL,
    CAST(count(*) FILTER (WHERE NOT judged) AS DOUBLE), count(*) FILTER (WHERE judged), CAST(floor(0) AS BIGINT), CAST(floor(0) AS BIGINT)
FROM sized
ORDER BY part NULLS FIRST, start NULLS FIRST, src NULLS FIRST, server NULLS FIRST, amount NULLS FIRST
