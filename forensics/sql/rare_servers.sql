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
        c.src, c.server, c.name, q.day, min(c.start) AS start, max(c."end") AS "end", count(*) AS contacts
    FROM contacts c
    JOIN terminals t ON c.src = t.src
    JOIN outside o ON c.server = o.server
    JOIN quarters q ON CAST(floor(unix_micros(c.start) / 900000000) AS BIGINT) = q.quarter
    GROUP BY c.src, c.server, c.name, q.day
),
met AS (
    SELECT
        c.src AS src,
        coalesce(c.name, k.name, c.server) AS asked,
        c.day AS day,
        min(c.server) AS server,
        min(c.start) AS start,
        max(c."end") AS "end",
        sum(CAST(c.contacts AS DOUBLE)) AS contacts
    FROM seen c
    LEFT JOIN known k ON c.server = k.address
    GROUP BY c.src, coalesce(c.name, k.name, c.server), c.day
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
often AS (
    SELECT s.asked, s.first_day
    FROM rare s
    CROSS JOIN options o
    WHERE s.days >= o.least_days
),
-- The days of each terminal, one bit each, fifty to a number: days of many terminals together are one bit_or of few rows.
active AS (
    SELECT src, span, bit_or(CAST(floor(pow(2, day - 50 * span)) AS BIGINT)) AS days
    FROM (SELECT DISTINCT src, day, CAST(floor(day / 50) AS BIGINT) AS span FROM met) d
    GROUP BY src, span
),
together AS (
    SELECT r.asked, a.span, bit_or(a.days) AS days, max(r.first_day) - 50 * a.span AS earlier
    FROM often r
    JOIN (SELECT DISTINCT m.asked, m.src FROM met m JOIN often q ON m.asked = q.asked) m ON m.asked = r.asked
    JOIN active a ON a.src = m.src
    GROUP BY r.asked, a.span
),
chances AS (
    SELECT
        asked,
        sum(CAST(bit_count(days) AS DOUBLE)) AS possible,
        sum(CAST(bit_count(
            days & CAST(floor(pow(2, CASE WHEN earlier < 0 THEN 0 WHEN earlier > 50 THEN 50 ELSE earlier END)) - 1 AS BIGINT)
        ) AS DOUBLE)) AS before
    FROM together
    GROUP BY asked
)
SELECT
    s.asked, s.server, s.terminals, s.src, s.days, s.start, s."end", s.contacts, c.possible, c.before
FROM rare s
LEFT JOIN chances c ON s.asked = c.asked
ORDER BY s.asked NULLS LAST
