"""Zeek's tab-separated text: field lists of Zeek 6 and the lines of each log."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import numpy as np

from . import catalog
from .cast import OFFICE, OFFICE_RESOLVER, UPSTREAM_RESOLVER, Cast
from .logfile import GzipLog, agents, blocks, fill, paths, take
from .options import MICROSECONDS
from .transactions import ADDED_TO_REPLY, ADDED_TO_REQUEST, LEAST_RECEIVED, LEAST_SENT, Rows

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path
    from types import TracebackType

_HEAD = "ts:time uid:string id.orig_h:addr id.orig_p:port id.resp_h:addr id.resp_p:port "  # of every log
LOGS = {
    "conn": _HEAD + "proto:enum service:string duration:interval orig_bytes:count resp_bytes:count conn_state:string "
    "local_orig:bool local_resp:bool missed_bytes:count history:string orig_pkts:count orig_ip_bytes:count "
    "resp_pkts:count resp_ip_bytes:count tunnel_parents:set[string]",
    "http": _HEAD + "trans_depth:count method:string host:string uri:string referrer:string version:string "
    "user_agent:string origin:string request_body_len:count response_body_len:count status_code:count "
    "status_msg:string info_code:count info_msg:string tags:set[enum] username:string password:string "
    "proxied:set[string] orig_fuids:vector[string] orig_filenames:vector[string] orig_mime_types:vector[string] "
    "resp_fuids:vector[string] resp_filenames:vector[string] resp_mime_types:vector[string]",
    "ssl": _HEAD + "version:string cipher:string curve:string server_name:string resumed:bool last_alert:string "
    "next_protocol:string established:bool ssl_history:string cert_chain_fps:vector[string] "
    "client_cert_chain_fps:vector[string] sni_matches_cert:bool",
    "dns": _HEAD + "proto:enum trans_id:count rtt:interval query:string qclass:count qclass_name:string qtype:count "
    "qtype_name:string rcode:count rcode_name:string AA:bool TC:bool RD:bool RA:bool Z:count "
    "answers:vector[string] TTLs:vector[interval] rejected:bool",
}
_KEYS = "%d.%06d\t%s\t%s\t%d\t%s\t%d\t"
_CONN = _KEYS + "%s\t%s\t%d.%06d\t%d\t%d\tSF\tT\tF\t0\t%s\t%d\t%d\t%d\t%d\t-\n"
_HTTP = (
    _KEYS + "%d\t%s\t%s\t%s\t-\t1.1\t%s\t-\t%d\t%d\t%d\t%s\t-\t-\t(empty)\t-\t-\t"
    "VIA -> 1.1 proxy.office.example (squid/5.7),X-FORWARDED-FOR -> %s\t-\t-\t-\t-\t-\t-\n"
)
_SSL = _KEYS + "TLSv12\tTLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256\tsecp256r1\t%s\tT\t-\t-\tT\tCsiI\t-\t-\t-\n"
_DNS = _KEYS + "udp\t%d\t0.%06d\t%s\t1\tC_INTERNET\t1\tA\t0\tNOERROR\tF\tF\tT\tT\t0\t%s\t%d.000000\tF\n"
# By the proxy's verb, DNS last: port, protocol, service, history.
_KINDS = ((80, "tcp", "http", "ShADadFf"),) * 2 + ((443, "tcp", "ssl", "ShADadFf"), (53, "udp", "dns", "Dd"))
_REASONS = {200: "OK", 302: "Found", 304: "Not Modified", 404: "Not Found"}
_DIGITS = np.frombuffer(b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz", np.uint8)
_UID_DIGITS = 8
_SEGMENT = 1460  # payload of a full TCP segment [B]


class ZeekLog(GzipLog):
    """One log with its head and its ``#close`` line."""

    def __init__(self, path: Path, name: str, span: tuple[int, int], compression: int) -> None:
        super().__init__(path, compression)
        opened, self._closed = span
        fields, types = zip(*(field.split(":") for field in LOGS[name].split()), strict=True)
        self.write("#separator \\x09\n#set_separator\t,\n#empty_field\t(empty)\n#unset_field\t-\n")
        self.write(f"#path\t{name}\n#open\t{_stamp(opened)}\n")
        self.write("\t".join(("#fields", *fields)) + "\n" + "\t".join(("#types", *types)) + "\n")

    def write_rows(self, rows: Rows, cast: Cast, lines: Callable[[Cast, Rows], str]) -> None:
        """Append rows in the order given."""
        for block in blocks(rows):
            self.write(lines(cast, block))

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.write(f"#close\t{_stamp(self._closed)}\n")
        super().__exit__(kind, error, trace)


def conn_lines(cast: Cast, rows: Rows) -> str:
    """Rows of conn.log; packets are those of full segments, acknowledged in pairs."""
    sent, received, lasted = rows["sent"], rows["received"], rows["end"] - rows["start"]
    udp = rows["verb"] == len(_KINDS) - 1
    out = np.where(udp, 1, 4 + -(-sent // _SEGMENT) + -(-received // (2 * _SEGMENT)))
    back = np.where(udp, 1, 3 + -(-received // _SEGMENT) + -(-sent // (2 * _SEGMENT)))
    head, option = np.where(udp, 28, 40), np.where(udp, 0, 4)
    kinds = [_KINDS[verb] for verb in rows["verb"].tolist()]
    return fill(
        _CONN,
        [
            *_keys(cast, rows),
            [kind[1] for kind in kinds],
            [kind[2] for kind in kinds],
            *_seconds(lasted),
            sent.tolist(),
            received.tolist(),
            [kind[3] for kind in kinds],
            out.tolist(),
            (sent + head * out + option).tolist(),
            back.tolist(),
            (received + head * back + option).tolist(),
        ],
    )


def http_lines(cast: Cast, rows: Rows) -> str:
    """Rows of http.log; bodies are what the headers' fixed sizes leave."""
    posted = np.where(rows["verb"] == catalog.POST, rows["sent"] - LEAST_SENT - ADDED_TO_REQUEST, 0)
    returned = np.where(rows["status"] == 304, 0, rows["received"] - LEAST_RECEIVED + ADDED_TO_REPLY)  # noqa: PLR2004
    return fill(
        _HTTP,
        [
            *_keys(cast, rows),
            rows["depth"].tolist(),
            take(catalog.VERBS, rows["verb"]),
            take(cast.names, rows["server"]),
            paths(rows),
            agents(cast, rows),
            posted.tolist(),
            returned.tolist(),
            rows["status"].tolist(),
            [_REASONS[status] for status in rows["status"].tolist()],
            take(cast.terminals, rows["client"]),
        ],
    )


def ssl_lines(cast: Cast, rows: Rows) -> str:
    """Rows of ssl.log; all sessions resumed, so that no certificates are seen."""
    return fill(_SSL, [*_keys(cast, rows), take(cast.names, rows["server"])])


def dns_lines(cast: Cast, rows: Rows) -> str:
    """Rows of dns.log, one answer each."""
    return fill(
        _DNS,
        [
            *_keys(cast, rows),
            rows["number"].tolist(),
            (rows["end"] - rows["start"]).tolist(),
            take(cast.names, rows["server"]),
            take(cast.addresses, rows["server"]),
            cast.lifetime[rows["server"]].tolist(),
        ],
    )


def _keys(cast: Cast, rows: Rows) -> list[list[int] | list[str]]:
    dns = (rows["verb"] == len(_KINDS) - 1).tolist()
    servers = take(cast.addresses, rows["server"])
    return [
        *_seconds(rows["start"]),
        _uids(cast, rows["connection"]),
        [OFFICE_RESOLVER if asked else OFFICE for asked in dns],
        rows["port"].tolist(),
        [UPSTREAM_RESOLVER if asked else server for asked, server in zip(dns, servers, strict=True)],
        [_KINDS[verb][0] for verb in rows["verb"].tolist()],
    ]


def _seconds(time: np.ndarray) -> tuple[list[int], list[int]]:
    return (time // MICROSECONDS).tolist(), (time % MICROSECONDS).tolist()


def _uids(cast: Cast, number: np.ndarray) -> list[str]:
    """Connection identifiers: "C", a part of the campaign's, and the connection's number to base 62."""
    prefix = _DIGITS[cast.campaign.random("uid").integers(62, size=9)].tobytes().decode()
    powers = 62 ** np.arange(_UID_DIGITS - 1, -1, -1)
    digits = _DIGITS[number[:, None] // powers % 62]
    return [f"C{prefix}{text.decode()}" for text in digits.view(f"S{_UID_DIGITS}")[:, 0].tolist()]


def _stamp(time: int) -> str:
    # The sensor's own clock shows office time, as Zeek's head and foot lines do.
    moment = datetime.fromtimestamp(time // MICROSECONDS, UTC) + timedelta(hours=9)
    return f"{moment:%Y-%m-%d-%H-%M-%S}"
