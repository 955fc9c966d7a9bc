-- What volume_spikes needs of a case, in one pass: bytes sent by terminal, server and window. Only pairs and terminals
-- that pass the floor on some day come back window by window, since no others can be findings; of the rest there are
-- the sums that baselines stand on. `options` has one row: by_minute, least (half a day's floor, so that a day of any
-- zone that passes the floor is found in one of its two days of UTC), least_total (the same of terminals), settled.
-- `members` has the addresses of the office (`own` where it is a terminal, else a gateway), `inside` the servers of the
-- office. `part` tells what a row is:
--   pair      a window of a candidate: src, server, start, name, amount
--   server    windows of the others toward a candidate's server, by period: n, sum and square of x = 1024 ln(1 + bytes),
--             a whole number, so that sums are the same in any order
--   first     first windows of all pairs, by period and by a quarter of x: n, amount is the quarter's number
--   usual     spread of x within a pair, the median over pairs with six windows or more
--   terminal  a window of a terminal, all servers together; office: those of the others, by period
--   active    most terminals that were active in one window: n
--   counts    windows: n judged, amount learnt from, square not observed; total: windows of terminals that are judged
-- Times are microseconds since 1970 up to the last step: numbers are cut to hours faster than times are.
WITH seen AS (
    SELECT
        t.src AS src,
        t.server AS server,
        m.own AS own,
        CAST(floor(unix_micros(t.minute) / nullif(CASE WHEN o.by_minute THEN 60000000 ELSE 3600000000 END, 0)) AS BIGINT)
            * CASE WHEN o.by_minute THEN 60000000 ELSE 3600000000 END AS start,
        t.vantage AS vantage,
        t.bytes_kind AS bytes_kind,
        max(t.name) AS name,
        try_sum(t.bytes_out) AS bytes_out
    FROM traffic t
    CROSS JOIN options o
    JOIN members m ON t.src = m.address
    LEFT JOIN inside i ON t.server = i.server
    WHERE t.server <> t.src AND i.server IS NULL
    GROUP BY 1, 2, 3, 4, 5, 6
),
-- One conversation seen from several places counts once: as the vantage that saw most of it.
merged AS (
    SELECT src, server, own, start, max(name) AS name, max(bytes_out) AS bytes_out
    FROM seen
    GROUP BY src, server, own, start
),
shown AS (
    SELECT DISTINCT server, start
    FROM merged
    WHERE own AND bytes_out IS NOT NULL
),
-- What the terminals' own rows show already is not shown again as the gateway's.
windows AS (
    SELECT
        w.src AS src,
        w.server AS server,
        w.own AS own,
        w.start AS start,
        CAST(floor(w.start / 86400000000) AS BIGINT) * 86400000000 AS day,
        CASE WHEN o.by_minute THEN w.start ELSE CAST(floor(w.start / 86400000000) AS BIGINT) * 86400000000 END AS period,
        w.start >= unix_micros(o.settled) AS judged,
        w.name AS name,
        w.bytes_out AS bytes_out,
        CAST(floor(1024 * ln(1 + w.bytes_out)) AS BIGINT) AS x
    FROM merged w
    CROSS JOIN options o
    LEFT JOIN shown s ON w.server = s.server AND w.start = s.start AND NOT w.own
    WHERE s.server IS NULL
),
sized AS (
    SELECT * FROM windows WHERE bytes_out IS NOT NULL
),
pairs AS (
    SELECT
        src,
        server,
        count(*) AS n,
        try_sum(bytes_out) AS total,
        min_by(x, start) AS x,
        min(period) AS period,
        sqrt(
            (CAST(try_sum(x * x) AS DOUBLE) - CAST(try_sum(x) AS DOUBLE) * CAST(try_sum(x) AS DOUBLE) / nullif(count(*), 0))
            / nullif(count(*) - 1, 0)
        ) AS spread
    FROM sized
    GROUP BY src, server
),
-- A pair that did not pass the floor in all days together did on none: the days of the others alone are summed.
candidates AS (
    SELECT DISTINCT d.src AS src, d.server AS server
    FROM (
        SELECT w.src, w.server, try_sum(w.bytes_out) AS total
        FROM sized w
        JOIN (
            SELECT p.src, p.server FROM pairs p CROSS JOIN options o WHERE p.total IS NULL OR p.total >= o.least
        ) l ON w.src = l.src AND w.server = l.server
        GROUP BY w.src, w.server, w.day
    ) d
    CROSS JOIN options o
    WHERE d.total >= o.least
),
totals AS (
    SELECT
        src, start, day, period, judged, try_sum(bytes_out) AS total,
        CAST(floor(1024 * ln(1 + try_sum(bytes_out))) AS BIGINT) AS x
    FROM sized
    WHERE own
    GROUP BY src, start, day, period, judged
),
senders AS (
    SELECT DISTINCT d.src AS src
    FROM (
        SELECT src, try_sum(total) AS total
        FROM totals
        GROUP BY src, day
    ) d
    CROSS JOIN options o
    WHERE d.total >= o.least_total
)
SELECT
    'pair' AS part, w.src AS src, w.server AS server, timestamp_micros(w.start) AS start, w.name AS name,
    CAST(w.bytes_out AS DOUBLE) AS amount, CAST(floor(1) AS BIGINT) AS n, w.x AS total, w.x * w.x AS square
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
    'terminal', w.src, NULL, timestamp_micros(w.start), NULL,
    CAST(w.total AS DOUBLE), CAST(floor(1) AS BIGINT), w.x, w.x * w.x
FROM totals w
JOIN senders s ON w.src = s.src
UNION ALL
SELECT
    'office', NULL, NULL, timestamp_micros(w.period), NULL,
    NULL, count(*), try_sum(w.x), try_sum(w.x * w.x)
FROM totals w
LEFT JOIN senders s ON w.src = s.src
WHERE s.src IS NULL
GROUP BY w.period
UNION ALL
SELECT
    'active', NULL, NULL, NULL, NULL,
    NULL, max(n), NULL, NULL
FROM (SELECT count(*) AS n FROM totals GROUP BY start) a
UNION ALL
SELECT
    'counts', NULL, NULL, NULL, NULL,
    CAST(count(*) FILTER (WHERE bytes_out IS NOT NULL AND NOT judged) AS DOUBLE),
    count(*) FILTER (WHERE bytes_out IS NOT NULL AND judged),
    (SELECT count(*) FROM totals WHERE judged), count(*) FILTER (WHERE bytes_out IS NULL)
FROM windows
ORDER BY part NULLS FIRST, start NULLS FIRST, src NULLS FIRST, server NULLS FIRST, amount NULLS FIRST
