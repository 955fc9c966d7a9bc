-- Servers that few terminals met, with the days on which they were met, and the days on which they could have been: those
-- on which any of the terminals that met them did anything. A server is its name, where it has one: many addresses that
-- bear one name are one server.
WITH days AS (
    -- The days of a server or terminal are one bit each, fifty to a number: those of many together are one bit_or.
    SELECT
        quarter, CAST(floor(day / 50) AS BIGINT) AS span,
        CAST(floor(pow(2, day - 50 * CAST(floor(day / 50) AS BIGINT))) AS BIGINT) AS day
    FROM quarters
),
known AS (
    SELECT address, min(name) AS name
    FROM names
    WHERE address IS NOT NULL
    GROUP BY address
),
seen AS (
    SELECT
        t.number AS client, o.number AS host, c.name, q.span, min(c.start) AS start, max(c."end") AS "end",
        count(*) AS contacts, bit_or(q.day) AS days
    FROM contacts c
    JOIN terminals t ON c.src = t.src
    JOIN outside o ON c.server = o.server
    JOIN days q ON CAST(floor(unix_micros(c.start) / 900000000) AS BIGINT) = q.quarter
    GROUP BY 1, 2, 3, 4
),
met AS (
    SELECT s.client, s.host, coalesce(s.name, h.asked) AS asked, s.span, s.days, s.start, s."end", s.contacts
    FROM seen s
    JOIN (
        SELECT o.number AS host, coalesce(k.name, o.server) AS asked
        FROM outside o
        LEFT JOIN known k ON o.server = k.address
    ) h ON s.host = h.host
),
pairs AS (
    SELECT
        asked, client, min(host) AS host, min(start) AS start, max("end") AS "end",
        sum(CAST(contacts AS DOUBLE)) AS contacts
    FROM met
    GROUP BY asked, client
),
-- Numbers go up as addresses do: the least number is that of the least address.
rare AS (
    SELECT s.*
    FROM (
        SELECT
            asked, min(host) AS host, count(*) AS terminals, min(client) AS client, min(start) AS start,
            max("end") AS "end", sum(CAST(contacts AS DOUBLE)) AS contacts
        FROM pairs
        GROUP BY asked
    ) s
    CROSS JOIN options o
    WHERE s.terminals <= o.most_terminals
),
-- The least bit of a number less one has as many bits as there are below it.
dated AS (
    SELECT
        asked, sum(CAST(bit_count(days) AS DOUBLE)) AS days, min(50 * span + bit_count((days & -days) - 1)) AS first_day
    FROM (
        SELECT m.asked, m.span, bit_or(m.days) AS days
        FROM met m
        JOIN rare r ON m.asked = r.asked
        GROUP BY m.asked, m.span
    ) d
    GROUP BY asked
),
often AS (
    SELECT d.asked, d.first_day
    FROM dated d
    CROSS JOIN options o
    WHERE d.days >= o.least_days
),
active AS (
    SELECT client, span, bit_or(days) AS days
    FROM met
    GROUP BY client, span
),
together AS (
    SELECT r.asked, a.span, bit_or(a.days) AS days, max(r.first_day) - 50 * a.span AS earlier
    FROM often r
    JOIN pairs p ON p.asked = r.asked
    JOIN active a ON a.client = p.client
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
    s.asked, u.server, s.terminals, t.src, CAST(floor(d.days) AS BIGINT) AS days, s.start, s."end", s.contacts, c.possible, c.before
FROM rare s
JOIN dated d ON s.asked = d.asked
JOIN outside u ON s.host = u.number
JOIN terminals t ON s.client = t.number
LEFT JOIN chances c ON s.asked = c.asked
ORDER BY s.asked NULLS LAST
