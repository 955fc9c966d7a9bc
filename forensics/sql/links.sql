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
        row_number() OVER (PARTITION BY src, server, via, bytes_kind, source ORDER BY record) AS place
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
    TRY_CAST(sum(bytes_out) AS BIGINT) AS bytes_out,
    TRY_CAST(sum(bytes_in) AS BIGINT) AS bytes_in,
    count(*) AS connections,
    string_agg(CASE WHEN place <= 200 THEN CAST(record AS VARCHAR) END, ',') AS records
FROM numbered
GROUP BY src, server, via, bytes_kind, vantage, source
ORDER BY src, server, source, via NULLS FIRST, bytes_kind
