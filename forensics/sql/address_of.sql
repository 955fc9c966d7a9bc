-- The one address that a name is known by: what a resolver or a proxy said, else where clients used the name. (A client
-- may use a name at another address, as a relay does that passes on what was meant for itself.) Names of several
-- addresses are left out.
WITH counted AS (
    SELECT
        name,
        count(DISTINCT CASE WHEN how IN ('dns', 'proxy') THEN address END) AS told,
        min(CASE WHEN how IN ('dns', 'proxy') THEN address END) AS told_address,
        count(DISTINCT address) AS used,
        min(address) AS used_address
    FROM names
    WHERE address IS NOT NULL
    GROUP BY name
)
SELECT name, coalesce(told_address, used_address) AS address
FROM counted
WHERE told = 1 OR (told = 0 AND used = 1)
