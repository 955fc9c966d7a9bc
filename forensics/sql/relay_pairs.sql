-- What each terminal and each candidate did with each other. `sites` says which candidate a server is under a name. One
-- conversation seen from several places counts as the vantage that saw most of it. Contacts within two seconds of each
-- other are one visit; gaps of more than three hours are nights and pauses. A gap is regular when it lies within a third of
-- one, two or three times the median gap. Sizes are compared in steps of 1/1024 of ln: whole numbers have the same sum in any
-- order.
WITH met AS (
    SELECT
        s.site AS site, c.src AS src, c.vantage AS vantage, c.start AS start, c."end" AS "end",
        unix_micros(c.start) AS time, c.bytes_out AS bytes_out, c.bytes_in AS bytes_in
    FROM contacts c
    JOIN terminals t ON c.src = t.src
    JOIN sites s ON c.server = s.server AND coalesce(c.name, '') = s.name
),
spaced AS (
    SELECT
        met.*,
        CAST(floor(1024 * ln(1 + bytes_in) + 5e-1) AS BIGINT) AS size_in,
        time - lag(time) OVER (PARTITION BY site, src, vantage ORDER BY time NULLS FIRST) AS gap
    FROM met
),
counted AS (
    SELECT
        site, src, vantage,
        count(*) AS contacts,
        min(start) AS first_seen,
        max("end") AS last_seen,
        count(DISTINCT date_trunc('day', start)) AS days,
        try_sum(bytes_out) AS bytes_out,
        try_sum(bytes_in) AS bytes_in,
        max(bytes_out) AS most_out,
        count(size_in) AS sizes,
        CAST(try_sum(size_in) AS DOUBLE) AS sum_in,
        CAST(try_sum(size_in * size_in) AS DOUBLE) AS square_in,
        count(CASE WHEN gap IS NULL OR gap > 2000000 THEN 1 END) AS visits,
        count(CASE WHEN gap > 2000000 AND gap <= 10800000000 THEN 1 END) AS gaps,
        median(CASE WHEN gap > 2000000 AND gap <= 10800000000 THEN CAST(gap AS DOUBLE) END) AS period
    FROM spaced
    GROUP BY site, src, vantage
),
best AS (
    SELECT
        counted.*,
        row_number() OVER (PARTITION BY site, src ORDER BY contacts DESC NULLS LAST, vantage NULLS FIRST) AS place
    FROM counted
),
regular AS (
    SELECT
        g.site AS site, g.src AS src,
        count(CASE WHEN abs(g.gap - least(greatest(round(g.gap / nullif(b.period, 0)), 1), 3) * b.period) <= b.period / 3
                   THEN 1 END) AS regular
    FROM spaced g
    JOIN best b ON b.site = g.site AND b.src = g.src AND b.vantage = g.vantage AND b.place = 1
    WHERE g.gap > 2000000 AND g.gap <= 10800000000
    GROUP BY g.site, g.src
)
SELECT
    b.site AS site, b.src AS src, b.contacts AS contacts, b.first_seen AS first_seen, b.last_seen AS last_seen,
    b.days AS days, b.bytes_out AS bytes_out, b.bytes_in AS bytes_in, b.most_out AS most_out,
    CASE
        WHEN b.sizes > 1
        THEN sqrt(greatest(b.square_in - b.sum_in * b.sum_in / nullif(b.sizes, 0), 0) / nullif(b.sizes - 1, 0)) / 1024
    END AS spread_in,
    b.visits AS visits, b.gaps AS gaps, b.period / 1000000 AS period, coalesce(r.regular, 0) AS regular
FROM best b
LEFT JOIN regular r ON b.site = r.site AND b.src = r.src
WHERE b.place = 1
ORDER BY site NULLS FIRST, src NULLS FIRST
