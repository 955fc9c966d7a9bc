-- What clients of the office and servers outside sent each other in each window, as the detectors of volumes compare
-- it. `options` has the size of a window [us]; `members` and `outside` number the addresses (`own` where it is a
-- terminal's, else a gateway's; `mixed` where it was seen in several places). One conversation seen from several
-- places counts once: bytes_out as the place that saw most of it; sent and received, which are of a terminal's rows
-- that show both directions, as the place that saw most of both. What the terminals' own rows show already is not
-- shown again as the gateway's. x = 1024 ln(1 + bytes_out) is a whole number, so that its sums are the same in any
-- order.
WITH placed AS (
    SELECT
        m.number AS client, u.number AS host, m.own AS own,
        CAST(floor(unix_micros(t.minute) / nullif(o.size, 0)) AS BIGINT) * o.size AS start,
        t.vantage AS vantage, t.bytes_kind AS bytes_kind, try_sum(t.bytes_out) AS bytes_out,
        sum(CAST(CASE WHEN t.bytes_in IS NOT NULL THEN t.bytes_out END AS DOUBLE)) AS sent,
        sum(CAST(CASE WHEN t.bytes_out IS NOT NULL THEN t.bytes_in END AS DOUBLE)) AS received
    FROM traffic t
    CROSS JOIN options o
    JOIN members m ON t.src = m.address
    JOIN outside u ON t.server = u.server
    WHERE m.mixed OR NOT m.own
    GROUP BY 1, 2, 3, 4, 5, 6
),
merged AS (
    SELECT
        client, host, own, start, max(bytes_out) AS bytes_out,
        max(CASE WHEN own AND place = 1 THEN sent END) AS sent,
        max(CASE WHEN own AND place = 1 THEN received END) AS received
    FROM (
        SELECT
            p.*,
            row_number() OVER (
                PARTITION BY client, host, own, start
                ORDER BY sent + received DESC NULLS LAST, vantage NULLS LAST, bytes_kind NULLS LAST
            ) AS place
        FROM placed p
    ) r
    GROUP BY client, host, own, start
),
shown AS (
    SELECT DISTINCT
        u.number AS host, CAST(floor(unix_micros(t.minute) / nullif(o.size, 0)) AS BIGINT) * o.size AS start
    FROM traffic t
    CROSS JOIN options o
    JOIN members m ON t.src = m.address
    JOIN outside u ON t.server = u.server
    JOIN (SELECT DISTINCT host FROM merged WHERE NOT own) g ON u.number = g.host
    WHERE m.own AND t.bytes_out IS NOT NULL
)
SELECT
    client, host, true AS own, start, bytes_out, CAST(floor(1024 * ln(1 + bytes_out)) AS BIGINT) AS x, sent, received
FROM (
    SELECT
        m.number AS client, u.number AS host,
        CAST(floor(unix_micros(t.minute) / nullif(o.size, 0)) AS BIGINT) * o.size AS start,
        try_sum(t.bytes_out) AS bytes_out,
        sum(CAST(CASE WHEN t.bytes_in IS NOT NULL THEN t.bytes_out END AS DOUBLE)) AS sent,
        sum(CAST(CASE WHEN t.bytes_out IS NOT NULL THEN t.bytes_in END AS DOUBLE)) AS received
    FROM traffic t
    CROSS JOIN options o
    JOIN members m ON t.src = m.address
    JOIN outside u ON t.server = u.server
    WHERE m.own AND NOT m.mixed
    GROUP BY 1, 2, 3
) w
UNION ALL
SELECT
    w.client, w.host, w.own, w.start, w.bytes_out, CAST(floor(1024 * ln(1 + w.bytes_out)) AS BIGINT) AS x, w.sent,
    w.received
FROM merged w
LEFT JOIN shown s ON w.host = s.host AND w.start = s.start AND NOT w.own
WHERE s.host IS NULL
