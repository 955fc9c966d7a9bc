-- Servers that few terminals met, with the days on which they were met, and the days on which they could have been: those
-- on which any of the terminals that met them did anything. A server is its name, where it has one: many addresses that
-- bear one name are one server.
WITH known AS (
    SELECT address, min(name) AS name
    FROM names
    WHERE address IS NOT NULL
    GROUP BY address
),
seen AS (
    SELECT
        src, server, name, CAST(floor(unix_micros(start) / 900000000) AS BIGINT) AS quarter,
        min(start) AS start, max("end") AS "end", count(*) AS contacts
    FROM contacts
    GROUP BY 1, 2, 3, 4
),
met AS (
    SELECT
        c.src AS src,
        coalesce(c.name, k.name, c.server) AS asked,
        q.day AS day,
        min(c.server) AS server,
        min(c.start) AS start,
        max(c."end") AS "end",
        sum(CAST(c.contacts AS DOUBLE)) AS contacts
    FROM seen c
    JOIN terminals t ON c.src = t.src
    JOIN outside o ON c.server = o.server
    JOIN quarters q ON c.quarter = q.quarter
    LEFT JOIN known k ON c.server = k.address
    GROUP BY c.src, coalesce(c.name, k.name, c.server), q.day
),
servers AS (
    SELECT
        asked,
        min(server) AS server,
        count(DISTINCT src) AS terminals,
        min(src) AS src,
        count(DISTINCT day) AS days,
        min(day) AS first_day,
        min(start) AS start,
        max("end") AS "end",
        sum(CAST(contacts AS DOUBLE)) AS contacts
    FROM met
    GROUP BY asked
),
rare AS (
    SELECT s.*
    FROM servers s
    CROSS JOIN options o
    WHERE s.terminals <= o.most_terminals
),
chances AS (
    SELECT
        r.asked,
        count(DISTINCT a.day) AS possible,
        count(DISTINCT CASE WHEN a.day < r.first_day THEN a.day END) AS before
    FROM rare r
    CROSS JOIN options o
    JOIN (SELECT DISTINCT asked, src FROM met) m ON m.asked = r.asked
    JOIN (SELECT DISTINCT src, day FROM met) a ON a.src = m.src
    WHERE r.days >= o.least_days
    GROUP BY r.asked
)
SELECT
    s.asked, s.server, s.terminals, s.src, s.days, s.start, s."end", s.contacts, c.possible, c.before
FROM rare s
LEFT JOIN chances c ON s.asked = c.asked
ORDER BY s.asked NULLS LAST
