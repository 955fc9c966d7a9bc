"""Zeek's records, turned into rows a whole block at a time.

What a record means is in `forensics.formats._zeek_rows`, which reads those that are out of the common; tests hold both
to the same rows.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from forensics.formats._columns import either
from forensics.formats._hosts import name_of, server_of
from forensics.formats._kinds import exploded
from forensics.formats._vocabulary import Words
from forensics.formats._zeek_rows import certificate_name, is_carrier, named_protocol
from forensics.protocols import proto_numbered

if TYPE_CHECKING:
    from collections.abc import Callable

    from forensics.formats._columns import Ints
    from forensics.formats._zeek_columns import Columns

__all__ = ["PUT", "put_flows"]

_HIGHEST_STATUS = 9999


class Ends(NamedTuple):
    """Addresses and ports of originator and responder."""

    src: Words
    src_port: Ints
    dst: Words
    dst_port: Ints


def ends(table: Columns) -> Ends:
    """Return address and port of originator and responder."""
    return Ends(
        table.address("id.orig_h"), table.count("id.orig_p"), table.address("id.resp_h"), table.count("id.resp_p")
    )


def put_conn(table: Columns) -> None:
    """Connections: a flow each."""
    put_flows(table, state=table.words("conn_state"))


def put_flows(table: Columns, state: Words | str) -> None:
    """Put connections into flows.

    Parameters
    ----------
    table
        The records.
    state
        What the flows say of their state.
    """
    sheet, start, (src, src_port, dst, dst_port) = table.sheet, table.time(), ends(table)
    ip_out, ip_in = table.count("orig_ip_bytes"), table.count("resp_ip_bytes")
    payload_out, payload_in = table.count("orig_bytes"), table.count("resp_bytes")
    has_ip = ip_out.known | ip_in.known
    history, service = table.words("history"), table.words("service")
    sheet.put(
        "exchanges",  # whose texts are words: a flow's are stored, and made, several times as fast as in flows
        start=start,
        end=start + table.span("duration"),
        src=src,
        src_port=src_port,
        dst=dst,
        dst_port=dst_port,
        proto=_protocol(table, src),
        service=service,
        bytes_out=either(has_ip, ip_out, payload_out),
        bytes_in=either(has_ip, ip_in, payload_in),
        bytes_kind="ip" if has_ip.all() else Words.constant("ip", has_ip).otherwise(Words.constant("payload", ~has_ip)),
        packets_out=table.count("orig_pkts"),
        packets_in=table.count("resp_pkts"),
        payload_bytes_out=payload_out,
        payload_bytes_in=payload_in,
        state=state,
        history=history,
        tunnel=_tunnel(table, service),
        is_flow=True,
        is_request=False,
    )
    missed = table.count("missed_bytes").values > 0
    flipped = history.mapped(lambda text: text if "^" in text else None).known
    sheet.note("direction_flipped", int((flipped & sheet.good).sum()))
    sheet.note("with_missed_bytes", int((missed & sheet.good).sum()))


def _protocol(table: Columns, src: Words) -> Words:
    """Return transport protocols; Zeek calls ICMPv6 icmp, too, and knows no name of rare ones."""
    proto = table.words("proto", named_protocol)
    if not proto.known.all():
        proto = proto.otherwise(table.words("ip_proto", proto_numbered))
    icmp = proto.mapped(lambda name: name if name == "icmp" else None).known
    if icmp.any():
        six = icmp & src.mapped(lambda address: address if ":" in address else None).known
        proto = Words.constant("icmp6", six).otherwise(proto)
    return proto


def _tunnel(table: Columns, service: Words) -> Words:
    """Return which part of a tunnel connections are, as far as their own records tell."""
    inner = table.listed("tunnel_parents", table.writing.joined).known
    carrier = service.mapped(lambda text: text if is_carrier(text) else None).known
    found = Words.constant("inner", inner & ~carrier).otherwise(Words.constant("outer", carrier & ~inner))
    return found.otherwise(Words.constant("middle", carrier & inner))


def put_dns(table: Columns) -> None:
    """DNS: the name that was asked for, once for each address in the answers."""
    sheet, time, client = table.sheet, table.time(), ends(table).src
    name = table.words("query", name_of)
    many, addresses = exploded(table.listed("answers", table.writing.addresses))
    sheet.reject(many, "it has many answers")
    sheet.put(
        "names", name.known, time=time, address=addresses[0] if addresses else None, name=name, how="dns", client=client
    )
    for address in addresses[1:]:
        where = name.known & address.known
        sheet.put("names", where, time=time, address=address, name=name, how="dns", client=client)


def put_http(table: Columns) -> None:
    """HTTP: a request and the name of the server; a request to a proxy tells nothing of the proxy's own name."""
    sheet, time, (src, src_port, dst, dst_port) = table.sheet, table.time(), ends(table)
    status = table.count("status_code")
    sheet.reject(status.values > _HIGHEST_STATUS, "status_code is not a status")
    # A target is found in what the log writes; with escapes in it, that is not what was asked for.
    sheet.reject(table.escaped("uri") | table.escaped("method"), "it has escapes")
    asked = sheet.targets(table.field("method"), table.field("uri"), null=table.writing.nulls)
    to_proxy = asked.name.known | asked.address.known
    host = asked.name.otherwise(asked.address).otherwise(table.words("host", server_of))
    name = host.mapped(certificate_name)
    sheet.put(
        "exchanges",
        start=time,
        src=src,
        src_port=src_port,
        dst=asked.address.otherwise(dst.only(~to_proxy)),
        dst_port=either(to_proxy, asked.port, dst_port),
        host=host,
        name=name,
        how=Words.constant("proxy", name.known & to_proxy).otherwise(Words.constant("http", name.known & ~to_proxy)),
        via=dst.only(to_proxy),
        method=table.words("method"),
        url=table.text("uri"),
        status=status,
        user_agent=table.text("user_agent"),
        referer=table.text("referrer"),
        content_type=table.listed("resp_mime_types", table.writing.first),
        bytes_out=table.count("request_body_len"),
        bytes_in=table.count("response_body_len"),
        bytes_kind="application",
        is_flow=False,
        is_request=True,
    )


def put_ssl(table: Columns) -> None:
    """TLS: the name that the client asked for, and what client and server gave away of themselves."""
    sheet, time, (client, _, server, port) = table.sheet, table.time(), ends(table)
    name = table.words("server_name", certificate_name)
    sheet.put("names", name.known, time=time, address=server, name=name, how="sni", client=client)
    for kind in ("ja3", "ja4"):
        if table.has(kind):
            given = table.words(kind)
            sheet.put(
                "fingerprints", given.known, time=time, address=client, peer=server, peer_port=port, kind=kind,
                fingerprint=given,
            )  # fmt: skip
    if table.has("subject"):
        subject = table.words("subject")
        sheet.put(
            "fingerprints", subject.known, time=time, address=server, peer=client, kind="certificate",
            fingerprint=subject,
        )  # fmt: skip


def put_x509(table: Columns) -> None:
    """X.509: the names in a certificate; which server showed it, ssl.log tells."""
    sheet, time = table.sheet, table.time()
    many, names = exploded(table.listed("san.dns", table.writing.host_names))
    sheet.reject(many, "it has many names")
    for name in names:
        sheet.put("names", name.known, time=time, name=name, how="certificate")


def put_files(table: Columns) -> None:
    """Files: no rows; a record without a time is a reject all the same."""
    table.time()


PUT: dict[str, Callable[[Columns], None]] = {
    "conn": put_conn,
    "dns": put_dns,
    "files": put_files,
    "http": put_http,
    "ssl": put_ssl,
    "x509": put_x509,
}
"""What is made of the records of each log."""
