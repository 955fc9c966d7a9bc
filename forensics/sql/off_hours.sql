-- Quarters of an hour outside of office hours in which a terminal had contacts that are no habit of it: with servers that
-- it met in fewer periods before than a habit has, and that fewer terminals than `crowd` met for no habit's sake in the
-- same period. A period is the time between two office hours. Contacts are grouped as they are: who is who is asked of the
-- groups, which are fewer. Up to the last step numbers stand for addresses.
WITH met AS (
    SELECT t.number AS client, o.number AS host, g.period, g.quarter, g.name, g.start, g."end", g.contacts
    FROM (
        SELECT
            c.src, c.server, q.period, q.quarter, max(c.name) AS name, min(c.start) AS start, max(c."end") AS "end",
            count(*) AS contacts
        FROM contacts c
        JOIN quarters q ON CAST(floor(unix_micros(c.start) / 900000000) AS BIGINT) = q.quarter
        WHERE q.period IS NOT NULL
        GROUP BY c.src, c.server, q.period, q.quarter
    ) g
    JOIN terminals t ON g.src = t.src
    JOIN outside o ON g.server = o.server
),
nights AS (
    SELECT
        client, host, period,
        row_number() OVER (PARTITION BY client, host ORDER BY period NULLS LAST) AS time
    FROM (SELECT DISTINCT client, host, period FROM met) m
),
fresh AS (
    SELECT n.client, n.host, n.period
    FROM nights n
    CROSS JOIN options p
    WHERE n.time <= p.habit
),
crowds AS (
    SELECT host, period, count(*) AS terminals
    FROM fresh
    GROUP BY host, period
),
unusual AS (
    SELECT m.*
    FROM met m
    JOIN fresh f ON m.client = f.client AND m.host = f.host AND m.period = f.period
    JOIN crowds w ON m.host = w.host AND m.period = w.period
    CROSS JOIN options p
    WHERE w.terminals < p.crowd
),
of_server AS (
    SELECT
        client, period, host, max(name) AS name, count(*) AS quarters, sum(CAST(contacts AS DOUBLE)) AS contacts,
        min(start) AS start, max("end") AS "end"
    FROM unusual
    GROUP BY client, period, host
),
most AS (
    SELECT
        client, period, host, name, quarters,
        row_number() OVER (
            PARTITION BY client, period ORDER BY quarters DESC NULLS LAST, contacts DESC NULLS LAST, host NULLS LAST
        ) AS place
    FROM of_server
),
summed AS (
    SELECT
        client, period, count(*) AS servers, min(start) AS start, max("end") AS "end",
        sum(CAST(contacts AS DOUBLE)) AS contacts
    FROM of_server
    GROUP BY client, period
),
busy AS (
    SELECT client, period, count(*) AS quarters
    FROM (SELECT DISTINCT client, period, quarter FROM unusual) u
    GROUP BY client, period
)
SELECT
    t.src, s.period, b.quarters, s.servers, s.start, s."end", s.contacts, o.server, m.name, m.quarters AS with_server
FROM summed s
JOIN busy b ON s.client = b.client AND s.period = b.period
JOIN most m ON s.client = m.client AND s.period = m.period
JOIN terminals t ON s.client = t.number
JOIN outside o ON m.host = o.number
WHERE m.place = 1
ORDER BY t.src NULLS LAST, s.period NULLS LAST
