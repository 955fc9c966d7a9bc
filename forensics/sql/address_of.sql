-- The one address that a name is known by: what a resolver or a proxy said, else where clients used the name. (A client
-- may use a name at another address, as a relay does that passes on what was meant for itself.) Names of several
-- addresses are left out.
WITH counted AS (
    SELECT
        name,
        min(CASE WHEN how IN ('dns', 'proxy') THEN address END) AS told,
        max(CASE WHEN how IN ('dns', 'proxy') THEN address END) AS last_told,
        min(address) AS used,
        max(address) AS last_used
    FROM names
    WHERE address IS NOT NULL
    GROUP BY name
)
-- Where the least and the greatest are one, there is one.
SELECT name, coalesce(told, used) AS address
FROM counted
WHERE told = last_told OR (told IS NULL AND used = last_used)
