-- Every address and every name that something was done with, once.
SELECT server AS host FROM contacts
UNION
SELECT src AS host FROM contacts
UNION
SELECT name AS host FROM contacts WHERE name IS NOT NULL
UNION
SELECT name AS host FROM names
UNION
SELECT address AS host FROM names WHERE address IS NOT NULL
ORDER BY host NULLS LAST
