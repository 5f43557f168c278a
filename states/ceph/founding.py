"""The keys that a cluster begins with: those it has, or else those that follow from its first monitor's host.

A new cluster's keys are derived (HMAC-SHA256) from the private identity of that host's minion. So they need not be
kept before the monitors have them, a run that is cut short and repeated finds the same, and looking changes nothing.
"""

from __future__ import annotations

import hashlib
import hmac
import socket
import uuid
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from protocol.errors import ArgumentError, RefusedError, StateError
from protocol.secrets import Secret
from states.ceph import asok, auth, client, conf, keys
from states.ceph.client import Cluster
from states.ceph.conf import CONF
from states.ceph.place import read_text
from states.context import Context
from states.host.files import failure
from states.host.process import CommandMissing

NAMES: Final[Mapping[str, str]] = MappingProxyType(
    {"mon": "mon.", "admin": "client.admin", "bootstrap_osd": "client.bootstrap-osd"}
)
"""Short name of a founding key -> its entity."""

BOOTSTRAP_OSD_KEYRING: Final = "/var/lib/ceph/bootstrap-osd/ceph.keyring"

_CONNECT_TIMEOUT: Final = 1.0
_MONITOR_PORT: Final = 3300
_PURPOSE: Final = b"stackmaster: what a Ceph cluster begins with"


def obtain(ctx: Context, fsid: str | None, monitors: Mapping[str, str]) -> dict[str, str]:
    """`fsid` and the founding keys by short name: the cluster's if it exists, else derived. Changes nothing.

    fsid: the one that is wanted. monitors: id -> address of all. Raises ArgumentError, StateError, and RefusedError
    when a monitor answers that knows neither this host's keys nor the derived ones.
    """
    found = _on_host(ctx)
    lacking = [short for short in NAMES if short not in found]
    alive = None if not lacking or has_store(ctx) else _answering(monitors)
    actual = _own_fsid(ctx) if has_store(ctx) or alive is not None else None
    wanted = _fsid(ctx, fsid, actual)
    if lacking and (has_store(ctx) or alive is not None):
        try:
            found |= _from_cluster(ctx, lacking)
        except (client.NotReady, CommandMissing):
            if alive is None:
                raise
            _check_known(ctx, alive, wanted)
    derived = {short: _derived(ctx, wanted, short) for short in NAMES if short not in found}
    return {"fsid": wanted, **found, **derived}


def has_store(ctx: Context) -> bool:
    """Whether a monitor has its store on this host: then the cluster exists."""
    return any(ctx.path("/var/lib/ceph/mon").glob("ceph-*/store.db"))


def _on_host(ctx: Context) -> dict[str, str]:
    """The keys in the files of this host, by short name."""
    stores = [f"/{path.relative_to(ctx.root)}" for path in ctx.path("/var/lib/ceph/mon").glob("ceph-*/keyring")]
    places = {"mon": stores, "admin": [client.ADMIN_KEYRING], "bootstrap_osd": [BOOTSTRAP_OSD_KEYRING]}
    found: dict[str, str] = {}
    for short, paths in places.items():
        for path in paths:
            held = keys.parse(read_text(ctx, path) or "", path).get(NAMES[short])
            if held is not None:
                found.setdefault(short, held.key)
    return found


def _own_fsid(ctx: Context) -> str | None:
    return asok.own_cluster(ctx) or conf.parse(read_text(ctx, CONF) or "").get("global", {}).get("fsid")


def _fsid(ctx: Context, wanted: str | None, actual: str | None) -> str:
    if wanted is None:
        return actual or str(uuid.UUID(bytes=_derive(ctx, "fsid")[:16], version=4))
    try:
        uuid.UUID(wanted)
    except ValueError as error:
        raise ArgumentError(f"the fsid {wanted!r} is no UUID", help="uuidgen makes one") from error
    if has_store(ctx) and actual is not None and actual != wanted:
        raise StateError(
            f"the monitor of this host is of the cluster {actual}, not of {wanted}",
            help="correct the fsid, or move the monitor's folder away",
        )
    return wanted


def _from_cluster(ctx: Context, wanted: list[str]) -> dict[str, str]:
    cluster = client.connect(ctx)
    found: dict[str, str] = {}
    for short in wanted:
        entry = auth.read(cluster, NAMES[short])
        if entry is None:
            raise StateError(f"the cluster has no {NAMES[short]}", help="declare it with ceph.auth")
        found[short] = entry.key
    return found


def _derived(ctx: Context, fsid: str, short: str) -> Secret:
    return keys.from_bytes(_derive(ctx, f"{fsid} {NAMES[short]}")[:16])


def _derive(ctx: Context, what: str) -> bytes:
    path = ctx.state_dir / "identity"
    try:
        own = path.read_bytes()
    except FileNotFoundError:
        raise StateError("this host has no identity to derive keys from", help="`stackminion join` makes one") from None
    except OSError as error:
        raise failure(path, error, "read") from error
    return hmac.digest(own, _PURPOSE + b"\0" + what.encode(), hashlib.sha256)


def _check_known(ctx: Context, alive: str, fsid: str) -> None:
    """Whether the cluster that answers was begun with the derived keys. Raises RefusedError."""
    try:
        Cluster(ctx, "client.admin", None, _derived(ctx, fsid, "admin")).ask("health")
    except (client.NotReady, CommandMissing) as error:
        raise RefusedError(
            f"the monitor {alive} answers, but this host has none of its cluster's keys",
            help="take the keys from that monitor's host: new ones would make a second cluster",
        ) from error


def _answering(monitors: Mapping[str, str]) -> str | None:
    """The first monitor that takes a connection."""
    for name, address in monitors.items():
        try:
            with socket.create_connection((address, _MONITOR_PORT), timeout=_CONNECT_TIMEOUT):
                return name
        except OSError:
            continue
    return None
