"""What is one server: names and addresses put together, shared addresses kept apart.

A *site* is what is judged. By these rules:

1. One name is one site, at however many addresses it is met (round robin, content delivery networks).
2. Names that differ by a leading ``www.`` at one address are one site.
3. Names at one address that the very same one or two terminals met, on an address of at most `MOST_ALIASES` names,
   are one site: the aliases of one server. All other names at one address are sites of their own (shared hosting):
   what speaks against one says nothing about its neighbours.
4. Contacts without a name belong to the site of their address, if it has one alone; else the bare address is a site.

When it misleads
----------------
A relay with many names that different terminals use looks like shared hosting; each of its names is judged alone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["MOST_ALIASES", "find_sites"]

MOST_ALIASES = 5
"""Names of one address that may be aliases of one server. [1]"""


def find_sites(met: pd.DataFrame) -> pd.DataFrame:
    """Return which site each server is under each name.

    Parameters
    ----------
    met
        Rows of ``relay_servers.sql``: each ``server`` by ``name`` (empty where a contact names none), with the number
        of its terminals, the least and the greatest of them, and its contacts.

    Returns
    -------
    pandas.DataFrame
        The same rows in the same order, with ``site`` [number from 0] and ``dst``, the address of most of its contacts.
    """
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import connected_components

    rows = met.reset_index(drop=True)
    names, addresses = rows["name"].to_numpy(object), rows["server"]
    named = rows["name"] != ""
    node = rows["name"].where(named, "\0" + addresses)  # a bare address is a node of its own
    code, found = node.factorize()
    bare = np.array([str(name).removeprefix("www.") for name in names], dtype=object)
    crowd = rows[named].groupby("server")["name"].transform("nunique")
    few = crowd.reindex(rows.index).fillna(0).between(1, MOST_ALIASES) & (rows["terminals"] <= 2)  # noqa: PLR2004
    clients = rows["least_src"] + "\0" + rows["greatest_src"]  # at most two: that is all of them
    keys = [
        (addresses + "\0" + bare)[named],  # rule 2
        (addresses + "\0" + clients)[few],  # rule 3
        addresses[_alone(rows, bare, clients, few.to_numpy(dtype=bool))],  # rule 4
    ]
    links = [_links(key, code) for key in keys]
    left, right = (np.concatenate([link[side] for link in links]) for side in (0, 1))
    graph = coo_matrix((np.ones(len(left)), (left, right)), shape=(len(found), len(found)))
    _, group = connected_components(graph, directed=False)
    rows["site"] = group[code]
    order = rows.sort_values(["site", "contacts", "server"], ascending=[True, False, True], kind="stable")
    rows["dst"] = rows["site"].map(order.drop_duplicates("site").set_index("site")["server"])
    return rows


def _alone(rows: pd.DataFrame, bare: np.ndarray, clients: pd.Series[str], few: np.ndarray) -> np.ndarray:
    """Tell which rows are at an address that is one site under all names that it bears."""
    named = (rows["name"] != "").to_numpy()
    known = rows.assign(bare=bare, clients=clients)[named].groupby("server")
    one_name, one_crowd = (known[column].nunique().eq(1) for column in ("bare", "clients"))
    single = set(one_name.index[one_name])
    small = set(rows["server"][few & named])
    single |= set(one_crowd.index[one_crowd]) & small
    alone: np.ndarray = rows["server"].isin(single).to_numpy()
    return alone


def _links(key: pd.Series[str], code: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return pairs of nodes that have a key in common, enough of them to connect all that have."""
    if key.empty:
        return np.zeros(0, np.int64), np.zeros(0, np.int64)
    number, _ = key.factorize()
    mine = code[key.index]
    _, first = np.unique(number, return_index=True)
    return mine[first][number], mine


def hosts_of(sites: pd.DataFrame) -> pa.Table:
    """Return the site of each host as requests name it: a name, or the address where it has one site alone."""
    named = sites[sites["name"] != ""][["name", "site"]].rename(columns={"name": "host"})
    single = sites.groupby("server")["site"].agg(["nunique", "min"])
    bare = single[single["nunique"] == 1]["min"].rename_axis("host").rename("site").reset_index()
    import pandas as pd

    hosts = pd.concat([named, bare]).drop_duplicates("host").sort_values("host")
    return pa.Table.from_pandas(hosts[["host", "site"]], preserve_index=False)
