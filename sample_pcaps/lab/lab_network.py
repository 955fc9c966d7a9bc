"""Build and remove the lab's network: apart from the host's own network."""

from __future__ import annotations

import ipaddress
import json
import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

from lab_plan import DNS_SERVER, HOSTS, INTERNET, OFFICE, PREFIX, PROXY, ROUTER_OUTSIDE, ROUTER_OUTSIDE6, WORK, Host
from lab_wan import GATEWAY_MAC

_SWITCH, _WAN = PREFIX + "switch", PREFIX + "wan"
_RESOLVER_FOLDER = Path("/etc/netns")
_SETTINGS = (
    "net.ipv4.tcp_congestion_control=reno",  # the one every kernel allows in a namespace
    "net.ipv6.conf.all.accept_ra=0",
    "net.ipv6.conf.default.accept_ra=0",
    "net.ipv6.conf.default.accept_dad=0",
)


def run(*command: str) -> str:
    """Run a command to its end and return its output; a failure raises with what the command said."""
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        message = f"{' '.join(command)} failed ({done.returncode}): {done.stderr.strip()}"
        raise RuntimeError(message)
    return done.stdout


def mac_of(address: str) -> str:
    """Return a locally administered MAC address made of an IPv4 address."""
    return "02:00:" + ipaddress.IPv4Address(address).packed.hex(":")


def namespaces() -> list[str]:
    """Return the lab's namespaces that exist now."""
    lines = run("ip", "netns", "list").splitlines()
    return [name for name in (line.split()[0] for line in lines if line) if name.startswith(PREFIX)]


def refuse_second_lab() -> None:
    """Raise RuntimeError if some of the lab is there already."""
    if namespaces() or WORK.exists():
        message = f"another lab runs, or one was killed and 'make_lab.py --remove' clears it ({PREFIX}*, {WORK})"
        raise RuntimeError(message)


def build() -> None:
    """Create all namespaces and connect them."""
    WORK.mkdir(mode=0o755)
    for name in (_SWITCH, _WAN, *(host.namespace for host in HOSTS.values())):
        _add_namespace(name)
    run("ip", "-n", _SWITCH, "link", "add", "br0", "type", "bridge")
    run("ip", "-n", _SWITCH, "link", "set", "br0", "up")
    for host in OFFICE:
        _connect_office(host)
    for host in INTERNET:
        _connect_internet(host, host.address, host.address6, "eth0")
    _set_up_router()
    _write_wan_file()


def _add_namespace(name: str) -> None:
    run("ip", "netns", "add", name)
    run("ip", "netns", "exec", name, "sysctl", "-qw", *_SETTINGS)
    if name in (_SWITCH, _WAN):
        run("ip", "netns", "exec", name, "sysctl", "-qw", "net.ipv6.conf.default.disable_ipv6=1")
    run("ip", "-n", name, "link", "set", "lo", "up")
    folder = _RESOLVER_FOLDER / name
    folder.mkdir(parents=True)
    (folder / "resolv.conf").write_text(f"nameserver {DNS_SERVER}\n")


def _add_link(host: Host, interface: str, mac: str, far: str, *, ipv6: bool) -> None:
    """Connect a host to another namespace, where the link has the host's key as its name."""
    namespace, far_interface = host.namespace, host.key
    # Both ends are made inside the namespaces: the host's own network never sees them.
    end = ("type", "veth", "peer", "name", far_interface, "netns", far)
    run("ip", "link", "add", interface, "address", mac, "netns", namespace, *end)
    for where, name in ((namespace, interface), (far, far_interface)):
        # Frames must have the size they have on a wire, and finished checksums.
        offloads = ("tso", "off", "gso", "off", "gro", "off", "tx", "off")
        run("ip", "netns", "exec", where, "ethtool", "-K", name, *offloads)
        run("ip", "-n", where, "link", "set", name, "addrgenmode", "none")
    if not ipv6:
        run("ip", "netns", "exec", namespace, "sysctl", "-qw", f"net.ipv6.conf.{interface}.disable_ipv6=1")
    run("ip", "-n", namespace, "link", "set", interface, "up")
    run("ip", "-n", far, "link", "set", far_interface, "up")


def _connect_office(host: Host) -> None:
    interface = "lan" if host.key == "router" else "eth0"
    _add_link(host, interface, mac_of(host.address), _SWITCH, ipv6=bool(host.address6))
    run("ip", "-n", _SWITCH, "link", "set", host.key, "master", "br0")
    run("ip", "-n", host.namespace, "addr", "add", f"{host.address}/24", "dev", interface)
    if host.address6:
        run("ip", "-n", host.namespace, "addr", "add", f"{host.address6}/64", "dev", interface, "nodad")
    if host.key != "router":
        run("ip", "-n", host.namespace, "route", "add", "default", "via", HOSTS["router"].address)
    if host.key == "proxy":
        run("ip", "-n", host.namespace, "-6", "route", "add", "default", "via", HOSTS["router"].address6)


def _connect_internet(host: Host, address: str, address6: str, interface: str) -> None:
    """Give a host one address and a fixed gateway: every packet goes to the user-space router."""
    name = host.namespace
    _add_link(host, interface, mac_of(address), _WAN, ipv6=bool(address6))
    near = address.rsplit(".", 1)[0] + ".1"
    for local, gateway, length in ((address, near, "32"), (address6, "2001:db8:51::1", "128")):
        if not local:
            continue
        family = "-6" if ":" in local else "-4"
        run("ip", "-n", name, "addr", "add", f"{local}/{length}", "dev", interface)
        neighbour = (gateway, "lladdr", GATEWAY_MAC, "dev", interface, "nud", "permanent")
        run("ip", "-n", name, "neigh", "replace", *neighbour)
        run("ip", "-n", name, family, "route", "add", gateway, "dev", interface)
        run("ip", "-n", name, family, "route", "add", "default", "via", gateway, "dev", interface)


def _set_up_router() -> None:
    router = HOSTS["router"]
    name = router.namespace
    _connect_internet(router, ROUTER_OUTSIDE, ROUTER_OUTSIDE6, "wan")
    for setting in ("net.ipv4.ip_forward=1", "net.ipv6.conf.all.forwarding=1"):
        run("ip", "netns", "exec", name, "sysctl", "-qw", setting)
    # Without link-local addresses the kernel cannot ask for an IPv6 neighbour: the two that need it know each other.
    proxy = HOSTS["proxy"]
    for near, far, interface in ((router, proxy, "lan"), (proxy, router, "eth0")):
        neighbour = (far.address6, "lladdr", mac_of(far.address), "dev", interface, "nud", "permanent")
        run("ip", "-n", near.namespace, "neigh", "replace", *neighbour)
    # The office rule "only the proxy gets out", without a packet filter.
    run("ip", "-n", name, "rule", "add", "pref", "100", "iif", "lan", "from", PROXY[0], "lookup", "main")
    run("ip", "-n", name, "rule", "add", "pref", "101", "iif", "lan", "prohibit")
    shape = ("root", "tbf", "rate", "40mbit", "burst", "32kb", "latency", "150ms")
    run("tc", "-n", name, "qdisc", "add", "dev", "wan", *shape)
    run("tc", "-n", _WAN, "qdisc", "add", "dev", "router", *shape)


def _write_wan_file() -> None:
    entries = []
    for host in (HOSTS["router"], *INTERNET):
        address, address6 = host.address, host.address6
        prefixes = [ipaddress.ip_address(text).packed for text in (address, address6) if text]
        if host.key == "router":
            # The office is behind the router: its whole prefixes, and the outside addresses.
            outside = [ipaddress.ip_address(text).packed for text in (ROUTER_OUTSIDE, ROUTER_OUTSIDE6)]
            prefixes = [prefixes[0][:3], prefixes[1][:8], *outside]
            address = ROUTER_OUTSIDE
        hexes = [prefix.hex() for prefix in prefixes]
        entries.append({
            "interface": host.key, "mac": mac_of(address), "delay_ms": host.delay_ms, "prefixes": hexes,
        })  # fmt: skip
    (WORK / "wan.json").write_text(json.dumps(entries))


def remove() -> None:
    """End whatever still runs inside the lab's namespaces and remove them and their files."""
    for name in namespaces():
        _end_processes(name)
        run("ip", "netns", "delete", name)
    for folder in _RESOLVER_FOLDER.glob(PREFIX + "*"):
        shutil.rmtree(folder)
    shutil.rmtree(WORK, ignore_errors=True)


def _end_processes(namespace: str) -> None:
    for how in (signal.SIGTERM, signal.SIGKILL):
        pids = [int(pid) for pid in run("ip", "netns", "pids", namespace).split()]
        for pid in pids:
            try:
                os.kill(pid, how)
            except ProcessLookupError:
                continue
        if pids:
            time.sleep(0.3)
