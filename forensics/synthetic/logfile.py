"""Text logs, compressed without a time stamp so that the same text makes the same bytes."""

from __future__ import annotations

import gzip
from typing import TYPE_CHECKING, Any, Self

from . import catalog
from .gadgets import AGENT, browser_asks

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path
    from types import TracebackType

    from .cast import Cast
    from .transactions import Rows

_BLOCK = 65_536  # rows formatted at a time, which bounds the memory of their texts


class GzipLog:
    """A compressed log being written."""

    def __init__(self, path: Path, compression: int) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._raw = path.open("wb")
        self._file = gzip.GzipFile(filename="", mode="wb", compresslevel=compression, fileobj=self._raw, mtime=0)

    def write(self, text: str) -> None:
        """Append text."""
        self._file.write(text.encode("ascii"))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()
        self._raw.close()


def blocks(rows: Rows) -> Iterable[Rows]:
    """The rows in bounded pieces."""
    return (rows[first : first + _BLOCK] for first in range(0, len(rows), _BLOCK))


def fill(template: str, columns: Sequence[Sequence[Any]]) -> str:
    """One line per row; ``%`` over zipped columns is the fastest formatting the interpreter has."""
    return "".join(map(template.__mod__, zip(*columns, strict=True)))


def take(values: Sequence[str], places: Any) -> list[str]:  # noqa: ANN401 - a field of a structured array
    """The texts at these places."""
    return [values[place] for place in places.tolist()]


def paths(rows: Rows) -> list[str]:
    """Path of every row's URL."""
    templates = [template for template, _ in catalog.PAGES]
    return [
        templates[page] % number for page, number in zip(rows["page"].tolist(), rows["number"].tolist(), strict=True)
    ]


def agents(cast: Cast, rows: Rows) -> list[str]:
    """User agent of every row: the service's own program, or the terminal's browser."""
    own = {cast.service[name]: agent for name, agent in catalog.SERVICE_AGENTS.items()}
    browsed = browser_asks(cast)
    own |= {cast.first_gadget + n: AGENT % n for n, asked in enumerate(browsed) if not asked}
    browsers = [catalog.AGENTS[agent] for agent in cast.agents]
    pairs = zip(rows["server"].tolist(), rows["client"].tolist(), strict=True)
    return [own.get(server) or browsers[client] for server, client in pairs]
