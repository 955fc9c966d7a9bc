-- Pairs of terminal and outside server, each at the vantage that saw most of its contacts; of equal ones, the first.
-- `terminals` and `servers` say who is who and number them, and up to the last step numbers stand for addresses; `limits`
-- has the fewest contacts. `grain` is the unit of the times of that vantage: 0 (finer than a second), 1 or 60. [s] `total`
-- counts all pairs, however few contacts they have.
WITH seen AS (
    SELECT
        t.number AS client,
        s.number AS host,
        c.vantage AS vantage,
        count(*) AS contacts,
        min(c.start) AS first_seen,
        max(c.start) AS last_seen,
        max(c.name) AS name,
        max(CASE WHEN unix_micros(c.start) % 1000000 <> 0 THEN 2 WHEN unix_micros(c.start) % 60000000 <> 0 THEN 1 ELSE 0 END)
            AS fine
    FROM contacts c
    JOIN terminals t ON c.src = t.src
    JOIN servers s ON c.server = s.server
    GROUP BY 1, 2, 3
),
units AS (
    SELECT vantage, max(fine) AS fine FROM seen GROUP BY vantage
),
pairs AS (
    SELECT client, host, max(name) AS name, max(contacts) AS contacts
    FROM seen
    GROUP BY client, host
),
best AS (
    SELECT p.client, p.host, p.name, min(s.vantage) AS vantage
    FROM pairs p
    CROSS JOIN limits l
    JOIN seen s ON p.client = s.client AND p.host = s.host AND p.contacts = s.contacts
    WHERE p.contacts >= l.least
    GROUP BY p.client, p.host, p.name
)
SELECT
    t.src AS src,
    o.server AS server,
    b.vantage AS vantage,
    s.contacts AS contacts,
    s.first_seen AS first_seen,
    s.last_seen AS last_seen,
    b.name AS name,
    CASE WHEN u.fine = 2 THEN 0 WHEN u.fine = 1 THEN 1 ELSE 60 END AS grain,
    a.total AS total
FROM best b
JOIN seen s ON b.client = s.client AND b.host = s.host AND b.vantage = s.vantage
JOIN units u ON b.vantage = u.vantage
JOIN terminals t ON b.client = t.number
JOIN servers o ON b.host = o.number
CROSS JOIN (SELECT count(*) AS total FROM pairs) a
ORDER BY src NULLS LAST, server NULLS LAST
