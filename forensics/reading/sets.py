r"""Sets: the files in which one log was kept over time, as rotation names them.

Example::

    ordered(files, first_time)  # access.log.2.gz, access.log.1, access.log
    vantage_of("gw/access.log.2.gz")  # "gw/access", for each of them

Files are of one set where they lie in one folder and their names differ only by what rotation writes into them: a
number or ``old`` at the end, a date, hours, a compression. Folders whose name is a date, as Zeek makes them, hold parts
of one set.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from forensics.reading.files import EvidenceFile

__all__ = ["Place", "ordered", "place_of", "vantage_of"]

_PACKED = re.compile(r"\.(?:gz|bz2|xz|zst|lz4|Z)$")
_DATE = re.compile(
    r"[-_.]?(?<!\d)((?:19|20)\d\d)([-_.]?)(0[1-9]|1[0-2])\2(0[1-9]|[12]\d|3[01])"
    r"((?:[-_.T]?(?:[01]\d|2[0-3])(?:[-_.:]?[0-5]\d){0,2})?)(?!\d)"
)
_SHORT_DATE = re.compile(r"(?<=ex)(\d\d)()(0[1-9]|1[0-2])(0[1-9]|[12]\d|3[01])((?:[01]\d|2[0-3])?)(?!\d)")
"""IIS: ``u_ex150521.log``, with the hour where it begins a file every hour."""

_HOURS = re.compile(r"\.(\d\d[_:]\d\d[_:]\d\d)-\d\d[_:]\d\d[_:]\d\d(?=\.|$)")
"""Zeek: ``conn.10:00:00-11:00:00.log``."""

_OLD = re.compile(r"\.old$", re.IGNORECASE)
_FALLING = re.compile(r"(?<=\D)\.(\d{1,3})(?=$|\.[A-Za-z]+$)")
"""logrotate: ``access.log.2`` or ``access.2.log``; the higher the older."""

_RISING = re.compile(r"(?<=\.pcap)(\d+)$|_(\d{3,5})(?=[_.]|$)")
"""tcpdump: ``office.pcap2``; beside a date also dumpcap, ``office_00002_20150521100000.pcap``, and TMG."""

_ADDRESS = re.compile(r"\d{1,3}(?:\.\d{1,3}){3}(?!\d)")


class Place(NamedTuple):
    """Where a file's name puts it.

    Parameters
    ----------
    stem
        What the names of a set share.
    date
        Digits of the date in the name, and of the time behind it; empty where there is none.
    number
        What orders files of one date: higher is later.
    """

    stem: str
    date: str
    number: int

    @property
    def key(self) -> tuple[bool, str, int]:
        """What sorts a set: a file without a date is the one that is still written."""
        return not self.date, self.date, self.number


def place_of(name: str) -> Place:
    """Return what the name of a file, without its folder, says of its place in a set.

    Examples
    --------
    >>> place_of("access.log.2.gz")
    Place(stem='access', date='', number=-2)
    >>> place_of("access-20150521.log")
    Place(stem='access', date='20150521', number=0)
    """
    rest = name.lstrip(".")
    while packed := _PACKED.search(rest):
        rest = rest[: packed.start()]
    if address := _ADDRESS.match(rest):
        return Place(address[0], "", 0)
    date, number, left = "", 0, rest
    if hours := _HOURS.search(left):
        date, left = re.sub(r"\D", "", hours[1]), _without(left, hours)
    elif found := _DATE.search(left) or _SHORT_DATE.search(left):
        date, left = re.sub(r"\D", "", "".join(found.group(1, 3, 4, 5))), _without(left, found)
    if old := _OLD.search(left):
        number, left = -1, _without(left, old)
    elif falling := _FALLING.search(left):
        number, left = -int(falling[1]), _without(left, falling)
    elif (rising := _RISING.search(left)) and (date or rising[1]):
        number, left = int(rising[1] or rising[2]), _without(left, rising)
    stem = left.partition(".")[0].rstrip("-_")
    return Place(stem or rest.partition(".")[0] or name, date, number)


def _without(text: str, found: re.Match[str]) -> str:
    return text[: found.start()] + text[found.end() :]


def vantage_of(source: str) -> str:
    """Return where a file was recorded, as far as its name tells: the same for all files of a set.

    So ``access.log`` and its rotated ``access.log.1`` are one vantage, and the logs of two proxies in two folders are
    two.

    Examples
    --------
    >>> vantage_of("captures/uplink.pcap.gz"), vantage_of("zeek/2015-05-21/conn.10:00:00-11:00:00.log.gz")
    ('captures/uplink', 'zeek/conn')
    """
    folder, _, name = source.rpartition("/")
    above, _, last = folder.rpartition("/")
    folder = above if _is_date(last) else folder
    return (f"{folder}/" if folder else "") + place_of(name).stem


def _is_date(folder: str) -> bool:
    return _DATE.fullmatch(folder) is not None


def ordered(files: Sequence[EvidenceFile], first_time: Callable[[EvidenceFile], int | None]) -> list[EvidenceFile]:
    """Return evidence files with those of one set together and in order of time, where the first of them was.

    Parameters
    ----------
    files
        The files.
    first_time
        Returns the earliest time at a file's head [us], or None where it does not tell. It is asked of files of which
        there are several in a set; where it does not tell, names decide.
    """
    sets: dict[object, list[EvidenceFile]] = {}
    for file in files:
        sets.setdefault(_set_of(file), []).append(file)
    return [file for members in sets.values() for file in _in_time(members, first_time)]


def _set_of(file: EvidenceFile) -> object:
    """Return what the files of a set have in common; an open file is of no set."""
    if file.path is None:
        return id(file)
    folder = file.path.absolute().parent
    return folder.parent if _is_date(folder.name) else folder, place_of(file.path.name).stem


def _in_time(members: list[EvidenceFile], first_time: Callable[[EvidenceFile], int | None]) -> list[EvidenceFile]:
    if len(members) == 1:
        return members
    named = sorted(members, key=_key_of)
    times, latest = [], -1
    for file in named:
        time = first_time(file)
        latest = latest if time is None else time  # without a time it stays behind its neighbour
        times.append(latest)
    return [named[place] for place in sorted(range(len(named)), key=times.__getitem__)]


def _key_of(file: EvidenceFile) -> tuple[bool, str, int, str]:
    """Return what sorts a set by names; the folder's date stands before what the name says of hours."""
    assert file.path is not None  # noqa: S101  # an open file is alone in its set
    place = place_of(file.path.name)
    folder = file.path.absolute().parent.name
    if _is_date(folder):
        place = place._replace(date=re.sub(r"\D", "", folder) + place.date)
    return *place.key, file.name
