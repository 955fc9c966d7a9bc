-- Every server outside by what it was called, with the terminals that met it so, and when. `terminals` holds the office's
-- own clients. A contact that names no server stands under the empty name.
SELECT
    c.server AS server,
    coalesce(c.name, '') AS name,
    count(DISTINCT c.src) AS terminals,
    min(c.src) AS least_src,
    max(c.src) AS greatest_src,
    count(*) AS contacts
FROM contacts c
JOIN terminals t ON c.src = t.src
WHERE c.server <> c.src
GROUP BY c.server, coalesce(c.name, '')
ORDER BY server NULLS FIRST, name NULLS FIRST
