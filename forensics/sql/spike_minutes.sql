-- Bytes sent in each minute of findings: `keys` has their numbers, terminals, servers (null where a finding concerns no
-- single server), starts and ends; `inside` the servers of the office. One conversation seen from several places counts
-- once.
WITH toward AS (
    SELECT k.finding AS finding, t.minute AS minute, t.server AS server, t.vantage AS vantage, t.bytes_kind AS bytes_kind,
           t.bytes_out AS bytes_out
    FROM keys k
    JOIN traffic t ON k.src = t.src AND k.server = t.server AND t.minute >= k.start AND t.minute < k."end"
    UNION ALL
    SELECT k.finding, t.minute, t.server, t.vantage, t.bytes_kind, t.bytes_out
    FROM keys k
    JOIN traffic t ON k.src = t.src AND t.minute >= k.start AND t.minute < k."end"
    LEFT JOIN inside i ON t.server = i.server
    WHERE k.server IS NULL AND i.server IS NULL AND t.server <> t.src
),
seen AS (
    SELECT finding, minute, server, vantage, bytes_kind, try_sum(bytes_out) AS bytes_out
    FROM toward
    GROUP BY finding, minute, server, vantage, bytes_kind
),
merged AS (
    SELECT finding, minute, server, max(bytes_out) AS bytes_out
    FROM seen
    GROUP BY finding, minute, server
)
SELECT finding, minute, CAST(try_sum(bytes_out) AS DOUBLE) AS amount
FROM merged
WHERE bytes_out > 0
GROUP BY finding, minute
ORDER BY finding NULLS LAST, minute NULLS LAST
