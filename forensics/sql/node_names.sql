-- The names that each of some addresses bore, by how they are known, with the first and the last time.
SELECT
    s.address AS address,
    s.name AS name,
    s.how AS how,
    min(s.time) AS first,
    max(s.time) AS last,
    count(*) AS times
FROM names s
JOIN named n ON s.address = n.server
GROUP BY s.address, s.name, s.how
ORDER BY address NULLS LAST, first NULLS LAST, name NULLS LAST, how NULLS LAST
