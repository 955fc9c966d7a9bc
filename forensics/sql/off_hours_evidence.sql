-- The contacts of terminals with outside servers in given times; with one server alone, where one is given.
SELECT f.finding, c.source, c.record
FROM contacts c
JOIN found f ON c.src = f.src
JOIN outside o ON c.server = o.server
WHERE c.start >= f.start AND c.start <= f."end" AND (f.server IS NULL OR c.server = f.server)
