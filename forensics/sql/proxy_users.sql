-- For each terminal its contacts through a proxy, and its connections past it with outside servers.
SELECT
    c.src AS src,
    count(c.via) AS through,
    count(CASE WHEN c.via IS NULL AND o.server IS NOT NULL THEN 1 END) AS past
FROM contacts c
JOIN terminals t ON c.src = t.src
LEFT JOIN outside o ON c.server = o.server
GROUP BY c.src
ORDER BY src NULLS LAST
