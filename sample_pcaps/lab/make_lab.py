"""Make the lab sample: a small office, an internet with hacked servers, real programs, real captures.

Run as root on Debian::

    python3 sample_pcaps/lab/make_lab.py

It takes about 22 minutes. Everything happens inside network namespaces called ``fxlab-*`` without a way out;
they are removed at the end, also after an error or Ctrl-C. The outcome is written beside this file.
"""

from __future__ import annotations

import argparse
import gzip
import json
import lzma
import os
import shutil
import signal
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import lab_network
import lab_services
from lab_plan import (
    BEACON_PATHS,
    CA_FILE,
    CAPTURES,
    HOSTS,
    INTERNET,
    OPERATOR_PORT,
    POLLING,
    PREFIX,
    PROXY,
    RECORDS,
    RELAYS,
    SITES,
    TERMINALS,
    UPLOAD_PATH,
    WORK,
    Host,
    plan_agents,
)
from lab_sites import write_site
from lab_truth import Run, write_truth

if TYPE_CHECKING:
    from types import FrameType

HERE = Path(__file__).resolve().parent
_PACKAGES = {
    "ip": "iproute2", "tc": "iproute2", "sysctl": "procps", "ethtool": "ethtool", "tcpdump": "tcpdump",
    "squid": "squid", "nginx": "nginx-light", "dnsmasq": "dnsmasq-base", "socat": "socat",
    "openssl": "openssl",
    "ssh": "openssh-client", "ssh-keygen": "openssh-client", "/usr/sbin/sshd": "openssh-server",
}  # fmt: skip
_LEAST_MINUTES = 4


def _check_machine() -> None:
    """Exit with a clear message if the lab cannot run here."""
    if os.geteuid() != 0:
        sys.exit("make_lab.py builds network namespaces and must run as root")
    missing = {program: package for program, package in _PACKAGES.items() if not shutil.which(program)}
    if missing:
        sys.exit(f"missing: {', '.join(missing)}; apt-get install {' '.join(sorted(set(missing.values())))}")


def _write_contents(seed: int) -> dict[str, Any]:
    """Write all web sites; returns what a browsing terminal must know about them."""
    pages = {}
    for host in INTERNET:
        for name in host.names:
            pages[name] = write_site(host.folder / name, name, seed)
    return {name: {"tls": tls, "weight": weight, "pages": pages[name]} for name, tls, weight in SITES}


def _start_python(programs: lab_services.Programs, name: str, host: Host, spec: dict[str, Any]) -> None:
    """Start one of the lab's own programs; ``name`` is ``<program>-<host>``."""
    path = host.folder / f"{name}.json"
    path.write_text(json.dumps({**spec, "records": str(RECORDS / f"{name}.jsonl")}), encoding="utf-8")
    script = HERE / f"lab_{name.partition('-')[0]}.py"
    programs.start(name, host, sys.executable, "-B", str(script), str(path))


def _start_services(programs: lab_services.Programs, seed: int) -> None:
    """Start the wide-area router, then everything that serves."""
    wan = (sys.executable, "-B", str(HERE / "lab_wan.py"), str(WORK / "wan.json"))
    programs.start_in("wan", PREFIX + "wan", *wan)
    lab_services.start_captures(programs)
    lab_services.start_names(programs)
    for host in INTERNET:
        if host.role in {"web", "relay"}:
            lab_services.start_nginx(programs, host)
        if answers := lab_services.relay_answers(host):
            _start_python(programs, f"relay-{host.key}", host, {"seed": seed, "answers": answers})
    folder = HOSTS["operator"].folder
    certificate = {"certificate": f"{folder}/tls.pem", "key": f"{folder}/tls.key"}
    _start_python(programs, "operator-op", HOSTS["operator"], {"seed": seed, "port": OPERATOR_PORT, **certificate})
    lab_services.start_squid(programs)
    lab_services.start_chain(programs)


def _start_visitors(programs: lab_services.Programs, common: dict[str, Any]) -> None:
    """Start the traffic the servers make themselves."""
    for number, host in enumerate(RELAYS):
        scheme = "https" if number % 2 else "http"
        urls = [f"{scheme}://updates.example/{page}" for page in ("v2/check", "index.html", "page3.html")]
        _start_python(
            programs, f"visitor-{host.key}", host, {**common, "src": host.address, "urls": urls, "mean_s": 70}
        )
    urls = [f"http://{host.names[0]}/{page}" for host in RELAYS for page in ("index.html", "page1.html", "page2.html")]
    spec = {**common, "src": HOSTS["web14"].address, "urls": urls, "mean_s": 12}
    _start_python(programs, "visitor-crawler", HOSTS["web14"], spec)


def _start_terminals(
    programs: lab_services.Programs, common: dict[str, Any], sites: dict[str, Any], minutes: int
) -> None:
    """Start the people, and the agents on the infected terminals."""
    plans = plan_agents(minutes)
    targets = {host.key: (host.names[0], BEACON_PATHS.get(host.key, UPLOAD_PATH)) for host in RELAYS}
    for host in TERMINALS:
        spec = {**common, "src": host.address, "proxy": PROXY, "user_agent": "Mozilla/5.0 (Windows NT 10.0) Lab/1.0"}
        _start_python(programs, f"terminal-{host.key}", host, {**spec, "sites": sites, "polling": POLLING})
        if host.infected:
            orders = {**spec, "plan": plans[host.key].to_json(), "targets": targets}
            _start_python(programs, f"agent-{host.key}", host, orders)


def _run_story(programs: lab_services.Programs, seed: int, minutes: int) -> dict[str, int]:
    """Run the lab from its first packet to its last; returns tcpdump's packet count per capture."""
    for folder in (RECORDS, *(host.folder for host in HOSTS.values())):
        folder.mkdir()
    lab_services.make_certificates()
    sites = _write_contents(seed)
    _start_services(programs, seed)
    time.sleep(2)
    programs.check()
    # The story starts on a whole minute, so that its minutes are those of the clock.
    t0 = (time.time() // 60 + 1) * 60
    common = {"seed": seed, "t0": t0, "until": t0 + 60 * minutes, "ca": str(CA_FILE)}
    _start_visitors(programs, common)
    _start_terminals(programs, common, sites, minutes)
    ending = [f"terminal-{host.key}" for host in TERMINALS] + [
        f"agent-{host.key}" for host in TERMINALS if host.infected
    ]
    ending += [f"visitor-{host.key}" for host in RELAYS] + ["visitor-crawler"]
    while time.time() < t0 + 60 * minutes - 5:
        programs.check()
        time.sleep(3)
    for name in ending:
        programs.wait(name, 90)
    time.sleep(3)
    programs.stop("squid", signal.SIGTERM)
    programs.stop("ssh", signal.SIGTERM)
    time.sleep(1)
    return lab_services.stop_captures(programs)


def _keep_files(out: Path) -> None:
    """Compress the captures, and keep them, the log and its configuration."""
    for capture in CAPTURES:
        data = (WORK / capture.file).read_bytes()
        if capture.compression == ".gz":
            data = gzip.compress(data, 9, mtime=0)
        elif capture.compression == ".xz":
            data = lzma.compress(data)
        (out / (capture.file + capture.compression)).write_bytes(data)
    for file in ("access.log", "squid.conf"):
        shutil.copyfile(HOSTS["proxy"].folder / file, out / file)


def _stop_on_signal(number: int, _frame: FrameType | None) -> None:
    sys.exit(f"stopped by {signal.Signals(number).name}")


def main() -> None:
    """Run the lab and write its sample."""
    parser = argparse.ArgumentParser(description="Make the lab sample.")
    parser.add_argument("--minutes", type=int, default=19, help=f"length of the story, {_LEAST_MINUTES} or more")
    parser.add_argument("--seed", type=int, default=20150508)
    parser.add_argument("--out", type=Path, default=HERE, help="folder the sample is written to")
    parser.add_argument("--remove", action="store_true", help="only remove what a killed run has left")
    options = parser.parse_args()
    if options.minutes < _LEAST_MINUTES:
        parser.error(f"--minutes must be {_LEAST_MINUTES} or more")
    _check_machine()
    if options.remove:
        lab_network.remove()
        return
    try:
        lab_network.refuse_second_lab()
        _make(options.out, options.seed, options.minutes)
    except RuntimeError as error:
        sys.exit(f"make_lab.py: {error}")


def _make(out: Path, seed: int, minutes: int) -> None:
    """Build the lab, run its story, write the sample, and remove the lab whatever happens."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _stop_on_signal)
    programs = lab_services.Programs()
    made = datetime.now(UTC).date().isoformat()
    try:
        lab_network.build()
        packets = _run_story(programs, seed, minutes)
        out.mkdir(parents=True, exist_ok=True)
        _keep_files(out)
        logs = programs.output("socat"), programs.output("sshd")
        write_truth(out, Run(seed, made, packets, *logs))
    finally:
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_IGN)  # an impatient second Ctrl-C must not leave half a lab behind
        programs.stop_all()
        lab_network.remove()


if __name__ == "__main__":
    main()
