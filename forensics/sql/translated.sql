-- Of each address in `outside`: how many of its connections have one of an address in `inside` with the same ports and
-- server, and how many connections of either side there are with servers that both met. Address translation that keeps
-- the ports shows so, whatever the clocks.
WITH far AS (
    SELECT DISTINCT f.src, f.proto, f.src_port, f.dst, f.dst_port
    FROM flows f
    JOIN outside o ON f.src = o.src
    WHERE f.src_port IS NOT NULL AND f.dst_port IS NOT NULL AND f.dst IS NOT NULL AND f.proto IN ('tcp', 'udp')
),
near AS (
    SELECT DISTINCT f.src, f.proto, f.src_port, f.dst, f.dst_port
    FROM flows f
    JOIN inside i ON f.src = i.src
    WHERE f.src_port IS NOT NULL AND f.dst_port IS NOT NULL AND f.dst IS NOT NULL AND f.proto IN ('tcp', 'udp')
),
mine AS (
    SELECT far.src AS src, count(*) AS connections
    FROM far
    WHERE far.dst IN (SELECT dst FROM near)
    GROUP BY far.src
),
theirs AS (
    SELECT m.src AS src, count(*) AS connections
    FROM (SELECT DISTINCT src, dst FROM far) m
    JOIN near ON m.dst = near.dst
    GROUP BY m.src
),
alike AS (
    SELECT far.src AS src, count(*) AS connections
    FROM far
    JOIN near ON far.proto = near.proto AND far.src_port = near.src_port AND far.dst = near.dst
             AND far.dst_port = near.dst_port
    GROUP BY far.src
)
SELECT alike.src AS src, alike.connections AS alike, mine.connections AS mine, theirs.connections AS theirs
FROM alike
JOIN mine ON alike.src = mine.src
JOIN theirs ON alike.src = theirs.src
ORDER BY src NULLS LAST
