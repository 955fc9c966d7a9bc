-- When a finding's terminal met its server in its time, by vantage; `asked` has one row, a null in it stands for all.
SELECT DISTINCT c.vantage AS vantage, c.start AS start
FROM contacts c
CROSS JOIN asked a
WHERE (a.src IS NULL OR c.src = a.src) AND (a.server IS NULL OR c.server = a.server)
    AND c.start < a."end" AND c.start >= a.start
ORDER BY vantage NULLS LAST, start NULLS LAST
