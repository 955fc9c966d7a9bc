-- How many pairs there are of a terminal and port of a server: `tested` those with servers outside. Ports of the servers
-- that are `asked` for have a row each, by `host`, and each server that is not outside has one; all others are one row.
-- Flows are grouped as they are: who is who is asked of the groups, which are fewer.
SELECT
    CASE WHEN u.server IS NULL THEN p.server END AS server, CASE WHEN u.asked THEN u.number END AS host,
    CASE WHEN u.asked THEN p.port END AS port, CASE WHEN u.asked THEN p.proto END AS proto,
    count(*) AS pairs, count(u.server) AS tested
FROM (
    SELECT src, server, port, proto
    FROM lasting
    GROUP BY src, server, port, proto
) p
JOIN terminals t ON p.src = t.src
LEFT JOIN outside u ON p.server = u.server
GROUP BY 1, 2, 3, 4
ORDER BY server NULLS LAST, host NULLS LAST, port NULLS LAST, proto NULLS LAST
