"""Country and network of addresses, from files in MaxMind's format that the user has.

Nothing is looked up elsewhere: a look-up on the network would tell the attacker. What such a file says holds for the
day it was made, not for the day of the incident; the graph names the files, with their hash and that day.

References
----------
.. [1] MaxMind, *MaxMind DB File Format Specification*, version 2.0, https://maxmind.github.io/MaxMind-DB/
"""

from __future__ import annotations

import hashlib
import io
import struct
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, files
from pathlib import Path
from typing import TYPE_CHECKING, Any

from forensics.addresses import address_text
from forensics.errors import EvidenceError, MissingToolError

if TYPE_CHECKING:
    import os
    from collections.abc import Iterable

    import networkx as nx

__all__ = ["PLACE", "add_places", "country_file", "with_country_file"]

PLACE = ("country", "as_number", "as_name")
"""What a node gets; None where no file says it."""

PACKAGE = "maxminddb-geolite2"
"""Distribution of the extra ``countries``: countries and cities as MaxMind knew them in July 2018, CC BY-SA."""

COUNTRIES = "countries"
"""Stands for that file on the command line."""

_DAMAGED = (ValueError, LookupError, TypeError, ArithmeticError, RecursionError, MemoryError, struct.error)
"""What the reader raises on damaged files, beside its own error."""


def add_places(graph: nx.MultiDiGraph[str], given: Iterable[str | os.PathLike[str]]) -> None:
    """Give every node ``country`` (ISO 3166 code), ``as_number`` and ``as_name``; None where no file says it.

    Parameters
    ----------
    graph
        The hop graph; its attribute ``geoip`` says which files were used.
    given
        Files in MaxMind's format (``.mmdb``) with countries or networks. The first that says something counts.

    Raises
    ------
    EvidenceError
        A file cannot be read, is none of that format or is damaged.
    MissingToolError
        The package maxminddb is not installed.
    """
    databases = [_Database(Path(file)) for file in given]
    for node, data in graph.nodes(data=True):
        data.update(dict.fromkeys(PLACE))
        if address_text(node) is None:
            continue
        for database in databases:
            found = database.place(node)
            data.update({key: value for key, value in found.items() if data[key] is None})
    graph.graph["geoip"] = [database.about for database in databases]


def country_file() -> Path:
    """Return the country file of the extra ``countries``: GeoLite2 by MaxMind, of July 2018.

    What it says is near the years around it; for a later incident take a file that was made then.

    Returns
    -------
    pathlib.Path
        The file, for ``geoip=[fx.country_file()]``.

    Raises
    ------
    MissingToolError
        The extra is not installed.
    """
    try:
        held = files(PACKAGE) or ()
    except PackageNotFoundError as error:
        raise MissingToolError("no country file is installed; pip install 'forensics[countries]'") from error
    return next(Path(str(file.locate())) for file in held if file.suffix == ".mmdb")


def with_country_file(given: list[Path] | None) -> list[Path] | None:
    """Return the files given, that of the extra in place of its name."""
    return given and [country_file() if str(path) == COUNTRIES else path for path in given]


class _Database:
    """One file in MaxMind's format."""

    def __init__(self, path: Path) -> None:
        try:
            import maxminddb
        except ImportError as error:
            raise MissingToolError(
                f"{path.name}: reading country files takes the package maxminddb; pip install 'forensics[enrich]'"
            ) from error
        self._name = path.name
        self._errors = (maxminddb.InvalidDatabaseError, *_DAMAGED)
        try:
            content = path.read_bytes()
        except OSError as error:
            raise EvidenceError(path.name, f"cannot be read: {error.strerror}") from error
        try:
            self._reader = maxminddb.open_database(io.BytesIO(content), maxminddb.MODE_FD)
            told = self._reader.metadata()
            self._only_4 = told.ip_version == 4  # noqa: PLR2004 - the version of the protocol
            built = datetime.fromtimestamp(told.build_epoch, UTC)
        except self._errors as error:
            raise EvidenceError(path.name, f"is no file of MaxMind's format (.mmdb), or is damaged: {error}") from error
        digest = hashlib.sha256(content).hexdigest()
        self.about = {"file": path.name, "sha256": digest, "type": str(told.database_type), "built": built}

    def place(self, address: str) -> dict[str, Any]:
        """Return what the file says of an address."""
        if self._only_4 and ":" in address:
            return {}
        try:
            record = self._reader.get(address)
        except self._errors as error:
            raise EvidenceError(self._name, f"is damaged where it tells of {address}: {error}") from error
        return _place(record) if isinstance(record, dict) else {}


def _place(record: dict[str, Any]) -> dict[str, Any]:
    """Return country and network of a record, as MaxMind and those who follow it name them."""
    country = record.get("country")
    code = country.get("iso_code") if isinstance(country, dict) else record.get("country_code", country)
    number = record.get("autonomous_system_number", record.get("asn"))
    if isinstance(number, str) and number.upper().removeprefix("AS").isdecimal():
        number = int(number.upper().removeprefix("AS"))
    name = record.get("autonomous_system_organization", record.get("as_name"))
    found = {
        "country": code if isinstance(code, str) and len(code) == 2 else None,  # noqa: PLR2004 - ISO 3166 alpha-2
        "as_number": number if isinstance(number, int) and not isinstance(number, bool) else None,
        "as_name": name if isinstance(name, str) else None,
    }
    return {key: value for key, value in found.items() if value is not None}
