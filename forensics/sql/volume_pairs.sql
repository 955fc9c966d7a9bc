-- Pairs of client and server of `volume_windows`: in how many windows it is known what was sent (`n`), how much in
-- all, and the first of them; in how many both directions are known (`shown`), and the most that was sent in one of
-- these in which more was sent than received. x is less than a window is long: both of the first window are in one
-- number, `first`, which the least of them is.
SELECT
    client, host, count(bytes_out) AS n, try_sum(bytes_out) AS total, min(start + x) AS first,
    count(CASE WHEN sent + received > 0 THEN 1 END) AS shown, max(CASE WHEN sent > received THEN sent END) AS most
FROM volume_windows
GROUP BY client, host
