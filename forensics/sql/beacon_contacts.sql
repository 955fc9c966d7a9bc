-- When each of some pairs met, until when, and what was sent; `pairs` numbers them and has the unit of their times.
SELECT p.pair AS pair, p.grain AS grain, c.start AS start, c."end" AS until, c.bytes_out AS bytes_out
FROM contacts c
JOIN pairs p ON c.src = p.src AND c.server = p.server AND c.vantage = p.vantage
