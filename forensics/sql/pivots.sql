-- TCP connections of terminals with other hosts of the office (`hosts`) that began while the terminal was in contact with
-- one of `listed`, or within a minute afterwards, by corrected clocks: `offsets` has that of each source [us]. `ports` are
-- those over which hosts are administered.
WITH control AS (
    SELECT
        c.src AS src, c.server AS server,
        unix_micros(c.start) - k.ahead AS began, unix_micros(c."end") - k.ahead AS ended
    FROM contacts c
    JOIN listed l ON c.server = l.server
    JOIN offsets k ON c.source = k.source
),
administered AS (
    SELECT DISTINCT f.src AS src, f.dst AS dst, f.dst_port AS port, unix_micros(f.start) - k.ahead AS began
    FROM flows f
    JOIN hosts h ON f.dst = h.host
    JOIN ports p ON f.dst_port = p.port
    JOIN offsets k ON f.source = k.source
    WHERE f.proto = 'tcp' AND f.src <> f.dst
),
popular AS (
    SELECT dst, count(DISTINCT src) AS clients
    FROM administered
    GROUP BY dst
)
SELECT
    c.server AS server, a.src AS src, a.dst AS dst, a.port AS port, min(o.clients) AS clients, min(a.began) AS began
FROM administered a
JOIN control c ON a.src = c.src
JOIN popular o ON a.dst = o.dst
WHERE a.began >= c.began AND a.began <= c.ended + 60000000
GROUP BY c.server, a.src, a.dst, a.port
ORDER BY server NULLS LAST, src NULLS LAST, dst NULLS LAST, port NULLS LAST
