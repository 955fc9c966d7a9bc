"""The plan of the lab: who is there, under which address and name, and what happens when."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from pathlib import Path

PREFIX = "fxlab-"
WORK = Path("/run/fxlab")
RECORDS = WORK / "records"
CA_FILE = WORK / "ca.pem"

OFFICE_PREFIX = "192.0.2.0/24"
OFFICE_PREFIX6 = "2001:db8:2::/64"
PROXY = ("192.0.2.2", 3128)
ROUTER_OUTSIDE = "198.51.100.250"
ROUTER_OUTSIDE6 = "2001:db8:51::250"
DNS_SERVER = "198.51.100.53"
RELAY_PORT = 443
TUNNEL_PORT = 8443
OPERATOR_PORT = 9000
BEACON_PATHS = {"relay4": "/img/banner.php", "relay5": "/news/index.php"}
UPLOAD_PATH = "/wp-content/gallery/save.php"


@dataclass(frozen=True)
class Host:
    """One machine of the lab, which is one network namespace.

    Parameters
    ----------
    key : str
        Short name; the namespace is called ``fxlab-<key>``.
    address : str
        IPv4 address.
    role : str
        Role in the story, as written to ``truth.json``.
    names : tuple of str
        Host names the lab's DNS server holds for it.
    address6 : str, optional
        IPv6 address, for the few hosts that have one.
    infected : bool, optional
        Whether the stand-in agent runs on it.
    delay_ms : float, optional
        One-way delay of its link to the lab's internet [ms].
    """

    key: str
    address: str
    role: str
    names: tuple[str, ...] = ()
    address6: str = ""
    infected: bool = False
    delay_ms: float = 0.0

    @property
    def namespace(self) -> str:
        """Name of the network namespace."""
        return PREFIX + self.key

    @property
    def published(self) -> str:
        """The address the DNS server tells: of two, Squid takes the one it hears first, and that is always IPv4."""
        return self.address6 or self.address

    @property
    def folder(self) -> Path:
        """Folder of the host's own files while the lab runs."""
        return WORK / self.key


OFFICE = (
    Host("t11", "192.0.2.11", "terminal", infected=True),
    Host("t12", "192.0.2.12", "terminal", infected=True),
    Host("t13", "192.0.2.13", "terminal"),
    Host("proxy", PROXY[0], "proxy", ("proxy.office.example",), "2001:db8:2::2"),
    Host("router", "192.0.2.1", "router", ("router.office.example",), "2001:db8:2::1", delay_ms=3.0),
)
INTERNET = (
    Host("dns", DNS_SERVER, "dns", ("dns.example",), delay_ms=2.0),
    Host("web11", "198.51.100.11", "web", ("news.example",), delay_ms=4.0),
    Host("web12", "198.51.100.12", "web", ("shop.example",), "2001:db8:51::12", delay_ms=6.0),
    Host("web13", "198.51.100.13", "web", ("weather.example", "www.example.com"), delay_ms=9.0),
    Host("web14", "198.51.100.14", "web", ("docs.example", "search.example"), delay_ms=14.0),
    Host("web15", "198.51.100.15", "web", ("updates.example",), delay_ms=5.0),
    Host("web16", "198.51.100.16", "web", ("mail.example",), delay_ms=3.0),
    Host("relay1", "203.0.113.21", "relay", ("travel-hakata.example",), delay_ms=8.0),
    Host("relay2", "203.0.113.77", "relay", ("kita-photo.example",), delay_ms=34.0),
    Host("relay3", "203.0.113.130", "relay", ("shipping-minato.example",), delay_ms=7.0),
    Host("relay4", "203.0.113.190", "relay", ("garden-supply.example",), delay_ms=48.0),
    Host("relay5", "198.51.100.177", "relay", ("music-school.example",), delay_ms=17.0),
    Host("operator", "203.0.113.240", "operator", delay_ms=61.0),
)
HOSTS = {host.key: host for host in (*OFFICE, *INTERNET)}
TERMINALS = tuple(host for host in OFFICE if host.role == "terminal")
RELAYS = tuple(host for host in INTERNET if host.role == "relay")

# What people read: name, whether the site is read over HTTPS, and how often it is chosen.
SITES: tuple[tuple[str, bool, float], ...] = (
    ("news.example", False, 0.24),
    ("shop.example", True, 0.20),
    ("weather.example", False, 0.14),
    ("docs.example", True, 0.18),
    ("www.example.com", False, 0.06),
    *((relay.names[0], False, 0.036) for relay in RELAYS),
)


@dataclass(frozen=True)
class Capture:
    """One tcpdump: where it listens and how."""

    file: str
    host: str
    interface: str
    vantage: str
    snaplen: int
    precision: str
    compression: str


CAPTURES = (
    Capture("terminal-11.pcap", "t11", "eth0", "terminal 192.0.2.11", 262144, "us", ".gz"),
    Capture("uplink.pcap", "router", "wan", "office uplink", 700, "us", ".xz"),
    Capture("relay-1.pcap", "relay1", "eth0", "relay 203.0.113.21", 262144, "ns", ".gz"),
    Capture("relay-2.pcap", "relay2", "eth0", "relay 203.0.113.77", 256, "ns", ""),
)


@dataclass(frozen=True)
class Beacon:
    """A regular small request of the agent: to which relay, how often."""

    relay: str
    period_s: float
    jitter: float
    method: str


@dataclass
class AgentPlan:
    """What the agent of one infected terminal does, in seconds after the start."""

    beacons: list[Beacon] = field(default_factory=list)
    uploads: list[tuple[float, int]] = field(default_factory=list)
    sessions: list[tuple[float, float]] = field(default_factory=list)

    def to_json(self) -> dict[str, object]:
        """Return the plan as plain values, for the agent's program."""
        return asdict(self)


def plan_agents(minutes: int) -> dict[str, AgentPlan]:
    """Lay the story over a run of the given length.

    Parameters
    ----------
    minutes : int
        Length of the run [min], at least 4.

    Returns
    -------
    dict of str to AgentPlan
        Plan per infected terminal's key. Uploads start in three separate minutes and, in a run of 19 minutes,
        not before the ninth, so that a quiet baseline precedes them.
    """
    scale = minutes / 19
    first = max(1, round(9 * scale))
    step = max(1, round(3 * scale))
    upload_s = [60.0 * (first + step * index) + offset for index, offset in enumerate((14.0, 9.0, 17.0))]
    long, short = 135.0 * scale, 110.0 * scale
    t11 = AgentPlan(
        beacons=[Beacon("relay4", 30.0, 0.2, "GET")],
        uploads=[(upload_s[0], 6_300_000), (upload_s[2], 7_600_000)],
        sessions=[(60.0 * 4.4 * scale, long), (60.0 * 11.2 * scale, short)],
    )
    t12 = AgentPlan(
        beacons=[Beacon("relay4", 36.0, 0.2, "GET"), Beacon("relay5", 45.0, 0.3, "POST")],
        uploads=[(upload_s[1], 4_700_000)],
        # It overlaps the second session of the other terminal: two chains are open at once.
        sessions=[(60.0 * 10.4 * scale, long)],
    )
    return {"t11": t11, "t12": t12}


# The innocent look-alike, as regular as a beacon, from every terminal: name, HTTPS, path, period [s], jitter.
POLLING: tuple[tuple[str, bool, str, float, float], ...] = (
    ("updates.example", False, "/v2/check?product=office&build=4417", 60.0, 0.05),
    ("mail.example", True, "/api/inbox/count", 40.0, 0.1),
)
