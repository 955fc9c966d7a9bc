"""The contents of the lab's web servers: seeded pages and pictures with heavy-tailed sizes."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

_WORDS = (
    "port", "harbour", "rain", "forecast", "price", "order", "notice", "meeting", "report", "form", "ticket",
    "school", "music", "photo", "travel", "guide", "season", "spring", "station", "timetable", "service",
)  # fmt: skip
_PAGES = 9
_LARGEST_ASSET = 220_000

Page = tuple[str, list[str]]


def write_site(folder: Path, name: str, seed: int) -> list[Page]:
    """Write one site.

    Parameters
    ----------
    folder : Path
        Document root; created.
    name : str
        Host name of the site.
    seed : int
        Seed of the whole lab.

    Returns
    -------
    list of (str, list of str)
        Path of every page and of the files it shows.
    """
    rng = random.Random(f"site {seed} {name}")
    folder.mkdir(parents=True)
    shared = [_write_asset(folder, "style.css", rng), _write_asset(folder, "site.js", rng)]
    pages: list[Page] = []
    for number in range(_PAGES):
        kinds = rng.choices(("webp", "woff2", "js"), (6, 3, 1), k=rng.randint(0, 6))
        assets = [_write_asset(folder, f"p{number}-{index}.{kind}", rng) for index, kind in enumerate(kinds)]
        page = "/index.html" if number == 0 else f"/page{number}.html"
        words = " ".join(rng.choices(_WORDS, k=int(min(rng.lognormvariate(6.3, 0.8), 6000))))
        text = f"<!doctype html><title>{name} {number}</title><body><p>{words}</p></body>\n"
        (folder / page[1:]).write_text(text, encoding="utf-8")
        pages.append((page, [*shared, *assets]))
    return pages


def _write_asset(folder: Path, file: str, rng: random.Random) -> str:
    size = int(min(rng.lognormvariate(8.3, 1.2), _LARGEST_ASSET))
    text = file.endswith(("css", "js"))
    data = " ".join(rng.choices(_WORDS, k=size // 7)).encode() if text else rng.randbytes(size)
    (folder / file).write_bytes(data)
    return f"/{file}"
