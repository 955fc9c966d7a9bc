-- Every contact of a client with a server. What went through a proxy is a contact with the server that was asked for:
-- of a recorded connection to a proxy, its requests stand here instead of itself. A proxy's own log needs none of this:
-- its flows are requests already.
WITH proxies AS (
    SELECT via FROM volumes WHERE via IS NOT NULL
    UNION
    SELECT via FROM requests WHERE via IS NOT NULL
),
proxy_logs AS (
    SELECT DISTINCT source FROM flows WHERE via IS NOT NULL
),
contacts AS (
    SELECT src, src_port, dst, dst_port, name, via, start, "end", bytes_out, bytes_in, bytes_kind, isn_out, isn_in,
           vantage, source, record
    FROM flows
    WHERE (tunnel IS NULL OR tunnel = 'inner')
      AND (dst IS NULL OR dst NOT IN (SELECT via FROM proxies))
    UNION ALL
    SELECT r.src, r.src_port, r.dst, r.dst_port, r.name, r.via, r.start, r."end", r.request_bytes AS bytes_out,
           r.response_bytes AS bytes_in, 'application' AS bytes_kind, CAST(NULL AS BIGINT) AS isn_out,
           CAST(NULL AS BIGINT) AS isn_in, s.vantage, r.source, r.record
    FROM requests r
    JOIN sources s ON r.source = s.source
    WHERE r.via IS NOT NULL AND r.source NOT IN (SELECT source FROM proxy_logs)
)
SELECT
    c.start AS start,
    coalesce(c."end", c.start) AS "end",
    c.src AS src,
    c.src_port AS src_port,
    c.dst_port AS dst_port,
    coalesce(c.dst, a.address, c.name) AS server,
    c.name AS name,
    c.via AS via,
    c.bytes_out AS bytes_out,
    c.bytes_in AS bytes_in,
    c.bytes_kind AS bytes_kind,
    c.isn_out AS isn_out,
    c.isn_in AS isn_in,
    c.vantage AS vantage,
    c.source AS source,
    c.record AS record
FROM contacts c
LEFT JOIN address_of a ON c.name = a.name
WHERE coalesce(c.dst, a.address, c.name) IS NOT NULL
