-- Flows that end later than they begin, with the server they were with and the time they lasted. The others are left out:
-- their log has no durations, or they are single packets. Those with an address are not looked up by their names.
SELECT
    f.src, f.src_port, f.dst AS server, f.dst_port AS port, f.proto, f.vantage, f.name,
    f.start, f."end", unix_micros(f."end") - unix_micros(f.start) AS lasted, f.record
FROM flows f
WHERE f.dst IS NOT NULL
  AND f."end" > f.start
  AND (f.tunnel IS NULL OR f.tunnel = 'inner')
UNION ALL
SELECT
    f.src, f.src_port, coalesce(a.address, f.name) AS server, f.dst_port AS port, f.proto, f.vantage, f.name,
    f.start, f."end", unix_micros(f."end") - unix_micros(f.start) AS lasted, f.record
FROM flows f
LEFT JOIN address_of a ON f.name = a.name
WHERE f.dst IS NULL
  AND f."end" > f.start
  AND (f.tunnel IS NULL OR f.tunnel = 'inner')
  AND coalesce(a.address, f.name) IS NOT NULL
