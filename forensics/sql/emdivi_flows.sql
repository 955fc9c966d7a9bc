-- Requests of the servers of `chosen` in captures, of each at most `most`, with the connections that carried them.
WITH asked AS (
    SELECT
        r.src AS src,
        coalesce(r.dst, a.address, r.name) AS server,
        r.name AS name,
        r.start AS asked_at,
        coalesce(r."end", r.start) AS answered,
        r.source AS source,
        r.record AS request,
        f.start AS start,
        f."end" AS "end",
        f.src_port AS src_port,
        f.dst AS dst,
        f.dst_port AS dst_port,
        f.proto AS proto,
        f.tunnel AS tunnel,
        f.record AS record,
        f.payload_bytes_out AS sent,
        f.payload_bytes_in AS received
    FROM requests r
    JOIN flows f ON f.source = r.source AND f.src = r.src AND f.src_port = r.src_port
        AND f.dst = coalesce(r.via, r.dst) AND r.start >= f.start AND r.start <= f."end"
    LEFT JOIN address_of a ON r.name = a.name
    WHERE f.frame_bytes_out IS NOT NULL
),
numbered AS (
    SELECT
        q.*, c.most AS most,
        row_number() OVER (
            PARTITION BY q.server
            ORDER BY asked_at NULLS LAST, source NULLS LAST, request NULLS LAST, record NULLS LAST
        ) AS place
    FROM asked q
    JOIN chosen c ON q.server = c.server
)
SELECT
    src, server, name, asked_at, answered, source, request, start, "end", src_port, dst, dst_port, proto, tunnel, record, sent,
    received
FROM numbered
WHERE place <= most
ORDER BY source NULLS LAST, start NULLS LAST, record NULLS LAST, request NULLS LAST
