"""Lists of indicators as analysts hold them: CSV and plain text, STIX 2.1 bundles, events of MISP.

Example: ``read_lists(["npa-2015.csv", "misp.event.json"])`` gives what can be looked for, and counts the rest by why.

References
----------
.. [1] OASIS, *STIX Version 2.1*, section 9 (patterns) and section 4.7 (indicators).
.. [2] MISP, *core format*, https://www.misp-standard.org/rfc/misp-standard-core.html: attributes and ``to_ids``.
.. [3] FoxIO, *JA4*, https://github.com/FoxIO-LLC/ja4/blob/main/technical_details/JA4.md.
"""

from __future__ import annotations

import csv
import io
import json
import re
from collections import Counter
from dataclasses import dataclass, field
from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import urlsplit

from forensics.addresses import address_text, host_name
from forensics.errors import EvidenceError

if TYPE_CHECKING:
    import os
    from collections.abc import Iterable, Iterator, Mapping

__all__ = ["Indicator", "Lists", "read_lists"]

KINDS = ("network", "domain", "url", "ja3", "ja4")

_FANGS = re.compile(r"\[\.\]|\(\.\)|\{\.\}|\[dot\]|\(dot\)", re.IGNORECASE)
_SCHEME = re.compile(r"h(?:xx|XX|\*\*)p(s?)(?:\[:\]|:)//", re.IGNORECASE)
_JA4 = re.compile(r"[tqd]\d\d[di]\d{4}[0-9a-z]{2}_[0-9a-f]{12}_[0-9a-f]{12}")
_DOMAIN = re.compile(r"[a-z0-9_-]+(?:\.[a-z0-9_-]+)+")
_HEX32 = re.compile(r"[0-9a-fA-F]{32}")

_TYPES = {
    "address": "network", "ip": "network", "ipv4": "network", "ipv6": "network", "ip-dst": "network",
    "ip-src": "network", "ip-dst|port": "network", "ip-src|port": "network", "network": "network", "cidr": "network",
    "domain": "domain", "hostname": "domain", "host": "domain", "hostname|port": "domain", "fqdn": "domain",
    "url": "url", "uri": "url", "link": "url",
    "ja3": "ja3", "ja3-fingerprint-md5": "ja3", "ja4": "ja4", "ja4-fingerprint": "ja4",
}  # fmt: skip
"""What lists call the kinds."""

_VALUE_COLUMNS = (
    "indicator",
    "value",
    "ioc",
    "indicator_value",
    "address",
    "ip",
    "domain",
    "hostname",
    "url",
    "network",
)
_TYPE_COLUMNS = ("type", "kind", "indicator_type", "ioc_type")
_LABEL_COLUMNS = ("label", "description", "comment", "note", "name", "threat")

_PATHS = {
    "ipv4-addr:value": "network", "ipv6-addr:value": "network", "network-traffic:dst_ref.value": "network",
    "network-traffic:src_ref.value": "network", "domain-name:value": "domain", "url:value": "url",
}  # fmt: skip
_COMPARISON = re.compile(
    r"\s*([a-z0-9-]+:[\w.'\[\]-]+)\s*(=|ISSUBSET|IN)\s*(\((?:[^()']|'(?:[^'\\]|\\.)*')*\)|'(?:[^'\\]|\\.)*')\s*"
)
_QUOTED = re.compile(r"'((?:[^'\\]|\\.)*)'")


class Indicator(NamedTuple):
    """One thing to look for.

    Parameters
    ----------
    kind
        One of `KINDS`; an address is a network of one.
    value
        In canonical form.
    label
        What the list says of it; empty where it says nothing.
    confidence
        How sure the list is. [1]
    origin
        File, and line or identifier, where it stands.
    """

    kind: str
    value: str
    label: str
    confidence: float
    origin: str


@dataclass
class Lists:
    """What lists give: indicators, and how many entries cannot be looked for, by why."""

    indicators: list[Indicator] = field(default_factory=list)
    refused: Counter[str] = field(default_factory=Counter)

    def put(self, value: str, kind: str | None, *, label: str = "", confidence: float = 1.0, origin: str) -> None:
        """Take an entry; where its kind is not said, its form tells."""
        found = _canonical(value, kind)
        if isinstance(found, str):
            self.refused[found] += 1
        else:
            self.indicators.append(Indicator(*found, label, confidence, origin))


def read_lists(paths: Iterable[str | os.PathLike[str]]) -> Lists:
    """Return what the lists of some files give.

    Parameters
    ----------
    paths
        Files: JSON with a STIX bundle or MISP events, CSV with a header, or text with one entry a line.

    Raises
    ------
    EvidenceError
        A file cannot be read, is not UTF-8, or is JSON of another kind.
    """
    lists = Lists()
    for path in map(Path, paths):
        try:
            text = path.read_text("utf-8-sig")
        except OSError as error:
            raise EvidenceError(str(path), f"cannot be read: {error.strerror}") from error
        except UnicodeDecodeError as error:
            raise EvidenceError(str(path), "is not UTF-8: save the list as UTF-8") from error
        if text.lstrip()[:1] in ("{", "["):
            _read_json(lists, text, path.name)
        else:
            _read_lines(lists, text, path.name)
    return lists


def _canonical(value: str, said: str | None) -> tuple[str, str] | str:
    """Return kind and value of an entry in canonical form, or why it cannot be looked for."""
    text = _SCHEME.sub(r"http\1://", _FANGS.sub(".", value.strip())).replace("[:]", ":")
    kind = _TYPES.get(said.strip().lower()) if said else _guessed(text)
    if kind is None:
        return f"{said or 'no address, domain, URL, JA3 or JA4'}: not looked for"
    if kind == "network":
        network = _network(text.partition("|")[0])
        return (kind, str(network)) if network else "not an address or network"
    if kind == "domain":
        name = _domain(text.partition("|")[0])
        return (kind, name) if name else "not a domain"
    if kind == "url":
        parts = urlsplit(text if "://" in text else f"http://{text}")
        return (kind, text) if parts.hostname else "not a URL"
    fits = _HEX32.fullmatch(text) if kind == "ja3" else _JA4.fullmatch(text)
    return (kind, text.lower()) if fits else f"not a {kind.upper()}"


def _guessed(text: str) -> str | None:
    """Return the kind of an entry by its form; 32 hexadecimal digits are JA3 as well as MD5, so they tell nothing."""
    if "://" in text:
        return "url"
    if _network(text):
        return "network"
    if _JA4.fullmatch(text):
        return "ja4"
    return "domain" if _domain(text) else None


def _domain(text: str) -> str | None:
    name = host_name(text.removeprefix("*."))
    return name if name and _DOMAIN.fullmatch(name) else None


def _network(text: str) -> IPv4Network | IPv6Network | None:
    try:
        return ip_network(address_text(text) or text, strict=False)
    except ValueError:
        return None


def _read_lines(lists: Lists, text: str, name: str) -> None:
    """Read CSV, or one entry a line."""
    lines = [line for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")]
    head = next(csv.reader(lines[:1], delimiter=_delimiter(lines)), [])
    columns = [one.strip().lower() for one in head]
    value = next((one for one in _VALUE_COLUMNS if one in columns), None)
    if value is None:
        for number, line in enumerate(text.splitlines(), 1):
            if line.strip() and not line.lstrip().startswith("#"):
                lists.put(line.split(",")[0].split("\t")[0], None, origin=f"{name}:{number}")
        return
    reader = csv.DictReader(io.StringIO(text), fieldnames=None, delimiter=_delimiter(lines), restval="")
    reader.fieldnames = columns
    kind, label = (next((one for one in known if one in columns), None) for known in (_TYPE_COLUMNS, _LABEL_COLUMNS))
    for place, row in enumerate(reader):
        if place and (row[value] or "").strip():
            said = (row[kind] or None) if kind else None
            told = row[label] or "" if label and label != value else ""
            lists.put(row[value], said, label=told, origin=f"{name}:{reader.line_num}")


def _delimiter(lines: list[str]) -> str:
    first = lines[0] if lines else ""
    return max(",;\t", key=first.count)


def _read_json(lists: Lists, text: str, name: str) -> None:
    try:
        said = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise EvidenceError(name, f"is not JSON: {error}") from error
    if isinstance(said, dict) and said.get("type") == "bundle":
        for one in _objects(said.get("objects")):
            if one.get("type") == "indicator":
                _read_stix(lists, one, name)
        return
    events = list(_events(said))
    if not events:
        raise EvidenceError(name, "is neither a STIX 2.1 bundle nor an export of MISP (Event, or response)")
    for event in events:
        _read_misp(lists, event, name)


def _objects(said: object) -> Iterator[dict[str, Any]]:
    """Yield the objects of a list of JSON, whatever else is in it."""
    return (one for one in said if isinstance(one, dict)) if isinstance(said, list) else iter(())


def _read_stix(lists: Lists, said: Mapping[str, Any], name: str) -> None:
    """Read one indicator: comparisons that are joined by OR; of others a part would say too much."""
    if said.get("revoked") is True:
        lists.refused["revoked by its author"] += 1
        return
    confidence = said.get("confidence")
    sure = confidence / 100 if isinstance(confidence, int) and 0 <= confidence <= 100 else 1.0  # noqa: PLR2004
    origin, label = f"{name}:{said.get('id', 'indicator')}", str(said.get("name") or said.get("description") or "")
    found = list(_compared(said.get("pattern"))) if said.get("pattern_type", "stix") == "stix" else []
    if not found:
        lists.refused["a pattern other than equal addresses, networks, domains or URLs joined by OR"] += 1
    for kind, value in found:
        lists.put(value, kind, label=label, confidence=sure, origin=origin)


def _compared(pattern: object) -> Iterator[tuple[str, str]]:
    """Yield kinds and values of a pattern; nothing where it says more than that one of them was seen."""
    text = pattern.strip() if isinstance(pattern, str) else ""
    found = []
    while text:
        opened = text.startswith("[")
        match = _COMPARISON.match(text.removeprefix("["))
        if match is None:
            return
        path, _, said = match.groups()
        text = text[opened + match.end() :].lstrip()
        if path in _PATHS:
            found += [(_PATHS[path], re.sub(r"\\(.)", r"\1", value)) for value in _QUOTED.findall(said)]
        closed = text.startswith("]")
        text = text.removeprefix("]").lstrip() if closed else text
        # the type of an address beside its value says nothing more
        joined = re.match(r"OR\b", text) or (path.endswith("_ref.type") and re.match(r"AND\b", text))
        if path not in _PATHS and not path.endswith("_ref.type"):
            return
        if text and not joined:
            return
        text = text[joined.end() :].lstrip() if joined else text
    yield from found


def _events(said: object) -> Iterator[Mapping[str, Any]]:
    """Yield the events of an export of MISP; attributes alone are one."""
    if isinstance(said, list):
        for one in said:
            yield from _events(one)
    elif isinstance(said, dict):
        if isinstance(said.get("Event"), dict):
            yield said["Event"]
        elif "response" in said:
            yield from _events(said["response"])
        elif isinstance(said.get("Attribute"), list):
            yield said


def _read_misp(lists: Lists, event: Mapping[str, Any], name: str) -> None:
    attributes = [*_objects(event.get("Attribute"))]
    attributes += [one for part in _objects(event.get("Object")) for one in _objects(part.get("Attribute"))]
    for one in attributes:
        value, kind = str(one.get("value", "")), str(one.get("type", ""))
        label = str(one.get("comment") or event.get("info") or "")
        origin = f"{name}:{one.get('uuid', kind)}"
        if one.get("deleted") is True:
            lists.refused["deleted by its author"] += 1
        elif not one.get("to_ids", True):
            lists.refused["not meant for detection (to_ids)"] += 1
        elif kind == "domain|ip":
            domain, _, address = value.partition("|")
            lists.put(domain, "domain", label=label, origin=origin)
            lists.put(address, "ip", label=label, origin=origin)
        else:
            lists.put(value, kind, label=label, origin=origin)
