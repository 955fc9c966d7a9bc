-- Volumes by client and server. A server is its address; where a record names none, the one address that its name is
-- known by; else the name.
SELECT
    v.minute AS minute, v.src AS src, v.dst AS server, v.name AS name, v.via AS via, v.bytes_out AS bytes_out,
    v.bytes_in AS bytes_in, v.bytes_kind AS bytes_kind, v.connections AS connections, v.vantage AS vantage,
    v.source AS source
FROM volumes v
WHERE v.dst IS NOT NULL
UNION ALL
SELECT
    v.minute, v.src, coalesce(a.address, v.name) AS server, v.name, v.via, v.bytes_out,
    v.bytes_in, v.bytes_kind, v.connections, v.vantage,
    v.source
FROM volumes v
LEFT JOIN address_of a ON v.name = a.name
WHERE v.dst IS NULL AND coalesce(a.address, v.name) IS NOT NULL
