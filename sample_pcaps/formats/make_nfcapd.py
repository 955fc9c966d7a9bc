"""Record the samples of nfcapd: its own collectors read a capture of ours, and are sent our datagrams.

It needs nfdump (``apt install nfdump``). The files hold when they were recorded, so their bytes differ each time; their
flows do not.
"""

from __future__ import annotations

import socket
import subprocess
import tempfile
import time
from pathlib import Path

import make_netflow

HERE = Path(__file__).resolve().parent
FOLDER = HERE / "nfcapd"
PORT = 29_995


def recorded(folder: str) -> bytes:
    """Return the file that a collector left; the others are empty."""
    return max((path.read_bytes() for path in Path(folder).rglob("nfcapd.2*")), key=len)


def from_packets() -> bytes:
    """Return what nfpcapd makes of a capture."""
    capture = HERE / "pcap" / "normal.pcap"
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run(["nfpcapd", "-r", str(capture), "-l", folder, "-t", "3600"], check=True, capture_output=True)
        return recorded(folder)


def from_datagrams(datagrams: list[bytes], *options: str) -> bytes:
    """Return what nfcapd keeps of datagrams."""
    with tempfile.TemporaryDirectory() as folder:
        command = ["nfcapd", "-b", "127.0.0.1", "-p", str(PORT), "-l", folder, "-t", "3600", *options]
        with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as collector:
            time.sleep(1)
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as out:
                for datagram in datagrams:
                    out.sendto(datagram, ("127.0.0.1", PORT))
                    time.sleep(0.1)
            time.sleep(1)
            collector.terminate()
        return recorded(folder)


def main() -> None:
    """Write the samples."""
    FOLDER.mkdir(exist_ok=True)
    traps = [*make_netflow.old(), make_netflow.both_ways(), make_netflow.refused()[0]]
    (FOLDER / "normal.nfcapd").write_bytes(from_packets())
    (FOLDER / "datagrams.nfcapd").write_bytes(from_datagrams(make_netflow.exporters()))
    (FOLDER / "traps.nfcapd").write_bytes(from_datagrams(traps, "-y"))
    (FOLDER / "unknown.nfcapd").write_bytes(from_datagrams([make_netflow.bare()]))
    (FOLDER / "later.other").write_bytes(b"\x0c\xa5\x03\x00rest of a file of a later layout")


if __name__ == "__main__":
    main()
