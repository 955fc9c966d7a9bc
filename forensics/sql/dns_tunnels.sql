-- Clients and registered domains with many subdomains that were looked up. A registered domain is the shortest end of a
-- name, of two labels or more, that is not in `suffixes`. `clients` counts those with at least a tenth as many subdomains.
-- One more row, the first, counts all pairs of client and domain: `tested`.
WITH asked AS (
    SELECT
        client, name,
        regexp_extract(name, '([^.]+[.][^.]+)$', 1) AS two,
        regexp_extract(name, '([^.]+[.][^.]+[.][^.]+)$', 1) AS three,
        regexp_extract(name, '([^.]+[.][^.]+[.][^.]+[.][^.]+)$', 1) AS four,
        regexp_extract(name, '([^.]+[.][^.]+[.][^.]+[.][^.]+[.][^.]+)$', 1) AS five,
        min(time) AS first, max(time) AS last, count(address) AS addresses,
        count(CASE WHEN address LIKE '127.%' THEN 1 END) AS listed
    FROM names
    WHERE how = 'dns' AND client IS NOT NULL AND name NOT LIKE '%.arpa'
    GROUP BY client, name
),
placed AS (
    SELECT
        a.*,
        CASE
            WHEN t.suffix IS NULL THEN a.two
            WHEN h.suffix IS NULL THEN a.three
            WHEN f.suffix IS NULL THEN a.four
            ELSE a.five
        END AS domain
    FROM asked a
    LEFT JOIN suffixes t ON a.two = t.suffix
    LEFT JOIN suffixes h ON a.three = h.suffix
    LEFT JOIN suffixes f ON a.four = f.suffix
),
pairs AS (
    SELECT
        client, domain,
        count(CASE WHEN name <> domain THEN 1 END) AS subdomains,
        sum(CAST(length(replace(name, '.', '')) - length(replace(domain, '.', '')) AS DOUBLE)) AS letters,
        count(CASE WHEN addresses = 0 THEN 1 END) AS without_address,
        count(CASE WHEN listed > 0 THEN 1 END) AS listed,
        min(first) AS first, max(last) AS last
    FROM placed
    WHERE domain <> ''
    GROUP BY client, domain
),
counted AS (
    SELECT
        p.*,
        count(CASE WHEN 10 * p.subdomains >= o.least_subdomains THEN 1 END) OVER (PARTITION BY p.domain) AS clients
    FROM pairs p
    CROSS JOIN options o
)
SELECT
    count(*) AS tested, CAST(NULL AS STRING) AS client, CAST(NULL AS STRING) AS domain,
    CAST(NULL AS BIGINT) AS subdomains, CAST(NULL AS DOUBLE) AS letters, CAST(NULL AS BIGINT) AS without_address,
    CAST(NULL AS BIGINT) AS listed, CAST(NULL AS TIMESTAMP) AS first, CAST(NULL AS TIMESTAMP) AS last,
    CAST(NULL AS BIGINT) AS clients
FROM pairs
UNION ALL
SELECT
    CAST(NULL AS BIGINT) AS tested, c.client, c.domain, c.subdomains, c.letters, c.without_address, c.listed, c.first,
    c.last, c.clients
FROM counted c
CROSS JOIN options o
WHERE c.subdomains >= o.least_subdomains
ORDER BY tested NULLS LAST, client NULLS LAST, domain NULLS LAST
