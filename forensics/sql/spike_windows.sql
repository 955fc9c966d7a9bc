-- What volume_spikes needs of a case, from `volume_windows` and `volume_pairs`: bytes sent by terminal, server and
-- window. Only pairs and terminals that pass the floor on some day come back window by window, since no others can be
-- findings; of the rest there are the sums that baselines stand on. `options` has one row: size of a window [us],
-- period that baselines go by [us], least (half a day's floor, so that a day of any zone that passes the floor is
-- found in one of its two days of UTC), least_total (the same of terminals), settled. `members` and `outside` say
-- which addresses the numbers are; up to the last step numbers stand for addresses. `part` tells what a row is:
--   pair      a window of a candidate: src, server, start, name, amount
--   server    windows of the others toward a candidate's server, by period: n, sum and square of x
--   first     first windows of all pairs, by period and by a quarter of x: n, amount is the quarter's number
--   usual     spread of x within a pair, the median over pairs with six windows or more
--   terminal  a window of a terminal, all servers together; office: those of the others, by period
--   active    most terminals that were active in one window: n
--   counts    windows: n judged, amount learnt from, square not observed; total: windows of terminals that are judged
-- Times are microseconds since 1970 up to the last step: numbers are cut to hours faster than times are.
WITH firsts AS (
    SELECT start, first - start AS x
    FROM (
        SELECT p.first AS first, CAST(floor(p.first / nullif(o.size, 0)) AS BIGINT) * o.size AS start
        FROM volume_pairs p
        CROSS JOIN options o
        WHERE p.n > 0
    ) f
),
-- Which sums are asked for is told by the pair's row, so that an engine sums behind the join: few pairs have as many.
spreads AS (
    SELECT
        sqrt(
            (CAST(try_sum(x * x) AS DOUBLE) - CAST(try_sum(x) AS DOUBLE) * CAST(try_sum(x) AS DOUBLE) / nullif(count(*), 0))
            / nullif(count(*) - 1, 0)
        ) AS spread
    FROM (
        SELECT w.client, w.host, CASE WHEN p.n >= 6 THEN w.x END AS x
        FROM volume_windows w
        JOIN volume_pairs p ON w.client = p.client AND w.host = p.host
        WHERE w.bytes_out IS NOT NULL AND p.n >= 6
    ) s
    GROUP BY client, host
),
-- A pair that did not pass the floor in all days together did on none: the days of the others alone are summed.
candidates AS (
    SELECT DISTINCT d.client, d.host, m.address AS src, u.server AS server
    FROM (
        SELECT w.client, w.host, try_sum(w.bytes_out) AS total
        FROM volume_windows w
        JOIN (
            SELECT p.client, p.host
            FROM volume_pairs p
            CROSS JOIN options o
            WHERE p.n > 0 AND (p.total IS NULL OR p.total >= o.least)
        ) l ON w.client = l.client AND w.host = l.host
        WHERE w.bytes_out IS NOT NULL
        GROUP BY w.client, w.host, floor(w.start / 86400000000)
    ) d
    CROSS JOIN options o
    JOIN members m ON d.client = m.number
    JOIN outside u ON d.host = u.number
    WHERE d.total >= o.least
),
named AS (
    SELECT
        c.src, c.server, CAST(floor(unix_micros(t.minute) / nullif(o.size, 0)) AS BIGINT) * o.size AS start,
        max(t.name) AS name
    FROM traffic t
    CROSS JOIN options o
    JOIN candidates c ON t.src = c.src AND t.server = c.server
    WHERE t.name IS NOT NULL
    GROUP BY 1, 2, 3
),
totals AS (
    SELECT
        client, start, try_sum(bytes_out) AS total, CAST(floor(1024 * ln(1 + try_sum(bytes_out))) AS BIGINT) AS x
    FROM volume_windows
    WHERE own AND bytes_out IS NOT NULL
    GROUP BY client, start
),
senders AS (
    SELECT DISTINCT d.client, m.address AS src
    FROM (
        SELECT client, try_sum(total) AS total
        FROM totals
        GROUP BY client, floor(start / 86400000000)
    ) d
    CROSS JOIN options o
    JOIN members m ON d.client = m.number
    WHERE d.total >= o.least_total
)
SELECT
    'pair' AS part, c.src AS src, c.server AS server, timestamp_micros(w.start) AS start, n.name AS name,
    CAST(w.bytes_out AS DOUBLE) AS amount, CAST(floor(1) AS BIGINT) AS n, w.x AS total, w.x * w.x AS square
FROM volume_windows w
JOIN candidates c ON w.client = c.client AND w.host = c.host
LEFT JOIN named n ON c.src = n.src AND c.server = n.server AND w.start = n.start
WHERE w.bytes_out IS NOT NULL
UNION ALL
SELECT
    'server', NULL, w.server,
    timestamp_micros(CAST(floor(w.start / nullif(o.period, 0)) AS BIGINT) * o.period), NULL,
    NULL, count(*), try_sum(w.x), try_sum(w.x * w.x)
FROM (
    SELECT v.client, v.host, h.server, v.start, v.x
    FROM volume_windows v
    JOIN (SELECT DISTINCT host, server FROM candidates) h ON v.host = h.host
    WHERE v.bytes_out IS NOT NULL
) w
CROSS JOIN options o
LEFT JOIN candidates c ON w.client = c.client AND w.host = c.host
WHERE c.client IS NULL
GROUP BY w.server, CAST(floor(w.start / nullif(o.period, 0)) AS BIGINT) * o.period
UNION ALL
SELECT
    'first', NULL, NULL, timestamp_micros(CAST(floor(w.start / nullif(o.period, 0)) AS BIGINT) * o.period), NULL,
    CAST(floor(w.x / 256e0) AS DOUBLE), count(*), NULL, NULL
FROM firsts w
CROSS JOIN options o
GROUP BY CAST(floor(w.start / nullif(o.period, 0)) AS BIGINT) * o.period, floor(w.x / 256e0)
UNION ALL
SELECT
    'usual', NULL, NULL, NULL, NULL,
    median(floor(1048576 * spread + 5e-1) / 1048576), count(*), NULL, NULL
FROM spreads
UNION ALL
SELECT
    'terminal', s.src, NULL, timestamp_micros(w.start), NULL,
    CAST(w.total AS DOUBLE), CAST(floor(1) AS BIGINT), w.x, w.x * w.x
FROM totals w
JOIN senders s ON w.client = s.client
UNION ALL
SELECT
    'office', NULL, NULL, timestamp_micros(CAST(floor(w.start / nullif(o.period, 0)) AS BIGINT) * o.period), NULL,
    NULL, count(*), try_sum(w.x), try_sum(w.x * w.x)
FROM totals w
CROSS JOIN options o
LEFT JOIN senders s ON w.client = s.client
WHERE s.client IS NULL
GROUP BY CAST(floor(w.start / nullif(o.period, 0)) AS BIGINT) * o.period
UNION ALL
SELECT
    'active', NULL, NULL, NULL, NULL,
    NULL, max(n), NULL, NULL
FROM (SELECT count(*) AS n FROM totals GROUP BY start) a
UNION ALL
SELECT
    'counts', NULL, NULL, NULL, NULL,
    CAST(count(*) FILTER (WHERE w.bytes_out IS NOT NULL AND w.start < unix_micros(o.settled)) AS DOUBLE),
    count(*) FILTER (WHERE w.bytes_out IS NOT NULL AND w.start >= unix_micros(o.settled)),
    (SELECT count(*) FROM totals t CROSS JOIN options p WHERE t.start >= unix_micros(p.settled)),
    count(*) FILTER (WHERE w.bytes_out IS NULL)
FROM volume_windows w
CROSS JOIN options o
ORDER BY part NULLS FIRST, start NULLS FIRST, src NULLS FIRST, server NULLS FIRST, amount NULLS FIRST
