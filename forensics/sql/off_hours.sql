-- Quarters of an hour outside of office hours in which a terminal had contacts that are no habit of it: with servers that
-- it met in fewer periods before than a habit has, and that fewer terminals than `crowd` met for no habit's sake in the
-- same period. A period is the time between two office hours.
WITH met AS (
    SELECT
        c.src, c.server, q.period, q.quarter,
        max(c.name) AS name, min(c.start) AS start, max(c."end") AS "end", count(*) AS contacts
    FROM contacts c
    JOIN terminals t ON c.src = t.src
    JOIN outside o ON c.server = o.server
    JOIN quarters q ON CAST(floor(unix_micros(c.start) / 900000000) AS BIGINT) = q.quarter
    WHERE q.period IS NOT NULL
    GROUP BY c.src, c.server, q.period, q.quarter
),
nights AS (
    SELECT
        src, server, period,
        row_number() OVER (PARTITION BY src, server ORDER BY period NULLS LAST) AS time
    FROM (SELECT DISTINCT src, server, period FROM met) m
),
fresh AS (
    SELECT n.src, n.server, n.period
    FROM nights n
    CROSS JOIN options p
    WHERE n.time <= p.habit
),
crowds AS (
    SELECT server, period, count(*) AS terminals
    FROM fresh
    GROUP BY server, period
),
unusual AS (
    SELECT m.*
    FROM met m
    JOIN fresh f ON m.src = f.src AND m.server = f.server AND m.period = f.period
    JOIN crowds w ON m.server = w.server AND m.period = w.period
    CROSS JOIN options p
    WHERE w.terminals < p.crowd
),
most AS (
    SELECT
        src, period, server, name, quarters,
        row_number() OVER (
            PARTITION BY src, period ORDER BY quarters DESC NULLS LAST, contacts DESC NULLS LAST, server NULLS LAST
        ) AS place
    FROM (
        SELECT src, period, server, max(name) AS name, count(*) AS quarters, sum(CAST(contacts AS DOUBLE)) AS contacts
        FROM unusual
        GROUP BY src, period, server
    ) s
),
summed AS (
    SELECT
        src, period, count(DISTINCT quarter) AS quarters, count(DISTINCT server) AS servers,
        min(start) AS start, max("end") AS "end", sum(CAST(contacts AS DOUBLE)) AS contacts
    FROM unusual
    GROUP BY src, period
)
SELECT s.src, s.period, s.quarters, s.servers, s.start, s."end", s.contacts, m.server, m.name, m.quarters AS with_server
FROM summed s
JOIN most m ON s.src = m.src AND s.period = m.period
WHERE m.place = 1
ORDER BY s.src NULLS LAST, s.period NULLS LAST
