"""Which files are meant by a path, a folder, a glob or an open file."""

from __future__ import annotations

import io
import os
import socket
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from forensics.errors import EvidenceError
from forensics.reading.files import EvidenceFile, find_evidence

if TYPE_CHECKING:
    from collections.abc import Callable, Collection


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder of evidence with everything that can lie in one."""
    root = tmp_path / "evidence"
    for name in ("b.pcap", "a.log", "gw2/access.log", "gw1/access.log", "gw1/squid.conf", "gw1/deep/x.log"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(name)
    (root / ".hidden").write_text("no")
    (root / ".git").mkdir()
    (root / ".git/config").write_text("no")
    return root


def names(*evidence: object, beside: Callable[[], Collection[str]] = frozenset) -> list[str]:
    """Return the names of the files that are found."""
    return [file.name for file in find_evidence(*evidence, beside=beside)]  # type: ignore[arg-type]


def test_a_folder_is_every_file_below_it(folder: Path) -> None:
    """A folder stands for all files below it in path order, hidden ones left out, each named relative to it."""
    assert names(folder) == [
        "a.log",
        "b.pcap",
        "gw1/access.log",
        "gw1/deep/x.log",
        "gw1/squid.conf",
        "gw2/access.log",
    ]


def test_companions_are_no_evidence_in_folders(folder: Path) -> None:
    """A squid.conf is left out of folders and globs, and lies beside its log; named by itself it is evidence."""
    files = {file.name: file for file in find_evidence(folder, beside=lambda: {"squid.conf"})}

    assert "gw1/squid.conf" not in files
    assert files["gw1/access.log"].companion("squid.conf") == folder / "gw1/squid.conf"
    assert files["gw2/access.log"].companion("squid.conf") is None
    assert names(f"{folder}/gw1/*", beside=lambda: {"squid.conf"}) == ["access.log", "deep/x.log"]
    assert names(folder / "gw1/squid.conf", beside=lambda: {"squid.conf"}) == ["squid.conf"]


def test_links_to_folders_are_not_followed(folder: Path) -> None:
    """A link to a folder, even to one above, is passed over; a link to a file is that file."""
    (folder / "loop").symlink_to(folder, target_is_directory=True)
    (folder / "z.log").symlink_to(folder / "a.log")
    (folder / "dangling").symlink_to(folder / "nothing")

    assert [name for name in names(folder) if name[0] in "lzd"] == []
    (folder / "a.log").rename(folder / ".away")
    (folder / "z.log").unlink()
    (folder / "z.log").symlink_to(folder / ".away")
    assert "z.log" in names(folder)


def test_pipes_devices_and_sockets_never_hang(folder: Path) -> None:
    """What is no regular file is passed over in folders and globs, and refused by itself."""
    os.mkfifo(folder / "pipe")
    (folder / "null").symlink_to(os.devnull)
    with socket.socket(socket.AF_UNIX) as listener:
        here = Path.cwd()
        os.chdir(folder)  # the path of a socket is short
        try:
            listener.bind("sock")
        finally:
            os.chdir(here)

        assert {"pipe", "null", "sock"}.isdisjoint(names(folder) + names(f"{folder}/*"))
        for name in ("pipe", "sock"):
            with pytest.raises(EvidenceError, match=r"no regular file.*hand over the file object"):
                names(folder / name)


def test_globs(folder: Path) -> None:
    """A glob gives its files in path order, named relative to its part before the first pattern."""
    assert names(f"{folder}/*/access.log") == ["gw1/access.log", "gw2/access.log"]
    assert names(f"{folder}/**/*.log") == ["a.log", "gw1/access.log", "gw1/deep/x.log", "gw2/access.log"]
    assert names(f"{folder}/gw[12]") == ["gw1/access.log", "gw1/deep/x.log", "gw1/squid.conf", "gw2/access.log"]
    assert names(f"{folder}/?.pcap") == ["b.pcap"]


def test_relative_globs(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A glob without a folder is looked for in the current one."""
    monkeypatch.chdir(folder)

    assert names("*.log") == ["a.log"]
    assert names("gw1/*.log") == ["access.log"]


def test_globs_pass_over_links_to_folders(folder: Path) -> None:
    """A link to a folder that a glob matches is no folder of evidence."""
    (folder / "gw3").symlink_to(folder / "gw1", target_is_directory=True)

    assert names(f"{folder}/gw*") == names(f"{folder}/gw[12]")


def test_an_existing_path_is_no_glob(folder: Path) -> None:
    """A file whose name holds brackets is that file."""
    (folder / "log[1].txt").write_text("x")

    assert names(str(folder / "log[1].txt")) == ["log[1].txt"]


def test_a_path_counts_once(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that is meant twice, by whatever path, is read once, under the name it was meant by first."""
    monkeypatch.chdir(folder)
    (folder / "z.log").symlink_to("a.log")

    assert names("b.pcap", folder, folder / "gw1/../b.pcap", "*.log").count("b.pcap") == 1
    assert names("z.log", "a.log") == ["z.log"]


def test_file_objects(folder: Path) -> None:
    """An open file goes by the last part of its name; one without a name is called stream."""
    with (folder / "a.log").open("rb") as stream:
        [file] = find_evidence(stream, stream)
        with file.open() as opened:
            assert opened.read() == b"a.log"
        assert not stream.closed
    assert (file.name, file.path, file.size) == ("a.log", None, None)
    assert file.companion("squid.conf") is None
    assert names(io.BytesIO(b"")) == ["stream"]


def test_files_opened_as_text_are_refused() -> None:
    """Text has lost its bytes; the message says how to open the file. Other objects are refused too."""
    with pytest.raises(TypeError, match="'rb'"):
        names(io.StringIO("x"))
    with pytest.raises(TypeError, match="int is no evidence"):
        names(7)


@pytest.mark.parametrize(
    ("name", "problem"),
    [("nothing", "no such file or folder"), ("no*thing", "no file matches this pattern"), ("empty", "holds no file")],
)
def test_nothing_there(tmp_path: Path, name: str, problem: str) -> None:
    """A missing path, a glob without matches and an empty folder are errors that name them."""
    (tmp_path / "empty").mkdir()

    with pytest.raises(EvidenceError, match=problem) as caught:
        names(tmp_path / name)

    assert caught.value.source == str(tmp_path / name)


def test_names_that_are_no_utf8(tmp_path: Path) -> None:
    """A file name in Shift-JIS is shown in a form that every table and terminal takes, and the file is found."""
    (tmp_path / os.fsdecode("記録.log".encode("cp932"))).write_bytes(b"x")

    [file] = find_evidence(tmp_path)

    assert file.name == "\\x8bL\\x98^.log"
    assert file.size == 1


def test_a_file_that_vanishes_has_no_size(tmp_path: Path) -> None:
    """The size is unknown where the file has gone since it was found."""
    assert EvidenceFile("a", tmp_path / "gone").size is None
