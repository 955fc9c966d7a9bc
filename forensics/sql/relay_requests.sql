-- The requests of each terminal to each candidate, by what was asked and answered. `hosts` says which candidate a host is.
-- A program is strange to a terminal when it is not the one with which the terminal asks most hosts.
WITH programs AS (
    SELECT r.src AS src, r.user_agent AS user_agent, count(DISTINCT r.name) AS hosts
    FROM requests r
    JOIN terminals t ON r.src = t.src
    WHERE r.user_agent IS NOT NULL
    GROUP BY r.src, r.user_agent
),
usual AS (
    SELECT src, user_agent, row_number() OVER (PARTITION BY src ORDER BY hosts DESC NULLS LAST, user_agent NULLS FIRST) AS place
    FROM programs
)
SELECT
    h.site AS site,
    r.src AS src,
    count(*) AS requests,
    count(r.status) AS answered,
    count(CASE WHEN r.status = 404 THEN 1 END) AS missing,
    count(r.method) AS methods,
    count(CASE WHEN r.method = 'POST' THEN 1 END) AS posted,
    count(CASE WHEN r.method = 'CONNECT' THEN 1 END) AS tunnelled,
    count(DISTINCT r.url) AS urls,
    count(r.user_agent) AS agents,
    count(CASE WHEN r.user_agent <> u.user_agent THEN 1 END) AS strange
FROM requests r
JOIN terminals t ON r.src = t.src
JOIN hosts h ON coalesce(r.name, r.dst) = h.host
LEFT JOIN usual u ON r.src = u.src AND u.place = 1
GROUP BY h.site, r.src
ORDER BY site NULLS FIRST, src NULLS FIRST
