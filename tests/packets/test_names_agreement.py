"""Names and requests against Zeek's logs of the same traces; every difference is listed with its reason in the docs."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

import pytest

from forensics.addresses import address_text, host_name

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.packets.conftest import Build

Tables = dict[str, list[dict[str, Any]]]
PAGE = Path(__file__).resolve().parents[2] / "docs" / "explanation" / "agreement-names.md"


def log_rows(path: Path) -> Iterator[dict[str, str]]:
    """Yield the rows of a Zeek log."""
    fields: list[str] = []
    for line in path.read_text(encoding="utf-8", errors="surrogateescape").splitlines():
        if line.startswith("#fields"):
            fields = line.split("\t")[1:]
        elif not line.startswith("#"):
            yield dict(zip(fields, line.split("\t"), strict=False))


def unescaped(text: str) -> str:
    r"""Return a text of Zeek's as bytes mean it, what is no UTF-8 as ``\xNN``."""
    raw = re.sub(rb"\\x([0-9a-fA-F]{2})", lambda m: bytes([int(m[1], 16)]), text.encode("utf-8", "surrogateescape"))
    return raw.decode("utf-8", "backslashreplace")


def decoded(target: str) -> str:
    """Return a request target without its percent codes, as Zeek logs it."""
    return unquote(target, errors="backslashreplace")


def dns_of_zeek(path: Path) -> Counter[tuple[object, ...]]:
    """Return query and address of every answer that holds one."""
    found: Counter[tuple[object, ...]] = Counter()
    for row in log_rows(path):
        for answer in row["answers"].split(","):
            address = address_text(answer)
            if address and row["qtype_name"] in {"A", "AAAA", "*"}:
                found[host_name(row["query"]), address] += 1
    return found


def dns_of_ours(tables: Tables) -> Counter[tuple[object, ...]]:
    """Return the same of ours."""
    rows = [row for row in tables["names"] if row["how"] == "dns" and row["address"]]
    return Counter((row["name"], row["address"]) for row in rows)


def http_of_zeek(path: Path) -> Counter[tuple[object, ...]]:
    """Return client, method, host, target and status of every request."""
    found: Counter[tuple[object, ...]] = Counter()
    for row in log_rows(path):
        if row.get("method", "-") != "-":
            host = None if row["host"] == "-" else unescaped(row["host"])
            host = host and (re.fullmatch(r"(.*?)(:\d+)?", host) or [None, host])[1]
            host = host and (address_text(host) or host_name(host))
            status = None if row["status_code"] == "-" else int(row["status_code"])
            target = decoded(unescaped(row["uri"]))
            found[row["id.orig_h"], int(row["id.orig_p"]), row["method"], host, target, status] += 1
    return found


def http_of_ours(tables: Tables) -> Counter[tuple[object, ...]]:
    """Return the same of ours; a target that names its host is Zeek's without it."""
    rows = [row for row in tables["requests"] if row["url"] is not None]
    return Counter(
        (row["src"], row["src_port"], row["method"], row["name"], decoded(row["url"]), row["status"]) for row in rows
    )


def ssl_of_zeek(path: Path) -> Counter[tuple[object, ...]]:
    """Return the server name of every connection that has one."""
    names = [
        unescaped(row["server_name"]) for row in log_rows(path) if row.get("server_name", "-") not in {"-", "(empty)"}
    ]
    return Counter((host_name(name),) for name in names)


def ssl_of_ours(tables: Tables) -> Counter[tuple[object, ...]]:
    """Return the same of ours."""
    return Counter((row["name"],) for row in tables["names"] if row["how"] == "sni")


LOGS: dict[
    str, tuple[Callable[[Path], Counter[tuple[object, ...]]], Callable[[Tables], Counter[tuple[object, ...]]]]
] = {
    "dns.log": (dns_of_zeek, dns_of_ours),
    "http.log": (http_of_zeek, http_of_ours),
    "ssl.log": (ssl_of_zeek, ssl_of_ours),
}


def listed(log: str) -> set[str]:
    """Return the traces that the page lists for a log."""
    rows = re.findall(r"^\| `([^`]+)` \| `([^`]+)` \|", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    return {trace for trace, name in rows if name == log}


@pytest.mark.parametrize("log", LOGS)
def test_names_and_requests_are_zeeks(compiled: Build, corpus: Path, log: str) -> None:
    """The traces that the page lists differ, and no others."""
    of_zeek, of_ours = LOGS[log]
    differing = set()
    for path in sorted((corpus / "zeek").glob(f"*/{log}")):
        for trace in path.parent.glob("trace.*"):
            tables, _ = compiled.read(trace.read_bytes())
            if +of_zeek(path) != +of_ours(tables):
                differing.add(path.parent.name)

    assert differing == listed(log)
