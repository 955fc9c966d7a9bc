-- Clients and registered domains with many subdomains that were looked up. A registered domain is the shortest end of a
-- name, of two labels or more, that is not in `suffixes`. `clients` counts those with at least a tenth as many subdomains.
-- One more row, the first, counts all pairs of client and domain: `tested`.
WITH asked AS (
    SELECT
        client, name, min(time) AS first, max(time) AS last, count(address) AS addresses,
        count(CASE WHEN address LIKE '127.%' THEN 1 END) AS listed
    FROM names
    WHERE how = 'dns' AND client IS NOT NULL AND name NOT LIKE '%.arpa'
    GROUP BY client, name
),
-- Many clients look up the same names: each is cut once.
cut AS (
    SELECT
        name,
        regexp_extract(name, '([^.]+[.][^.]+)$', 1) AS two,
        regexp_extract(name, '([^.]+[.][^.]+[.][^.]+)$', 1) AS three,
        regexp_extract(name, '([^.]+[.][^.]+[.][^.]+[.][^.]+)$', 1) AS four,
        regexp_extract(name, '([^.]+[.][^.]+[.][^.]+[.][^.]+[.][^.]+)$', 1) AS five
    FROM (SELECT DISTINCT name FROM asked) n
),
registered AS (
    SELECT
        c.name,
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
),
placed AS (
    SELECT
        name, domain, CASE WHEN name <> domain THEN 1 END AS below,
        length(replace(name, '.', '')) - length(replace(domain, '.', '')) AS letters
    FROM registered
    WHERE domain <> ''
),
pairs AS (
    SELECT
        a.client, p.domain,
        count(p.below) AS subdomains,
        sum(CAST(p.letters AS DOUBLE)) AS letters,
        count(CASE WHEN a.addresses = 0 THEN 1 END) AS without_address,
        count(CASE WHEN a.listed > 0 THEN 1 END) AS listed,
        min(a.first) AS first, max(a.last) AS last
    FROM asked a
    JOIN placed p ON a.name = p.name
    GROUP BY a.client, p.domain
),
crowds AS (
    SELECT p.domain, count(*) AS clients
    FROM pairs p
    CROSS JOIN options o
    WHERE 10 * p.subdomains >= o.least_subdomains
    GROUP BY p.domain
)
SELECT
    count(*) AS tested, CAST(NULL AS STRING) AS client, CAST(NULL AS STRING) AS domain,
    CAST(NULL AS BIGINT) AS subdomains, CAST(NULL AS DOUBLE) AS letters, CAST(NULL AS BIGINT) AS without_address,
    CAST(NULL AS BIGINT) AS listed, CAST(NULL AS TIMESTAMP) AS first, CAST(NULL AS TIMESTAMP) AS last,
    CAST(NULL AS BIGINT) AS clients
FROM pairs
UNION ALL
SELECT
    CAST(NULL AS BIGINT) AS tested, p.client, p.domain, p.subdomains, p.letters, p.without_address, p.listed, p.first,
    p.last, c.clients
FROM pairs p
JOIN crowds c ON p.domain = c.domain
CROSS JOIN options o
WHERE p.subdomains >= o.least_subdomains
ORDER BY tested NULLS LAST, client NULLS LAST, domain NULLS LAST
