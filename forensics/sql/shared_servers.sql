-- Servers that few terminals met, and how many of those are infected.
WITH met AS (
    SELECT DISTINCT c.server AS server, c.src AS src
    FROM contacts c
    JOIN terminals t ON c.src = t.src
),
counted AS (
    SELECT
        m.server AS server,
        count(*) AS terminals,
        count(i.src) AS infected
    FROM met m
    LEFT JOIN infected i ON m.src = i.src
    GROUP BY m.server
)
SELECT c.server AS server, c.terminals AS terminals, c.infected AS infected
FROM counted c
CROSS JOIN options o
WHERE c.terminals >= o.least AND c.terminals <= o.most
ORDER BY server NULLS LAST
