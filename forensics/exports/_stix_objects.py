"""The objects of STIX 2.1 that a hop graph is made of, with ids that follow from their content.

Example: ``address("198.51.100.7")["id"]`` is the same in every bundle of the world.

References
----------
.. [1] OASIS, *STIX Version 2.1*, section 2.9: identifiers; section 6: cyber-observable objects.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from uuid import NAMESPACE_OID, UUID, uuid5

from forensics.addresses import address_text
from forensics.escaping import xml_safe

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = ["OURS", "Made", "address", "millisecond_text", "observable", "said", "statement", "time_text"]

Made = dict[str, Any]

OASIS = UUID("00abedb4-aa42-466c-9c01-fed23315a9b7")
"""The namespace that the standard gives for ids of observables [1]_, section 2.9."""

OURS = uuid5(NAMESPACE_OID, "forensics: hop graph")
"""The namespace of the other ids: a UUID of version 5 over the object's own content."""


def observable(kind: str, told: Mapping[str, Any], by: Sequence[str]) -> Made:
    """Return a cyber-observable object, its id made from the properties named by ``by`` as the standard has it."""
    name = _canonical({key: told[key] for key in by if key in told})
    return {"type": kind, "spec_version": "2.1", "id": f"{kind}--{uuid5(OASIS, name)}", **told}


def statement(kind: str, told: Mapping[str, Any], made: str, author: str | None = None) -> Made:
    """Return a domain or relationship object; ``made`` stands for when it was made, so that no clock is asked."""
    base = {"type": kind, "spec_version": "2.1", "created": made, "modified": made}
    base |= {"created_by_ref": author} if author else {}
    whole = {**base, **told}
    return {**whole, "id": f"{kind}--{uuid5(OURS, _canonical(whole))}"}


def address(node: str) -> Made:
    """Return the object of a node: an address, or a domain name where it is none."""
    canonical = address_text(node)
    if canonical is None:
        return observable("domain-name", {"value": said(node)}, ["value"])
    return observable("ipv6-addr" if ":" in canonical else "ipv4-addr", {"value": canonical}, ["value"])


def said(value: object) -> str:
    """Return text of the evidence without what cannot be written as UTF-8 or shown."""
    return xml_safe(str(value))


def time_text(moment: datetime) -> str:
    """Return a time as STIX has it, its fraction without zeros at the end: ids of observables hang on that."""
    whole = moment.astimezone(UTC)
    fraction = f".{whole.microsecond:06d}".rstrip("0").rstrip(".")
    return f"{whole:%Y-%m-%dT%H:%M:%S}{fraction}Z"


def millisecond_text(moment: datetime | None) -> str:
    """Return a time to the millisecond, as ``created`` wants it; 1970 where none is known."""
    known = (moment or datetime.fromtimestamp(0, UTC)).astimezone(UTC)
    return f"{known:%Y-%m-%dT%H:%M:%S}.{known.microsecond // 1000:03d}Z"


def _canonical(content: object) -> str:
    """Return JSON in one form (RFC 8785, for text, integers and lists)."""
    return json.dumps(content, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
