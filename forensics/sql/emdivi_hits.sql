-- The requests whose URL is one of `matched`, with what was hidden in it.
SELECT
    r.src AS src,
    coalesce(r.dst, a.address, r.name) AS server,
    r.name AS name,
    r.start AS start,
    coalesce(r."end", r.start) AS "end",
    r.source AS source,
    r.record AS record,
    m.plain AS plain
FROM requests r
JOIN matched m ON r.url = m.url
CROSS JOIN options o
LEFT JOIN address_of a ON r.name = a.name
WHERE o.agent IS NULL OR instr(r.user_agent, o.agent) > 0
ORDER BY start NULLS LAST, source NULLS LAST, record NULLS LAST
