-- Pairs of terminal and outside server, each at the vantage that saw most of its contacts; of equal ones, the first.
-- `terminals` and `inside` say who is who; `limits` has the fewest contacts. `grain` is the
-- unit of the times of that vantage: 0 (finer than a second), 1 or 60. [s] `total` counts all pairs, however few contacts
-- they have.
WITH seen AS (
    SELECT
        c.src AS src,
        c.server AS server,
        c.vantage AS vantage,
        count(*) AS contacts,
        min(c.start) AS first_seen,
        max(c.start) AS last_seen,
        max(c.name) AS name,
        max(CASE WHEN unix_micros(c.start) % 1000000 <> 0 THEN 2 WHEN unix_micros(c.start) % 60000000 <> 0 THEN 1 ELSE 0 END)
            AS fine
    FROM contacts c
    JOIN terminals t ON c.src = t.src
    LEFT JOIN inside i ON c.server = i.server
    WHERE c.server <> c.src AND i.server IS NULL
    GROUP BY c.src, c.server, c.vantage
),
units AS (
    SELECT vantage, max(fine) AS fine FROM seen GROUP BY vantage
),
pairs AS (
    SELECT src, server, max(name) AS name, max(contacts) AS contacts
    FROM seen
    GROUP BY src, server
),
best AS (
    SELECT p.src, p.server, p.name, min(s.vantage) AS vantage
    FROM pairs p
    CROSS JOIN limits l
    JOIN seen s ON p.src = s.src AND p.server = s.server AND p.contacts = s.contacts
    WHERE p.contacts >= l.least
    GROUP BY p.src, p.server, p.name
)
SELECT
    b.src AS src,
    b.server AS server,
    b.vantage AS vantage,
    s.contacts AS contacts,
    s.first_seen AS first_seen,
    s.last_seen AS last_seen,
    b.name AS name,
    CASE WHEN u.fine = 2 THEN 0 WHEN u.fine = 1 THEN 1 ELSE 60 END AS grain,
    a.total AS total
FROM best b
JOIN seen s ON b.src = s.src AND b.server = s.server AND b.vantage = s.vantage
JOIN units u ON b.vantage = u.vantage
CROSS JOIN (SELECT count(*) AS total FROM pairs) a
ORDER BY src NULLS LAST, server NULLS LAST
