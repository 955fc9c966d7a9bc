-- Pairs of terminal and server, each at the vantage that saw most of its contacts, from `meetings`; of equal ones, the
-- first. `terminals` and `servers` say whose the numbers are; `asked` has the numbers of the servers that are meant,
-- and `limits` the fewest contacts. `grain` is the unit of the times of that vantage: 0 (finer than a second), 1 or
-- 60. [s] `total` counts all pairs, however few contacts they have.
WITH seen AS (
    SELECT
        m.client, m.host, m.vantage, try_sum(m.contacts) AS contacts, min(m.first_seen) AS first_seen,
        max(m.last_seen) AS last_seen, max(m.name) AS name, max(m.fine) AS fine
    FROM meetings m
    JOIN asked a ON m.host = a.number
    GROUP BY m.client, m.host, m.vantage
),
units AS (
    SELECT vantage, CASE WHEN max(fine) = 2 THEN 0 WHEN max(fine) = 1 THEN 1 ELSE 60 END AS grain
    FROM seen
    GROUP BY vantage
),
-- Most terminals were seen in one place alone: only of others must one be chosen.
wandering AS (
    SELECT client
    FROM seen
    GROUP BY client
    HAVING min(vantage) <> max(vantage)
),
ranked AS (
    SELECT
        s.vantage, s.client, s.host, s.contacts, s.first_seen, s.last_seen,
        max(s.name) OVER (PARTITION BY s.client, s.host) AS name,
        row_number() OVER (
            PARTITION BY s.client, s.host ORDER BY s.contacts DESC NULLS LAST, s.vantage NULLS LAST
        ) AS place
    FROM seen s
    JOIN wandering w ON s.client = w.client
),
best AS (
    SELECT s.vantage, s.client, s.host, s.contacts, s.first_seen, s.last_seen, s.name
    FROM seen s
    LEFT JOIN wandering w ON s.client = w.client
    CROSS JOIN limits l
    WHERE w.client IS NULL AND s.contacts >= l.least
    UNION ALL
    SELECT r.vantage, r.client, r.host, r.contacts, r.first_seen, r.last_seen, r.name
    FROM ranked r
    CROSS JOIN limits l
    WHERE r.place = 1 AND r.contacts >= l.least
)
SELECT
    t.src, h.server, b.vantage, b.contacts, b.first_seen, b.last_seen, b.name, u.grain, a.total - r.more AS total
FROM best b
JOIN units u ON b.vantage = u.vantage
JOIN terminals t ON b.client = t.number
JOIN servers h ON b.host = h.number
CROSS JOIN (SELECT count(*) AS total FROM seen) a
CROSS JOIN (SELECT count(*) AS more FROM ranked WHERE place > 1) r
ORDER BY b.client NULLS LAST, b.host NULLS LAST
