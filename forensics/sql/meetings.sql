-- Which terminals met which servers: at each vantage, by each name that was asked for, in each span of fifty days, how
-- often and on which days of the span, one bit each: days of many together are one bit_or. `fine` says how fine the
-- times are: 2 (finer than a second), 1 (whole seconds), 0 (whole minutes). `terminals` and `servers` say who is who
-- and number them in order of their addresses, `quarters` the day of each quarter of an hour. Contacts are grouped as
-- they are: who is who is asked of the groups, which are fewer.
SELECT
    t.number AS client, s.number AS host, p.vantage, p.name, p.span, p.contacts, p.days, p.first_seen, p.last_seen,
    p.ended, p.fine
FROM (
    SELECT
        c.src, c.server, c.vantage, c.name, q.span, count(*) AS contacts, bit_or(q.day) AS days,
        min(c.start) AS first_seen, max(c.start) AS last_seen, max(c."end") AS ended,
        max(CASE
            WHEN unix_micros(c.start) % 1000000 <> 0 THEN 2 WHEN unix_micros(c.start) % 60000000 <> 0 THEN 1 ELSE 0
        END) AS fine
    FROM contacts c
    JOIN (
        SELECT
            quarter, CAST(floor(day / 50) AS BIGINT) AS span,
            CAST(floor(pow(2, day - 50 * CAST(floor(day / 50) AS BIGINT))) AS BIGINT) AS day
        FROM quarters
    ) q ON CAST(floor(unix_micros(c.start) / 900000000) AS BIGINT) = q.quarter
    GROUP BY c.src, c.server, c.vantage, c.name, q.span
) p
JOIN terminals t ON p.src = t.src
JOIN servers s ON p.server = s.server
