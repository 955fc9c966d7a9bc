-- The terminals that use a proxy, with their contacts through it, and their connections past it with outside servers.
WITH users AS (
    SELECT c.src AS src, count(*) AS through
    FROM contacts c
    JOIN terminals t ON c.src = t.src
    WHERE c.via IS NOT NULL
    GROUP BY c.src
)
SELECT u.src AS src, u.through AS through, coalesce(d.past, 0) AS past
FROM users u
LEFT JOIN (
    SELECT c.src AS src, count(*) AS past
    FROM contacts c
    JOIN users p ON c.src = p.src
    JOIN outside o ON c.server = o.server
    WHERE c.via IS NULL
    GROUP BY c.src
) d ON u.src = d.src
ORDER BY src NULLS LAST
