-- TCP connections that two evidence files both saw, with the difference of their clocks. A five-tuple that a file holds
-- twice is left out: which of the two is meant would be a guess.
WITH once AS (
    SELECT src, src_port, dst, dst_port, source, min(start) AS start
    FROM flows
    WHERE proto = 'tcp' AND src_port IS NOT NULL AND dst_port IS NOT NULL AND dst IS NOT NULL
    GROUP BY src, src_port, dst, dst_port, source
    HAVING count(*) = 1
)
SELECT
    a.source AS one,
    b.source AS other,
    unix_micros(b.start) - unix_micros(a.start) AS difference
FROM once a
JOIN once b ON a.src = b.src AND a.src_port = b.src_port AND a.dst = b.dst AND a.dst_port = b.dst_port
WHERE a.source < b.source
ORDER BY one NULLS LAST, other NULLS LAST, difference NULLS LAST
