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
        max(CASE WHEN date_trunc('second', c.start) < c.start THEN 2 WHEN date_trunc('minute', c.start) < c.start THEN 1
            ELSE 0 END) AS fine
    FROM contacts c
    JOIN terminals t ON c.src = t.src
    LEFT JOIN inside i ON c.server = i.server
    WHERE c.server <> c.src AND i.server IS NULL
    GROUP BY c.src, c.server, c.vantage
),
ranked AS (
    SELECT
        src, server, vantage, contacts, first_seen, last_seen,
        max(name) OVER (PARTITION BY src, server) AS name,
        max(fine) OVER (PARTITION BY vantage) AS fine,
        row_number() OVER (PARTITION BY src, server ORDER BY contacts DESC NULLS LAST, vantage NULLS LAST) AS place
    FROM seen
),
best AS (
    SELECT * FROM ranked WHERE place = 1
)
SELECT
    r.src AS src,
    r.server AS server,
    r.vantage AS vantage,
    r.contacts AS contacts,
    r.first_seen AS first_seen,
    r.last_seen AS last_seen,
    r.name AS name,
    CASE WHEN r.fine = 2 THEN 0 WHEN r.fine = 1 THEN 1 ELSE 60 END AS grain,
    a.total AS total
FROM best r
CROSS JOIN limits l
CROSS JOIN (SELECT count(*) AS total FROM best) a
WHERE r.contacts >= l.least
ORDER BY src NULLS LAST, server NULLS LAST
