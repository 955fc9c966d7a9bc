-- All flows: those that are stored by themselves, and those that are stored as exchanges.
SELECT
    start, "end", src, src_port, dst, dst_port, proto, service, name, via, bytes_out, bytes_in, bytes_kind,
    packets_out, packets_in, frame_bytes_out, frame_bytes_in, payload_bytes_out, payload_bytes_in,
    retransmitted_out, retransmitted_in, missed_out, missed_in, isn_out, isn_in, state, history, tunnel, vantage,
    source, record
FROM stored_flows
UNION ALL
SELECT
    start, "end", src, src_port, dst, dst_port, proto, service, name, via, bytes_out, bytes_in, bytes_kind,
    packets_out, packets_in, CAST(NULL AS BIGINT) AS frame_bytes_out, CAST(NULL AS BIGINT) AS frame_bytes_in,
    payload_bytes_out, payload_bytes_in, CAST(NULL AS BIGINT) AS retransmitted_out,
    CAST(NULL AS BIGINT) AS retransmitted_in, CAST(NULL AS BIGINT) AS missed_out, CAST(NULL AS BIGINT) AS missed_in,
    CAST(NULL AS BIGINT) AS isn_out, CAST(NULL AS BIGINT) AS isn_in,
    state, history, tunnel, vantage, source, record
FROM stored_exchanges
WHERE is_flow
