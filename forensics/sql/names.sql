-- All observations of names: those that are stored by themselves, and those that are stored as exchanges.
SELECT time, address, name, how, client, source, record
FROM stored_names
UNION ALL
SELECT start AS time, dst AS address, name, how, src AS client, source, record
FROM stored_exchanges
WHERE how IS NOT NULL
