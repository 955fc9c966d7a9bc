-- Servers that were asked by HTTP in captures: how many clients did, and by how many connections.
WITH captures AS (
    SELECT DISTINCT source FROM flows WHERE frame_bytes_out IS NOT NULL
)
SELECT
    coalesce(r.dst, a.address, r.name) AS server,
    count(DISTINCT r.src) AS clients,
    count(DISTINCT r.source || ' ' || CAST(f.record AS STRING)) AS connections
FROM requests r
JOIN captures c ON r.source = c.source
JOIN flows f ON f.source = r.source AND f.src = r.src AND f.src_port = r.src_port
    AND f.dst = coalesce(r.via, r.dst) AND r.start >= f.start AND r.start <= f."end"
LEFT JOIN address_of a ON r.name = a.name
WHERE f.frame_bytes_out IS NOT NULL AND coalesce(r.dst, a.address, r.name) IS NOT NULL
GROUP BY 1
ORDER BY clients NULLS LAST, connections NULLS LAST, server NULLS LAST
