-- The contacts of terminals with servers that are known by a name, or by an address where they have none.
WITH known AS (
    SELECT address, min(name) AS name
    FROM names
    WHERE address IS NOT NULL
    GROUP BY address
)
SELECT f.finding, c.source, c.record
FROM contacts c
JOIN terminals t ON c.src = t.src
LEFT JOIN known k ON c.server = k.address
JOIN found f ON coalesce(c.name, k.name, c.server) = f.asked
