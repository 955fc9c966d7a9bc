-- When each of some pairs met, until when, and what was sent; `pairs` numbers them. Contacts at one microsecond are one.
SELECT
    p.pair AS pair,
    c.start AS start,
    max(c."end") AS until,
    max(c.bytes_out) AS bytes_out
FROM contacts c
JOIN pairs p ON c.src = p.src AND c.server = p.server AND c.vantage = p.vantage
GROUP BY p.pair, c.start
ORDER BY pair NULLS LAST, start NULLS LAST
