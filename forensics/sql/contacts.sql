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
)
-- Most flows have an address and an end, and are read where they lie. An end that is no more than a column is compared
-- with those of whole pieces of a file, so that what lies outside of a time that is asked for is not read at all.
SELECT
    f.start AS start, f."end" AS "end", f.src AS src, f.src_port AS src_port, f.dst_port AS dst_port, f.dst AS server,
    f.name AS name, f.via AS via, f.bytes_out AS bytes_out, f.bytes_in AS bytes_in, f.bytes_kind AS bytes_kind,
    f.vantage AS vantage, f.source AS source, f.record AS record
FROM flows f
WHERE f.dst IS NOT NULL
  AND f."end" IS NOT NULL
  AND (f.tunnel IS NULL OR f.tunnel = 'inner')
  AND f.dst NOT IN (SELECT via FROM proxies)
UNION ALL
SELECT
    f.start, f.start AS "end", f.src, f.src_port, f.dst_port,
    f.dst AS server, f.name, f.via, f.bytes_out, f.bytes_in,
    f.bytes_kind, f.vantage, f.source, f.record
FROM flows f
WHERE f.dst IS NOT NULL
  AND f."end" IS NULL
  AND (f.tunnel IS NULL OR f.tunnel = 'inner')
  AND f.dst NOT IN (SELECT via FROM proxies)
UNION ALL
SELECT
    f.start, coalesce(f."end", f.start) AS "end", f.src, f.src_port, f.dst_port,
    coalesce(a.address, f.name) AS server, f.name, f.via, f.bytes_out, f.bytes_in,
    f.bytes_kind, f.vantage, f.source, f.record
FROM flows f
LEFT JOIN address_of a ON f.name = a.name
WHERE f.dst IS NULL
  AND (f.tunnel IS NULL OR f.tunnel = 'inner')
  AND coalesce(a.address, f.name) IS NOT NULL
UNION ALL
SELECT
    r.start, coalesce(r."end", r.start) AS "end", r.src, r.src_port, r.dst_port,
    coalesce(r.dst, a.address, r.name) AS server, r.name, r.via, r.request_bytes AS bytes_out,
    r.response_bytes AS bytes_in, 'application' AS bytes_kind, s.vantage, r.source, r.record
FROM requests r
JOIN sources s ON r.source = s.source
LEFT JOIN address_of a ON r.name = a.name
WHERE r.via IS NOT NULL
  AND r.source NOT IN (SELECT source FROM proxy_logs)
  AND coalesce(r.dst, a.address, r.name) IS NOT NULL
