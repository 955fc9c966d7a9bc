-- Servers that few terminals met, with the days on which they were met, and the days on which they could have been:
-- those on which any of the terminals that met them did anything. A server is its name, where it has one: many
-- addresses that bear one name are one server.
WITH known AS (
    SELECT address, min(name) AS name
    FROM names
    WHERE address IS NOT NULL
    GROUP BY address
),
-- Numbers of `meetings` are those of `servers`: of the servers outside the others of that table are none.
seen AS (
    SELECT m.client, o.number AS host, m.name, m.span, m.first_seen AS start, m.ended AS "end", m.contacts, m.days
    FROM meetings m
    JOIN servers s ON m.host = s.number
    JOIN outside o ON s.server = o.server
),
hosts AS (
    SELECT o.number AS host, coalesce(k.name, o.server) AS asked
    FROM outside o
    LEFT JOIN known k ON o.server = k.address
),
sites AS (
    SELECT asked, row_number() OVER (ORDER BY asked NULLS LAST) AS site
    FROM (
        SELECT asked FROM hosts
        UNION
        SELECT name AS asked FROM seen WHERE name IS NOT NULL
    ) a
),
met AS (
    SELECT s.client, s.host, coalesce(n.site, h.site) AS site, s.span, s.days, s.start, s."end", s.contacts
    FROM seen s
    JOIN (SELECT h.host, i.site FROM hosts h JOIN sites i ON h.asked = i.asked) h ON s.host = h.host
    LEFT JOIN sites n ON s.name = n.asked
),
pairs AS (
    SELECT DISTINCT site, client FROM met
),
few AS (
    SELECT s.site, s.terminals, s.client
    FROM (SELECT site, count(*) AS terminals, min(client) AS client FROM pairs GROUP BY site) s
    CROSS JOIN options o
    WHERE s.terminals <= o.most_terminals
),
-- The least bit of a number less one has as many bits as there are below it. Numbers go up as addresses do: the least
-- number is that of the least address.
rare AS (
    SELECT
        site, min(terminals) AS terminals, min(client) AS client, min(host) AS host, min(start) AS start, max("end") AS "end",
        sum(CAST(contacts AS DOUBLE)) AS contacts, sum(CAST(bit_count(days) AS DOUBLE)) AS days,
        min(50 * span + bit_count((days & -days) - 1)) AS first_day
    FROM (
        SELECT
            m.site, m.span, bit_or(m.days) AS days, min(f.terminals) AS terminals, min(f.client) AS client,
            min(m.host) AS host, min(m.start) AS start, max(m."end") AS "end", sum(CAST(m.contacts AS DOUBLE)) AS contacts
        FROM met m
        JOIN few f ON m.site = f.site
        GROUP BY m.site, m.span
    ) d
    GROUP BY site
),
often AS (
    SELECT r.site, r.first_day
    FROM rare r
    CROSS JOIN options o
    WHERE r.days >= o.least_days
),
active AS (
    SELECT client, span, bit_or(days) AS days
    FROM met
    GROUP BY client, span
),
together AS (
    SELECT r.site, a.span, bit_or(a.days) AS days, max(r.first_day) - 50 * a.span AS earlier
    FROM often r
    JOIN pairs p ON p.site = r.site
    JOIN active a ON a.client = p.client
    GROUP BY r.site, a.span
),
chances AS (
    SELECT
        site,
        sum(CAST(bit_count(days) AS DOUBLE)) AS possible,
        sum(CAST(bit_count(
            days & CAST(floor(pow(2, CASE WHEN earlier < 0 THEN 0 WHEN earlier > 50 THEN 50 ELSE earlier END)) - 1 AS BIGINT)
        ) AS DOUBLE)) AS before
    FROM together
    GROUP BY site
)
SELECT
    i.asked, u.server, r.terminals, t.src, CAST(floor(r.days) AS BIGINT) AS days, r.start, r."end", r.contacts, c.possible,
    c.before
FROM rare r
JOIN sites i ON r.site = i.site
JOIN outside u ON r.host = u.number
JOIN terminals t ON r.client = t.number
LEFT JOIN chances c ON r.site = c.site
ORDER BY i.asked NULLS LAST
