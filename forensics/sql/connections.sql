-- Connections with the time they lasted. What a flow meter cut into pieces is one connection: rows of the same two ends
-- and ports, each of 50 s or more, that follow each other within a minute. Rows that end when they begin are left out:
-- their log has no durations, or they are single packets.
WITH pieces AS (
    SELECT
        src, src_port, server, port, proto, name, vantage, record, start, "end",
        unix_micros(start) AS began, unix_micros("end") AS ended,
        CASE WHEN src_port IS NULL THEN record END AS alone
    FROM lasting
    WHERE lasted >= 50000000
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
-- The others are by far the most, and are read where they lie.
SELECT src, src_port, server, port, proto, vantage, name, start, "end", lasted, 1 AS pieces
FROM lasting
WHERE lasted < 50000000
