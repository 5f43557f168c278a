"""The keys that a cluster begins with: found on its first monitor's host, or made there once and kept."""

from __future__ import annotations

import socket
import time
import uuid
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from protocol.errors import ArgumentError, RefusedError, StateError
from protocol.secrets import UNKNOWN, Secret
from states.ceph import asok, auth, client, conf, keys
from states.ceph.conf import CONF
from states.ceph.keys import Entry
from states.ceph.place import read_text
from states.context import Context
from states.host.files import failure, write_atomic

NAMES: Final[Mapping[str, str]] = MappingProxyType(
    {"mon": "mon.", "admin": "client.admin", "bootstrap_osd": "client.bootstrap-osd"}
)
"""Short name of a founding key -> its entity."""

BOOTSTRAP_OSD_KEYRING: Final = "/var/lib/ceph/bootstrap-osd/ceph.keyring"

_FSID: Final = "fsid"
_CONNECT_TIMEOUT: Final = 1.0
_MONITOR_PORT: Final = 3300


def staged(ctx: Context) -> dict[str, str] | None:
    """The keys made here before (by short name, and `fsid`); None when none were. Raises StateError."""
    path = ctx.state_dir / "ceph" / "founding.keyring"
    try:
        text = path.read_text("utf-8")
    except FileNotFoundError:
        return None
    except OSError as error:
        raise failure(path, error, "read") from error
    held = keys.parse(text, str(path))
    comment = text.partition("\n")[0].removeprefix("# fsid = ")
    found: dict[str, str] = {short: held[entity].key for short, entity in NAMES.items() if entity in held}
    return {_FSID: comment, **found} if len(found) == len(NAMES) else None


def known(ctx: Context) -> dict[str, str]:
    """The staged keys by short name. Raises StateError when there are none."""
    found = staged(ctx)
    if found is None:
        raise StateError("this host holds no founding keys", help="run ceph.bootstrap_keys on it")
    return {short: found[short] for short in NAMES}


def obtain(ctx: Context, fsid: str | None, monitors: Mapping[str, str]) -> dict[str, str]:
    """`fsid` and the founding keys by short name: those that exist, or new ones, staged before they are given.

    With a monitor's store on this host nothing is made: what its files lack is asked of the cluster. In a dry run
    what would be made is UNKNOWN. Raises StateError, and RefusedError when keys would have to be made although one
    of `monitors` (id -> address) answers: then there is a cluster, and this host has lost its part of it.
    """
    found = _on_host(ctx)
    if has_store(ctx):
        found |= _from_cluster(ctx, [short for short in NAMES if short not in found])
    before = staged(ctx)
    if before is not None:
        found = before | found
    if fsid is not None:
        _check_fsid(ctx, fsid, found.get(_FSID))
        found[_FSID] = fsid
    missing = [name for name in (_FSID, *NAMES) if name not in found]
    if not missing:
        return found
    if ctx.test:
        return found | {name: Secret(UNKNOWN) for name in missing}
    _refuse_second_cluster(monitors)
    found |= _made(missing)
    _stage(ctx, found)
    return found


def _check_fsid(ctx: Context, wanted: str, actual: str | None) -> None:
    try:
        uuid.UUID(wanted)
    except ValueError as error:
        raise ArgumentError(f"the fsid {wanted!r} is no UUID", help="uuidgen makes one") from error
    if has_store(ctx) and actual is not None and actual != wanted:
        raise StateError(
            f"the monitor of this host is of the cluster {actual}, not of {wanted}",
            help="correct the fsid, or move the monitor's folder away",
        )


def has_store(ctx: Context) -> bool:
    """Whether a monitor has its store on this host: then the cluster exists."""
    return any(ctx.path("/var/lib/ceph/mon").glob("ceph-*/store.db"))


def _on_host(ctx: Context) -> dict[str, str]:
    found: dict[str, str] = {}
    fsid = asok.own_cluster(ctx) or conf.parse(read_text(ctx, CONF) or "").get("global", {}).get("fsid")
    if fsid and has_store(ctx):
        found[_FSID] = fsid
    stores = [str(path.relative_to(ctx.root)) for path in ctx.path("/var/lib/ceph/mon").glob("ceph-*/keyring")]
    places = {
        "admin": [client.ADMIN_KEYRING],
        "bootstrap_osd": [BOOTSTRAP_OSD_KEYRING],
        "mon": [f"/{p}" for p in stores],
    }
    for short, paths in places.items():
        for path in paths:
            held = keys.parse(read_text(ctx, path) or "", path).get(NAMES[short])
            if held is not None:
                found.setdefault(short, held.key)
    return found


def _from_cluster(ctx: Context, wanted: list[str]) -> dict[str, str]:
    if not wanted:
        return {}
    cluster = client.connect(ctx)
    found: dict[str, str] = {}
    for short in wanted:
        entry = auth.read(cluster, NAMES[short])
        if entry is None:
            raise StateError(f"the cluster has no {NAMES[short]}", help="declare it with ceph.auth")
        found[short] = entry.key
    return found


def _made(missing: list[str]) -> dict[str, str]:
    now = time.time()
    return {name: str(uuid.uuid4()) if name == _FSID else keys.generate(now) for name in missing}


def _stage(ctx: Context, found: Mapping[str, str]) -> None:
    entries = {entity: Entry(Secret(found[short]), keys.FOUNDING_CAPS[entity]) for short, entity in NAMES.items()}
    path = ctx.state_dir / "ceph" / "founding.keyring"
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise failure(path.parent, error, "make") from error
    text = f"# fsid = {found[_FSID][:]}\n" + keys.render(entries)[:]
    write_atomic(path, text.encode(), mode=0o600)


def _refuse_second_cluster(monitors: Mapping[str, str]) -> None:
    for name, address in monitors.items():
        if _answers(address):
            raise RefusedError(
                f"the monitor {name} answers at {address}, but this host has none of its cluster's keys",
                help="take the keys from that monitor's host: new ones would make a second cluster",
            )


def _answers(address: str) -> bool:
    try:
        with socket.create_connection((address, _MONITOR_PORT), timeout=_CONNECT_TIMEOUT):
            return True
    except OSError:
        return False
