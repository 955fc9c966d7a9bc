"""X.509 certificates: whom they name. A walk over the few fields of DER that hold names, and no check of anything.

References
----------
.. [1] RFC 5280, sections 4.1 (fields), 4.1.2.6 (subject) and 4.2.1.6 (subject alternative name).
.. [2] ITU-T X.690, section 8.1 (tags and lengths). RFC 4514 (a distinguished name as text).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

__all__ = ["MAX_NAMES", "CertificateNames", "certificate_names"]

MAX_NAMES = 32
"""Names of one certificate that are told; certificates of delivery networks have hundreds."""

_SEQUENCE, _OID, _EXPLICIT_0, _EXPLICIT_3, _DNS_NAME = 0x30, 0x06, 0xA0, 0xA3, 0x82
_BMP_STRING = 0x1E
_ALTERNATIVE_NAME = bytes.fromhex("551d11")
_COMMON_NAME = bytes.fromhex("550403")
_ATTRIBUTES = {
    _COMMON_NAME: "CN",
    bytes.fromhex("550406"): "C",
    bytes.fromhex("550407"): "L",
    bytes.fromhex("550408"): "ST",
    bytes.fromhex("55040a"): "O",
    bytes.fromhex("55040b"): "OU",
}
_ESCAPED = str.maketrans({c: f"\\{c}" for c in ',+"\\<>;'})


@dataclass(frozen=True, slots=True)
class CertificateNames:
    """Whom a certificate names.

    Parameters
    ----------
    subject
        The distinguished name, as text, most general part last.
    names
        DNS names: of the alternative names, else the common name where it looks like one.
    """

    subject: str
    names: tuple[str, ...]


def _parts(raw: bytes) -> list[tuple[int, bytes]]:
    """Return tags and contents of the elements that lie side by side, up to a cut."""
    found: list[tuple[int, bytes]] = []
    at = 0
    while at + 2 <= len(raw):
        tag, size = raw[at], raw[at + 1]
        at += 2
        if size & 0x80:
            width = size & 0x7F
            if not 1 <= width <= 4:
                break
            size = int.from_bytes(raw[at : at + width], "big")
            at += width
        if at + size > len(raw):
            break
        found.append((tag, raw[at : at + size]))
        at += size
    return found


def _inside(raw: bytes, tag: int) -> bytes:
    """Return the content of the first element, empty where its tag is another."""
    parts = _parts(raw)
    return parts[0][1] if parts and parts[0][0] == tag else b""


def _text(tag: int, raw: bytes) -> str:
    """Return the text of a string of any type."""
    return raw.decode("utf-16-be" if tag == _BMP_STRING else "utf-8", "backslashreplace")


def _attributes(subject: bytes) -> list[tuple[bytes, str]]:
    """Return type and text of the attributes of a distinguished name."""
    found: list[tuple[bytes, str]] = []
    for _, group in _parts(subject):
        for _, attribute in _parts(group):
            match _parts(attribute):
                case [(6, kind), (tag, value)]:
                    found.append((kind, _text(tag, value)))
    return found


def _alternative_names(extensions: bytes) -> list[str]:
    """Return the DNS names among the subject's alternative names."""
    for _, extension in _parts(_inside(extensions, _SEQUENCE)):
        parts = _parts(extension)
        if parts and parts[0] == (_OID, _ALTERNATIVE_NAME):
            listed = _parts(_inside(parts[-1][1], _SEQUENCE))
            return [_text(tag, raw) for tag, raw in listed if tag == _DNS_NAME]
    return []


@lru_cache(maxsize=256)
def certificate_names(der: bytes) -> CertificateNames | None:
    """Return whom a certificate names; None where it is no certificate.

    Parameters
    ----------
    der
        The certificate, in DER.
    """
    fields = _parts(_inside(_inside(der, _SEQUENCE), _SEQUENCE))
    if fields and fields[0][0] == _EXPLICIT_0:  # the version; absent in version 1
        fields = fields[1:]
    if len(fields) < 6 or fields[4][0] != _SEQUENCE:  # serial, algorithm, issuer, validity, subject, key
        return None
    attributes = _attributes(fields[4][1])
    known = [f"{_ATTRIBUTES[kind]}={value.translate(_ESCAPED)}" for kind, value in attributes if kind in _ATTRIBUTES]
    names = [name for tag, raw in fields[6:] if tag == _EXPLICIT_3 for name in _alternative_names(raw)]
    if not names:
        names = [value for kind, value in attributes if kind == _COMMON_NAME and "." in value and " " not in value]
    return CertificateNames(",".join(reversed(known)), tuple(dict.fromkeys(names[:MAX_NAMES])))
