-- All requests: those that are stored by themselves, and those that are stored as exchanges.
SELECT
    start, "end", src, src_port, dst, dst_port, name, via, method, url, status, user_agent, referer, content_type,
    request_bytes, response_bytes, source, record
FROM stored_requests
UNION ALL
SELECT
    start, "end", src, src_port, dst, dst_port, host AS name, via, method, url, status, user_agent, referer,
    content_type, bytes_out AS request_bytes, bytes_in AS response_bytes, source, record
FROM stored_exchanges
WHERE is_request
