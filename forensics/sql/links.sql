-- What each client and each named server did with each other, by evidence file, with the first of its records.
-- `named` holds the servers in question. Connections between servers (as a capture taken at one of them shows them)
-- are links too.
WITH wanted AS (
    SELECT c.*
    FROM contacts c
    JOIN named n ON c.server = n.server
    WHERE c.src <> c.server
),
numbered AS (
    SELECT
        src, server, name, via, start, "end", bytes_out, bytes_in, bytes_kind, vantage, source, record,
        row_number() OVER (PARTITION BY src, server, via, bytes_kind, source ORDER BY record NULLS LAST) AS place
    FROM wanted
)
SELECT
    src,
    server,
    via,
    bytes_kind,
    vantage,
    source,
    max(name) AS name,
    min(start) AS start,
    max("end") AS "end",
    try_sum(bytes_out) AS bytes_out,
    try_sum(bytes_in) AS bytes_in,
    count(*) AS connections,
    sort_array(collect_list(CASE WHEN place <= 200 THEN record END)) AS records
FROM numbered
GROUP BY src, server, via, bytes_kind, vantage, source
ORDER BY src NULLS LAST, server NULLS LAST, source NULLS LAST, via NULLS FIRST, bytes_kind NULLS LAST
