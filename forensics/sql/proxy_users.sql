-- For each terminal that goes through a proxy its contacts through it, and its connections past it with outside servers.
-- Where nobody does, nothing more is read.
WITH users AS (
    SELECT c.src, count(*) AS through
    FROM contacts c
    JOIN terminals t ON c.src = t.src
    WHERE c.via IS NOT NULL
    GROUP BY c.src
),
direct AS (
    SELECT c.src, count(*) AS past
    FROM contacts c
    JOIN users u ON c.src = u.src
    JOIN outside o ON c.server = o.server
    WHERE c.via IS NULL
    GROUP BY c.src
)
SELECT u.src AS src, u.through AS through, coalesce(d.past, 0) AS past
FROM users u
LEFT JOIN direct d ON u.src = d.src
ORDER BY src NULLS LAST
