-- Connections with the time they lasted. What a flow meter cut into pieces is one connection: rows of the same two ends
-- and ports, each of 50 s or more, that follow each other within a minute. Rows that end when they begin are left out:
-- their log has no durations, or they are single packets.
WITH pieces AS (
    SELECT
        f.src, f.src_port, coalesce(f.dst, a.address, f.name) AS server, f.dst_port AS port, f.proto, f.name, f.vantage,
        f.record, f.start, f."end",
        unix_micros(f.start) AS began, unix_micros(f."end") AS ended,
        CASE WHEN f.src_port IS NULL THEN f.record END AS alone
    FROM flows f
    LEFT JOIN address_of a ON f.name = a.name
    WHERE unix_micros(f."end") - unix_micros(f.start) >= 50000000
      AND (f.tunnel IS NULL OR f.tunnel = 'inner')
      AND coalesce(f.dst, a.address, f.name) IS NOT NULL
),
followed AS (
    SELECT
        p.*,
        max(ended) OVER (
            PARTITION BY src, src_port, server, port, proto, vantage, alone
            ORDER BY began NULLS LAST, ended NULLS LAST, record NULLS LAST
            ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING
        ) AS before
    FROM pieces p
),
numbered AS (
    SELECT
        p.*,
        count(CASE WHEN before IS NULL OR began > before + 60000000 THEN 1 END) OVER (
            PARTITION BY src, src_port, server, port, proto, vantage, alone
            ORDER BY began NULLS LAST, ended NULLS LAST, record NULLS LAST
            ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW
        ) AS number
    FROM followed p
)
SELECT
    src, src_port, server, port, proto, vantage, max(name) AS name, min(start) AS start, max("end") AS "end",
    max(ended) - min(began) AS lasted, count(*) AS pieces
FROM numbered
GROUP BY src, src_port, server, port, proto, vantage, alone, number
UNION ALL
-- The others are by far the most, and are read where they lie; those with an address are not looked up by their names.
SELECT
    f.src, f.src_port, f.dst AS server, f.dst_port AS port, f.proto, f.vantage, f.name,
    f.start, f."end", unix_micros(f."end") - unix_micros(f.start) AS lasted, 1 AS pieces
FROM flows f
WHERE f.dst IS NOT NULL
  AND f."end" > f.start
  AND unix_micros(f."end") - unix_micros(f.start) < 50000000
  AND (f.tunnel IS NULL OR f.tunnel = 'inner')
UNION ALL
SELECT
    f.src, f.src_port, coalesce(a.address, f.name) AS server, f.dst_port AS port, f.proto, f.vantage, f.name,
    f.start, f."end", unix_micros(f."end") - unix_micros(f.start) AS lasted, 1 AS pieces
FROM flows f
LEFT JOIN address_of a ON f.name = a.name
WHERE f.dst IS NULL
  AND f."end" > f.start
  AND unix_micros(f."end") - unix_micros(f.start) < 50000000
  AND (f.tunnel IS NULL OR f.tunnel = 'inner')
  AND coalesce(a.address, f.name) IS NOT NULL
