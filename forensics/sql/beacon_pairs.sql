-- Pairs of terminal and outside server, each at the vantage that saw most of its contacts; of equal ones, the first.
-- `terminals` and `servers` say who is who and number them in order of their addresses; `limits` has the fewest contacts.
-- `grain` is the unit of the times of that vantage: 0 (finer than a second), 1 or 60. [s] `total` counts all pairs,
-- however few contacts they have. Contacts are grouped as they are: who is who is asked of the groups, which are fewer.
WITH seen AS (
    SELECT t.number AS client, s.number AS host, p.*
    FROM (
        SELECT
            src, server, vantage, count(*) AS contacts, min(start) AS first_seen, max(start) AS last_seen,
            max(name) AS name, max(CASE
                WHEN unix_micros(start) % 1000000 <> 0 THEN 2 WHEN unix_micros(start) % 60000000 <> 0 THEN 1 ELSE 0
            END) AS fine
        FROM contacts
        GROUP BY src, server, vantage
    ) p
    JOIN terminals t ON p.src = t.src
    JOIN servers s ON p.server = s.server
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
        s.src, s.server, s.vantage, s.client, s.host, s.contacts, s.first_seen, s.last_seen,
        max(s.name) OVER (PARTITION BY s.client, s.host) AS name,
        row_number() OVER (
            PARTITION BY s.client, s.host ORDER BY s.contacts DESC NULLS LAST, s.vantage NULLS LAST
        ) AS place
    FROM seen s
    JOIN wandering w ON s.client = w.client
),
best AS (
    SELECT s.src, s.server, s.vantage, s.client, s.host, s.contacts, s.first_seen, s.last_seen, s.name
    FROM seen s
    LEFT JOIN wandering w ON s.client = w.client
    CROSS JOIN limits l
    WHERE w.client IS NULL AND s.contacts >= l.least
    UNION ALL
    SELECT r.src, r.server, r.vantage, r.client, r.host, r.contacts, r.first_seen, r.last_seen, r.name
    FROM ranked r
    CROSS JOIN limits l
    WHERE r.place = 1 AND r.contacts >= l.least
)
SELECT
    b.src, b.server, b.vantage, b.contacts, b.first_seen, b.last_seen, b.name, u.grain, a.total - r.more AS total
FROM best b
JOIN units u ON b.vantage = u.vantage
CROSS JOIN (SELECT count(*) AS total FROM seen) a
CROSS JOIN (SELECT count(*) AS more FROM ranked WHERE place > 1) r
ORDER BY b.client NULLS LAST, b.host NULLS LAST
