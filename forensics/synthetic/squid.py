r"""The proxy's access log.

Squid stamps a row with the time at which the transaction ended and logs a CONNECT when its tunnel closes. The native
format has no uploaded bytes; this office added ``%>st`` and the user agent. Squid 5.7 was run to see that ``%>st`` of
a CONNECT counts the CONNECT request and all bytes of the tunnel, and ``%<st`` the 39 bytes of the proxy's own answer
and all bytes of the tunnel.

References
----------
https://www.squid-cache.org/Doc/config/logformat/
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from . import catalog
from .cast import PROXY, PROXY_PORT, Cast
from .logfile import GzipLog, agents, blocks, fill, paths, take

if TYPE_CHECKING:
    from pathlib import Path

    from .transactions import Rows

_LOGFORMAT = '%ts.%03tu %6tr %>a %Ss/%03>Hs %<st %rm %ru %[un %Sh/%<a %mt %>st "%{User-Agent}>h"'
_LINE = '%d.%03d %6d %s %s/%03d %d %s %s - %s %s %d "%s"\n'
_CONFIGURATION = f"""# Proxy of the synthetic office. The log adds to the native format the bytes of the request
# as received from the client (%>st, headers and tunnel included) and the user agent.
http_port {PROXY}:{PROXY_PORT}
acl office src 10.20.0.0/16
http_access allow office
http_access deny all
logformat upload {_LOGFORMAT}
access_log stdio:/var/log/squid/access.log upload
"""


class AccessLog(GzipLog):
    """The access log and, beside it, the configuration that defines its format."""

    def __init__(self, cast: Cast, folder: Path, compression: int) -> None:
        super().__init__(folder / "access.log.gz", compression)
        self._cast = cast
        (folder / "squid.conf").write_text(_CONFIGURATION, encoding="ascii", newline="\n")

    def write_rows(self, rows: Rows) -> None:
        """Append rows, which are sorted by their end."""
        for block in blocks(rows):
            self.write(_format(self._cast, block))


def _format(cast: Cast, rows: Rows) -> str:
    verbs, names = rows["verb"].tolist(), take(cast.names, rows["server"])
    hits, addresses = rows["hit"].tolist(), take(cast.addresses, rows["server"])
    tunnels = [verb == catalog.CONNECT for verb in verbs]
    end = rows["end"] // 1000
    mimes = take([mime for _, mime in catalog.PAGES], rows["page"])
    return fill(
        _LINE,
        [
            (end // 1000).tolist(),
            (end % 1000).tolist(),
            (end - rows["start"] // 1000).tolist(),
            take(cast.terminals, rows["client"]),
            [
                "TCP_TUNNEL" if tunnel else "TCP_HIT" if hit else "TCP_MISS"
                for tunnel, hit in zip(tunnels, hits, strict=True)
            ],
            rows["status"].tolist(),
            rows["received"].tolist(),
            [catalog.VERBS[verb] for verb in verbs],
            [
                f"{name}:443" if tunnel else f"http://{name}{path}"
                for tunnel, name, path in zip(tunnels, names, paths(rows), strict=True)
            ],
            ["HIER_NONE/-" if hit else f"HIER_DIRECT/{address}" for hit, address in zip(hits, addresses, strict=True)],
            ["-" if tunnel else mime for tunnel, mime in zip(tunnels, mimes, strict=True)],
            rows["sent"].tolist(),
            agents(cast, rows),
        ],
    )
