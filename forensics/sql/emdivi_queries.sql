-- The URLs that have a query with a value, each once. `options` has one row; its `agent` is null where any will do.
SELECT DISTINCT r.url AS url
FROM requests r
CROSS JOIN options o
WHERE r.url LIKE '%?%=%' AND (o.agent IS NULL OR instr(r.user_agent, o.agent) > 0)
