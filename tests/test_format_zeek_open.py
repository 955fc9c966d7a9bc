"""Zeek's logs of open connections: cumulative totals are never added."""

from __future__ import annotations

import gzip
from typing import TYPE_CHECKING

import pytest

import forensics as fx

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

FIELDS = ("ts", "uid", "id.orig_h", "id.orig_p", "id.resp_h", "id.resp_p", "proto", "duration", "orig_ip_bytes")


def log(path: str, *rows: tuple[str, float, int]) -> bytes:
    """Return a log of connections: uid, duration, bytes."""
    head = "#separator \\x09\n#set_separator\t,\n#empty_field\t(empty)\n#unset_field\t-\n"
    lines = [
        f"1433122200.5\t{uid}\t192.0.2.1\t{1024 + ord(uid[-1])}\t203.0.113.1\t443\ttcp\t{duration:.6f}\t{size}"
        for uid, duration, size in rows
    ]
    return "\n".join([f"{head}#path\t{path}", "#fields\t" + "\t".join(FIELDS), *lines, ""]).encode()


def flows(folder: Path, files: dict[str, bytes], order: Sequence[str] = ()) -> list[tuple[int, str]]:
    """Return bytes and state of the flows of a folder of logs."""
    for name, data in files.items():
        (folder / name).write_bytes(gzip.compress(data) if name.endswith(".gz") else data)
    case = fx.read(*(folder / name for name in order)) if order else fx.read(folder)
    return sorted(
        (row[0], row[1])
        for row in case.sql("select bytes_out, coalesce(state, '') as state from flows").to_pandas().to_numpy()
    )


@pytest.mark.parametrize("path", ["open_conn", "conn_long"])
def test_the_longest_row_of_a_connection_stands(tmp_path: Path, path: str) -> None:
    """Of rows that say more and more of a connection the last one is its flow."""
    rows = log(path, ("Ca", 10, 100), ("Cb", 5, 7), ("Ca", 30, 300), ("Ca", 20, 200))

    assert flows(tmp_path, {f"{path}.log": rows}) == [(7, "OPEN"), (300, "OPEN")]


def test_an_open_log_with_the_path_of_conn(tmp_path: Path) -> None:
    """Some exports keep the path: the file's name tells."""
    assert flows(tmp_path, {"open_conn.log": log("conn", ("Ca", 1, 1), ("Ca", 2, 2))}) == [(2, "OPEN")]


@pytest.mark.parametrize("closed", ["conn.log", "conn.10_00_00-11_00_00.log.gz"])
@pytest.mark.parametrize("read_alone", [False, True])
def test_a_connection_that_was_closed_counts_once(tmp_path: Path, closed: str, *, read_alone: bool) -> None:
    """Where conn.log has it, the rows of open_conn say nothing more, whichever of the two is read."""
    files = {
        "open_conn.09_00_00-10_00_00.log.gz": log("conn", ("Ca", 10, 100), ("Cb", 5, 7)),
        "open_conn.10_00_00-11_00_00.log.gz": log("conn", ("Ca", 20, 200), ("Cb", 9, 70), ("Cc", 1, 1)),
        closed: log("conn", ("Ca", 25, 250)),
    }
    both = flows(tmp_path, files, tuple(files)[:2] if read_alone else ())

    assert [size for size, _ in both] == ([1, 70] if read_alone else [1, 70, 250])


def test_open_and_closed_in_one_file(tmp_path: Path) -> None:
    """A stream of all logs in one file, as some shippers write it."""
    rows = log("open_conn", ("Ca", 10, 100), ("Cb", 5, 7)) + log("conn", ("Ca", 25, 250))

    assert flows(tmp_path, {"all.log": rows}) == [(7, "OPEN"), (250, "")]


def test_real_open_connections(corpus: Path) -> None:
    """Of RITA's logs of open connections: no connection is there twice, none that conn.log has."""
    folder = corpus / "zeek-logs" / "open_conns"
    case = fx.read(folder / "open" / "open_conn.log", folder / "open" / "conn.log")
    # conn.log itself has one line twice: that is for what finds copies
    twice = """select src, src_port, dst, dst_port, start, count(*) from flows
    group by src, src_port, dst, dst_port, start
    having count(*) > 1 and bool_or(state = 'OPEN')"""

    assert case.sql("select count(*) as n from flows where state = 'OPEN'").to_pandas()["n"][0] > 0
    assert len(case.sql(twice).to_pandas()) == 0
