-- What was done with the hosts of `matched`, the programs of `programs` and the pages of `pages`: for each indicator,
-- client and server the span and the number of records, with the first thousand of them of each file.
WITH hits AS (
    SELECT m.number AS number, c.src AS src, c.server AS dst, c.name AS name, c.start AS start, c."end" AS "end",
           c.source AS source, c.record AS record
    FROM contacts c
    JOIN matched m ON c.server = m.host
    UNION
    SELECT m.number, c.src, c.server, c.name, c.start, c."end", c.source, c.record
    FROM contacts c
    JOIN matched m ON c.name = m.host
    UNION
    SELECT m.number, c.src, c.server, c.name, c.start, c."end", c.source, c.record
    FROM contacts c
    JOIN matched m ON c.src = m.host
    UNION
    SELECT m.number, n.client, coalesce(n.address, n.name), n.name, n.time, n.time, n.source, n.record
    FROM names n
    JOIN matched m ON n.name = m.host
    UNION
    SELECT m.number, n.client, n.address, n.name, n.time, n.time, n.source, n.record
    FROM names n
    JOIN matched m ON n.address = m.host
    UNION
    SELECT p.number, f.address, f.peer, CAST(NULL AS STRING), f.time, f.time, f.source, f.record
    FROM fingerprints f
    JOIN programs p ON f.kind = p.kind AND f.fingerprint = p.fingerprint
    UNION
    SELECT p.number, r.src, coalesce(r.dst, r.name), r.name, r.start, coalesce(r."end", r.start), r.source, r.record
    FROM requests r
    JOIN pages p ON r.name = p.host
    WHERE r.url = p.url OR r.url = p.target
),
numbered AS (
    SELECT
        number, src, dst, name, start, "end", source, record,
        row_number() OVER (PARTITION BY number, src, dst, source ORDER BY record NULLS LAST) AS place
    FROM hits
)
SELECT
    number,
    src,
    dst,
    source,
    max(name) AS name,
    min(start) AS start,
    max("end") AS "end",
    count(*) AS hits,
    sort_array(collect_list(CASE WHEN place <= 1000 THEN record END)) AS records
FROM numbered
GROUP BY number, src, dst, source
ORDER BY number NULLS LAST, src NULLS FIRST, dst NULLS FIRST, source NULLS LAST
