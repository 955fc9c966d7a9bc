-- The ends of names that were looked up, each once: of two labels, or of one label more than the longest of `suffixes`.
WITH asked AS (
    SELECT DISTINCT name
    FROM names
    WHERE how = 'dns' AND client IS NOT NULL AND name NOT LIKE '%.arpa'
),
cut AS (
    SELECT
        regexp_extract(name, '([^.]+[.][^.]+)$', 1) AS two,
        regexp_extract(name, '([^.]+[.][^.]+[.][^.]+)$', 1) AS three,
        regexp_extract(name, '([^.]+[.][^.]+[.][^.]+[.][^.]+)$', 1) AS four,
        regexp_extract(name, '([^.]+[.][^.]+[.][^.]+[.][^.]+[.][^.]+)$', 1) AS five
    FROM asked
)
SELECT DISTINCT
    CASE
        WHEN t.suffix IS NULL THEN c.two
        WHEN h.suffix IS NULL THEN c.three
        WHEN f.suffix IS NULL THEN c.four
        ELSE c.five
    END AS domain
FROM cut c
LEFT JOIN suffixes t ON c.two = t.suffix
LEFT JOIN suffixes h ON c.three = h.suffix
LEFT JOIN suffixes f ON c.four = f.suffix
ORDER BY domain NULLS LAST
