"""What the samples of detectors have in common: a small office, and Zeek's logs of what it does.

A folder here bears the name of its detector. Its ``make.py`` writes two folders of evidence, ``quiet`` (as like what is
looked for as innocent traffic can be, and nothing to be found) and ``loud``, and the truth beside them::

    python sample_pcaps/detectors/beacons/make.py
"""

from __future__ import annotations

import gzip
import json
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

JST = timezone(timedelta(hours=9))
MONDAY = datetime(2015, 5, 11, tzinfo=JST)
"""The first day of most samples."""

TERMINALS = tuple(f"10.20.1.{n}" for n in range(1, 13))

_CONN = {
    "ts": "time", "uid": "string", "id.orig_h": "addr", "id.orig_p": "port", "id.resp_h": "addr", "id.resp_p": "port",
    "proto": "enum", "service": "string", "duration": "interval", "orig_bytes": "count", "resp_bytes": "count",
    "conn_state": "string", "missed_bytes": "count", "orig_pkts": "count", "orig_ip_bytes": "count",
    "resp_pkts": "count", "resp_ip_bytes": "count",
}  # fmt: skip
_SSL = {
    "ts": "time", "uid": "string", "id.orig_h": "addr", "id.orig_p": "port", "id.resp_h": "addr", "id.resp_p": "port",
    "version": "string", "server_name": "string", "established": "bool",
}  # fmt: skip
_DNS = {
    "ts": "time", "uid": "string", "id.orig_h": "addr", "id.orig_p": "port", "id.resp_h": "addr", "id.resp_p": "port",
    "proto": "enum", "query": "string", "qtype_name": "string", "rcode_name": "string", "answers": "vector[string]",
}  # fmt: skip
_HTTP = {
    "ts": "time", "uid": "string", "id.orig_h": "addr", "id.orig_p": "port", "id.resp_h": "addr", "id.resp_p": "port",
    "method": "string", "host": "string", "uri": "string", "user_agent": "string", "request_body_len": "count",
    "response_body_len": "count", "status_code": "count",
}  # fmt: skip
FIELDS = {"conn": _CONN, "ssl": _SSL, "dns": _DNS, "http": _HTTP}


def connection(
    time: datetime, src: str, dst: str, *, sent: int, received: int, seconds: float = 1.0, port: int = 443
) -> dict[str, object]:
    """Return a row of conn.log: a TCP connection with so many payload bytes each way."""
    out, back = 3 + sent // 1400, 3 + received // 1400
    return {
        "ts": time, "id.orig_h": src, "id.resp_h": dst, "id.resp_p": port, "proto": "tcp", "service": "ssl",
        "duration": seconds, "orig_bytes": sent, "resp_bytes": received, "conn_state": "SF", "missed_bytes": 0,
        "orig_pkts": out, "orig_ip_bytes": sent + 40 * out, "resp_pkts": back, "resp_ip_bytes": received + 40 * back,
    }  # fmt: skip


def write_log(folder: Path, kind: str, rows: Iterable[Mapping[str, Any]]) -> None:
    """Write a log of Zeek as it writes it itself, in order of time; what a row does not say is unset.

    Parameters
    ----------
    folder
        Where to write ``<kind>.log.gz``.
    kind
        ``conn``, ``ssl``, ``dns`` or ``http``.
    rows
        Columns by name; ``ts`` is a time. Rows without ``uid`` and ``id.orig_p`` get some.
    """
    fields = FIELDS[kind]
    lines = ["#separator \\x09", "#set_separator\t,", "#empty_field\t(empty)", "#unset_field\t-", f"#path\t{kind}"]
    lines += ["\t".join(["#fields", *fields]), "\t".join(["#types", *fields.values()])]
    for number, row in enumerate(sorted(rows, key=lambda one: one["ts"])):
        known = {"uid": f"C{kind}{number}", "id.orig_p": 1025 + number * 7 % 60_000, **row}
        known["ts"] = f"{row['ts'].timestamp():.6f}"
        lines.append("\t".join(str(known.get(name, "-")) for name in fields))
    folder.mkdir(parents=True, exist_ok=True)
    # without a time in its head the same rows are the same file
    (folder / f"{kind}.log.gz").write_bytes(gzip.compress("\n".join([*lines, ""]).encode(), mtime=0))


def write_truth(folder: Path, found: Iterable[Mapping[str, object]]) -> None:
    """Write what a detector must find in ``loud``: for each finding ``src``, ``dst`` and whatever else is certain."""
    text = json.dumps(list(found), indent=1, sort_keys=True, default=lambda time: time.isoformat())
    (folder / "expected.json").write_text(text + "\n", "utf-8")
