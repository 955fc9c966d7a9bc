-- The look-ups of a client for names under a domain.
SELECT f.finding, n.name, n.source, n.record
FROM names n
JOIN found f ON n.client = f.client
WHERE n.how = 'dns' AND right(n.name, length(f.domain) + 1) = '.' || f.domain
