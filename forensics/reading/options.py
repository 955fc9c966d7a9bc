"""What the analyst says about evidence, checked before a file is opened."""

from __future__ import annotations

import os
from dataclasses import asdict, dataclass, field
from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from forensics.errors import CaseError
from forensics.formats import Hints
from forensics.formats._description import TableDescription, description_of
from forensics.formats._encodings import known_encoding
from forensics.reading.streams import Limits

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import tzinfo

__all__ = ["ReadOptions", "TableLike", "zone_of"]

TableLike = str | os.PathLike[str] | TableDescription
"""What a caller may hand over as the description of a table: the path of a TOML file, or a description."""

YEARS = range(1970, 2286)
"""Years that a log can be of."""


@dataclass(frozen=True, slots=True)
class ReadOptions:
    """What the analyst says about the evidence; `ReadOptions.of` makes it from texts.

    Parameters
    ----------
    timezone
        Zone of times that carry none.
    year
        Year of a file's newest record, where times carry none.
    logformat
        How lines are made up, as `forensics.formats.Hints` has it.
    encoding
        Encoding of the text; None where each file tells.
    trusted_proxies
        Networks of proxies whose ``X-Forwarded-For`` is believed.
    table
        Which columns of a table are which of ours; every file is read as such a table then.
    vantage
        Where the evidence was recorded; by default the file's name without its suffixes.
    limits
        How far compressed files may grow.
    told
        Those of them that were told, as they were: what the ``notes`` of a source keep, so that it can be read again.
    """

    timezone: tzinfo | None = None
    year: int | None = None
    logformat: str | None = None
    encoding: str | None = None
    trusted_proxies: tuple[IPv4Network | IPv6Network, ...] = ()
    table: TableDescription | None = None
    vantage: str | None = None
    limits: Limits = field(default_factory=Limits)
    told: Mapping[str, object] = field(default_factory=dict)

    @classmethod
    def of(
        cls,
        *,
        timezone: str | None = None,
        year: int | None = None,
        logformat: str | None = None,
        encoding: str | None = None,
        trusted_proxies: Sequence[str] = (),
        table: TableLike | None = None,
        vantage: str | None = None,
        limits: Limits | None = None,
    ) -> ReadOptions:
        """Return the options that `forensics.case.Case.add` was given.

        Raises
        ------
        CaseError
            A zone, an encoding or a network is not one, or no log can be of that year; the description of a table
            cannot be read.
        EvidenceError
            The description of a table is none.
        """
        if year is not None and year not in YEARS:
            raise CaseError(f"year {year} is no year of a log: give one of {YEARS[0]} to {YEARS[-1]}")
        try:
            encoding = known_encoding(encoding) if encoding else None
        except ValueError as error:
            raise CaseError(str(error)) from None
        networks = tuple(_network(text) for text in trusted_proxies)
        zone = zone_of(timezone) if timezone else None
        described = _description(table) if table is not None else None
        told = {
            "timezone": timezone,
            "year": year,
            "logformat": logformat,
            "encoding": encoding,
            "trusted_proxies": list(map(str, trusted_proxies)),
            "table": "a description" if isinstance(table, TableDescription) else table and Path(table).name,
            "vantage": vantage,
            "limits": asdict(limits) if limits else None,
        }
        told = {name: value for name, value in told.items() if value}
        return cls(zone, year, logformat, encoding, networks, described, vantage, limits or Limits(), told)

    def hints(self, companions: Mapping[str, bytes]) -> Hints:
        """Return what a format is told about a file beside which these files lie."""
        return Hints(
            timezone=self.timezone,
            year=self.year,
            logformat=self.logformat,
            encoding=self.encoding,
            trusted_proxies=self.trusted_proxies,
            table=self.table,
            companions=companions,
        )


def zone_of(name: str) -> ZoneInfo:
    """Return a time zone by its IANA name.

    Raises
    ------
    CaseError
        There is none of that name.
    """
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:  # OSError: the name of a folder, or too long a one
        raise CaseError(f"unknown time zone {name!r}: give an IANA name such as Asia/Tokyo or Europe/Berlin") from error


def _description(table: TableLike) -> TableDescription:
    """Return the description of a table, read from a file where it is a path."""
    if isinstance(table, TableDescription):
        return table
    path = Path(table)
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise CaseError(f"the description {path} cannot be read: {error.strerror or error}") from error
    except UnicodeDecodeError:
        raise CaseError(f"the description {path} is not UTF-8, as TOML is") from None
    return description_of(text, path.name)


def _network(text: str) -> IPv4Network | IPv6Network:
    """Return a network; an address is one of its own."""
    try:
        return ip_network(text.strip(), strict=False)
    except ValueError:
        problem = f"trusted proxy {text!r} is neither an address nor a network"
        raise CaseError(f"{problem}: give it as 192.0.2.1 or 192.0.2.0/24") from None
