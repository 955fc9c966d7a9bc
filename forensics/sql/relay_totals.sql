-- Bytes each way of the servers in `named`: those of the vantage that saw most of it.
WITH seen AS (
    SELECT t.server AS server, t.vantage, t.bytes_kind, try_sum(t.bytes_out) AS bytes_out, try_sum(t.bytes_in) AS bytes_in
    FROM traffic t
    JOIN named n ON t.server = n.server
    GROUP BY t.server, t.vantage, t.bytes_kind
)
SELECT server, max(bytes_out) AS bytes_out, max(bytes_in) AS bytes_in
FROM seen
GROUP BY server
ORDER BY server NULLS FIRST
