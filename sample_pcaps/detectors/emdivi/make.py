"""Emdivi: a small capture and a proxy's log; in the loud ones four terminals speak as the published rule says.

What is encoded here follows the published description of the protocol, not the library's decoder.
"""

from __future__ import annotations

import base64
import gzip
import random
import sys
from datetime import datetime, timedelta
from functools import reduce
from pathlib import Path
from urllib.parse import quote

sys.path.insert(0, str(Path(__file__).parents[1]))
from office import MONDAY, TERMINALS, write_truth

from forensics.synthetic.packets import Connection, Message, converse, write_pcap

HERE = Path(__file__).parent
SITES = [f"198.18.3.{n}" for n in range(1, 9)]
POSTED, COOKIES, COMMANDS, ASKED = "203.0.113.77", "203.0.113.78", "203.0.113.79", "203.0.113.80"
T20 = b"?VER: t20.09.Sample.1.2.3 | NT: 5.1.2600.5512 [ja-JP] | MEM: 512M | GMT(+9)"
T17 = b"?VER: t17.08.Sample | NT: 6.1.7601 [ja-JP] | MEM: 2048M | GMT(+9)"

Exchange = tuple[datetime, str, str, bytes, bytes]
"""Time, client, server, request, reply."""


def hidden(name: str, plain: bytes) -> str:
    """Return a field as a sample writes it: each byte changed by all characters of the name, then as in URLs."""
    key = reduce(lambda known, character: known ^ ord(character), name, 0)
    return f"{name}={quote(bytes(byte ^ key for byte in plain), safe='')}"


def request(target: str, *, body: str = "", cookie: str = "") -> bytes:
    """Return a request; with a body it is a POST."""
    lines = [f"{'POST' if body else 'GET'} {target} HTTP/1.1", "Host: www.example", "User-Agent: Mozilla/4.0"]
    lines += [f"Cookie: {cookie}"] if cookie else []
    lines += ["Content-Type: application/x-www-form-urlencoded", f"Content-Length: {len(body)}"] if body else []
    return "\r\n".join([*lines, "", body]).encode()


def reply(status: str, body: str) -> bytes:
    """Return a reply, dated in GMT as all are."""
    head = f"HTTP/1.1 {status}\r\nDate: Mon, 11 May 2015 01:00:00 GMT\r\nContent-Length: {len(body)}\r\n\r\n"
    return (head + body).encode()


def innocent(rng: random.Random) -> list[Exchange]:
    """What is most like it: forms, cookies with dates and noise, a gadget that asks for a page that is gone."""
    page, gone = (
        reply("200 OK", "<html>" + "x" * 2000),
        reply("404 Not Found", "<p>VERSION of 1999: not found GMT(+9)</p>"),
    )
    noise = base64.b64encode(rng.randbytes(300)).decode()
    # by chance a session hides GMT under the key of its name, as one of some thousand long ones does
    chance = "".join(chr(ord(letter) ^ ord("s")) for letter in "GMT")
    asked = [
        request("/form", body="name=Sato&time=Mon+May+11+2015+10%3A00%3A00+GMT%2B0900&text=VER%3A+1+%7C+NT%3A+2"),
        request("/", cookie="PHPSESSID=0123456789abcdef; tz=GMT(+9); tt=GMT(+9)%20MEM:"),
        request("/", cookie=f"id={noise}; s={quote(chance)}{noise[:80]}"),
        request("/upload", body="data=" + quote(noise, safe="")),
    ]
    rows: list[Exchange] = []
    for _ in range(40):
        time = MONDAY + timedelta(hours=9, seconds=rng.uniform(0, 3600))
        rows.append((time, rng.choice(TERMINALS), rng.choice(SITES), rng.choice(asked), page))
    minutes = range(0, 60, 5)
    rows += [(MONDAY + timedelta(hours=9, minutes=n), TERMINALS[9], SITES[7], request("/w.xml"), gone) for n in minutes]
    return rows


def planted() -> list[Exchange]:
    """Three terminals: one posts, one hides it in cookies, one is only given commands."""
    start = MONDAY + timedelta(hours=9, minutes=7)
    fine, gone = reply("200 OK", "ok"), reply("404 Not Found", "GETFILE c:/work/list.xls")
    rows = [
        (start + timedelta(minutes=2 * n), TERMINALS[4], POSTED, request("/a.php", body=_fields(n)), fine)
        for n in range(3)
    ]
    cookie = f"{hidden('sid', b'0017')}; {hidden('rnd', T17)}"
    rows += [
        (start + timedelta(minutes=n), TERMINALS[5], COOKIES, request("/b.php", cookie=cookie), fine) for n in (1, 3)
    ]
    rows.append((start + timedelta(minutes=5), TERMINALS[5], COOKIES, request("/b.php", cookie=cookie), gone))
    rows.append((start + timedelta(minutes=9), TERMINALS[6], COMMANDS, request("/c.php"), gone))
    return rows


def _fields(number: int) -> str:
    return ";".join([hidden("pk", str(number).encode()), hidden("ver", T20)])


def write_capture(folder: Path, rows: list[Exchange]) -> None:
    """Write every exchange as a connection of its own."""
    packets = []
    for number, (when, client, server, asked, answered) in enumerate(sorted(rows, key=lambda row: row[0])):
        time = int(when.timestamp() * 1_000_000)
        ends = Connection(client, 2000 + number, server, 80, time, time + 400_000, near_client=True, rtt=20_000)
        said = [Message(time + 30_000, up=True, payload=asked), Message(time + 90_000, up=False, payload=answered)]
        packets += converse(ends, said)
    folder.mkdir(parents=True, exist_ok=True)
    plain = folder / "terminals.pcap"
    write_pcap(plain, sorted(packets), 65_535)
    (folder / "terminals.pcap.gz").write_bytes(gzip.compress(plain.read_bytes(), mtime=0))
    plain.unlink()


def write_log(folder: Path, queries: list[str]) -> None:
    """Write a Squid log of a terminal that asks a server for these."""
    start = (MONDAY + timedelta(hours=11)).timestamp()
    lines = [
        f"{start + 60 * n:.3f}    120 {TERMINALS[7]} TCP_MISS/200 900 GET http://www.kaiun.example/d.php?{query} - "
        f"HIER_DIRECT/{ASKED} text/html"
        for n, query in enumerate(queries)
    ]
    (folder / "access.log.gz").write_bytes(gzip.compress("\n".join([*lines, ""]).encode(), mtime=0))


def main() -> None:
    """Write both cases and the truth."""
    rng = random.Random(17)
    quiet, usual = innocent(rng), [f"q={n}&date=Mon,%2011%20May%202015%2001:00:00%20GMT&tt=GMT(+9)" for n in range(20)]
    for folder, rows, queries in (("quiet", quiet, usual), ("loud", quiet + planted(), [*usual, hidden("page", T20)])):
        write_capture(HERE / folder, rows)
        write_log(HERE / folder, queries)
    write_truth(
        HERE,
        [
            {"src": TERMINALS[4], "dst": POSTED, "value": 3.0, "score": 1.0},
            {"src": TERMINALS[5], "dst": COOKIES, "value": 3.0, "score": 1.0},
            {"src": TERMINALS[6], "dst": COMMANDS, "value": 1.0, "score": 0.5},
            {"src": TERMINALS[7], "dst": ASKED, "value": 1.0, "score": 1.0},
        ],
    )


if __name__ == "__main__":
    main()
