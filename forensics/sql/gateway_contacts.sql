-- Connections with the servers in `named` of the clients in `clients`, terminals and gateways, with their ports and
-- initial sequence numbers: which connection of a gateway is which terminal's. Through a proxy, the ports are those
-- toward the proxy, and there are no such numbers.
SELECT
    c.src AS src, c.src_port AS src_port, c.server AS server, c.dst_port AS dst_port, c.via AS via,
    unix_micros(c.start) AS start, unix_micros(c."end") AS "end", c.bytes_out AS bytes_out, c.bytes_in AS bytes_in,
    c.bytes_kind AS bytes_kind, f.isn_out AS isn_out, f.isn_in AS isn_in,
    c.vantage AS vantage, c.source AS source, c.record AS record
FROM contacts c
JOIN named n ON c.server = n.server
JOIN clients k ON c.src = k.src
LEFT JOIN flows f
    ON c.source = f.source AND c.record = f.record AND c.src = f.src AND c.src_port = f.src_port
   AND c.via IS NULL AND f.isn_out IS NOT NULL
ORDER BY server NULLS LAST, start NULLS LAST, source NULLS LAST, record NULLS LAST, src NULLS LAST, src_port NULLS LAST
