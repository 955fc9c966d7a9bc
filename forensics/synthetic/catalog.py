"""The fixed vocabulary of the synthetic office: pages, user agents, polling services, words for names."""

from __future__ import annotations

from dataclasses import dataclass

GET, POST, CONNECT = range(3)
VERBS = ("GET", "POST", "CONNECT")

# Every path holds one number, so that a whole column of URLs is one formatting step.
PAGES = (
    ("/article/%d.html", "text/html"),
    ("/index.php?id=%d", "text/html"),
    ("/banner/%d.swf", "application/x-shockwave-flash"),
    ("/static/%d.js", "application/javascript"),
    ("/css/%d.css", "text/css"),
    ("/api/v1/items/%d", "application/json"),
    ("/company/page%d.html", "text/html"),
    ("/check?v=%d", "application/json"),
    ("/content/kb%d.cab", "application/octet-stream"),
    ("/upload/%d", "text/html"),
    ("/includes/db%d.php", "text/html"),
    ("/images/album%d.php", "text/html"),
)
BROWSED = 6  # the first pages are what browsing asks for
SITE_PAGE, POLL_PAGE, UPDATE_PAGE, SHARE_PAGE, BEACON_PAGE, DROP_PAGE = range(6, 12)

AGENTS = (
    "Mozilla/5.0 (Windows NT 6.1; WOW64; Trident/7.0; rv:11.0) like Gecko",
    "Mozilla/5.0 (Windows NT 6.1; WOW64; rv:37.0) Gecko/20100101 Firefox/37.0",
    "Mozilla/5.0 (Windows NT 6.1) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/42.0.2311.135 Safari/537.36",
)


@dataclass(frozen=True)
class Poller:
    """An innocent service that terminals ask at regular intervals."""

    name: str
    agent: str
    verb: int
    share: float  # of the terminals [1]; at least ``fewest`` take part
    fewest: int
    period_s: float
    jitter: float
    hours: tuple[float, float]  # of the day; terminals are switched on after the first and off after the second [h]
    sent: int  # [B]
    received: int  # [B]
    status: int = 200


_OFFICE, _ALWAYS = (8.75, 18.0), (0.0, 24.0)
POLLERS = (
    Poller("telemetry.vendor.example", "Telemetry/6.1", POST, 1.0, 1, 3600, 0.05, _OFFICE, 2600, 420),
    Poller("cloud.antivirus.example", "AVCloud/11", GET, 1.0, 1, 3600, 0.02, _OFFICE, 560, 800),
    Poller("push.webmail.example", "MailNotifier/2.0", CONNECT, 0.2, 1, 1200, 0.01, _OFFICE, 1500, 5200),
    Poller("sync.chat.test", "ChatClient/3.2", POST, 0.05, 1, 300, 0.10, _OFFICE, 900, 700),
    Poller("quotes.ticker.test", "Ticker/1.4", GET, 0.0, 1, 150, 0.03, _OFFICE, 540, 1900),
    Poller("meter.building.example", "Meter/0.9", POST, 0.0, 1, 600, 0.005, _ALWAYS, 1100, 310),
    # Its maker went out of business; the client still asks, and is told 404 as the beacons are.
    Poller("gadget.weather.test", "WeatherGadget/1.0", GET, 0.0, 2, 240, 0.12, _OFFICE, 520, 680, 404),
)
UPDATES = "download.update.example"
BACKUP = "vault.backup.example"
SHARING = ("up.fileshare.test", "attach.webmail.example", "transfer.print-shop.example")
SERVICE_AGENTS = {UPDATES: "UpdateAgent/7.9", BACKUP: "BackupClient/4.1"} | {one.name: one.agent for one in POLLERS}
SERVICES = (*(one.name for one in POLLERS), UPDATES, BACKUP, *SHARING)

SHIPPING = "www.minato-kaiun.example"
# fmt: off
PLACES = (
    "aoba", "akane", "hinode", "izumi", "kamome", "kaede", "kita", "komachi", "kusunoki", "matsu", "midori",
    "minami", "mizuho", "momiji", "nagisa", "niji", "sakura", "shirakaba", "sumire", "suzuran", "tachibana",
    "tsubaki", "wakaba", "yamabuki",
)
TRADES = (
    "bunka", "denki", "dental", "farm", "gakuin", "golf", "hoikuen", "hotel", "insatsu", "jidosha", "kanko",
    "keibi", "kensetsu", "koumuten", "kyosai", "museum", "onsen", "pan-ya", "ryokan", "seimitsu", "shoji",
    "shuzo", "sports", "unyu",
)
# fmt: on
