"""The monitor daemon (ceph-mon): the state that founds its store, with the others or into a cluster, and runs it."""

from __future__ import annotations

import ipaddress
import os
import re
import shutil
import uuid
from collections.abc import Mapping
from pathlib import Path

from protocol.data import Data
from protocol.errors import ArgumentError, StateError
from protocol.results import Change
from protocol.secrets import Secret
from states.ceph import asok, client, founding
from states.ceph import keys as cephx
from states.ceph.daemon import Daemon, owner, plan_unit
from states.ceph.keys import Entry
from states.context import Context
from states.contract import Action, Plan
from states.host.files import failure
from states.host.process import require, run
from states.registry import state

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


@state("ceph.monitor")
def monitor(
    ctx: Context,
    name: str,
    *,
    fsid: str,
    members: Mapping[str, str],
    keys: Mapping[str, str] | None = None,
) -> Plan:
    """A monitor with the id `name` runs on this host and starts at boot; its store is of the cluster `fsid`.

    members: every first monitor's id -> its address (port 3300 for msgr2 and 6789 for msgr1 are taken), or an address
    vector as Ceph writes it. keys: `mon`, `admin` and `bootstrap_osd` as `ceph.bootstrap_keys` gives them on the first
    monitor's host; they matter only while there is no store. Raises ArgumentError, StateError, also when the store is
    of another cluster.
    """
    daemon = Daemon("mon", name)
    vectors = {member: address_vector(member, address) for member, address in members.items()}
    if name not in vectors:
        raise ArgumentError(f"the monitor {name} is not among its members ({', '.join(vectors)})")
    actions = [] if _has_store(ctx, daemon) else [_found(ctx, daemon, fsid, vectors, keys)]
    if not actions:
        _check_cluster(ctx, daemon, fsid)
    actions += plan_unit(ctx, daemon, alive="mon_status")
    return Plan(actions, f"{daemon.name} runs" if not actions else f"{daemon.name} was set up")


def address_vector(member: str, address: str) -> str:
    """`address` as a vector with both protocols: [v2:10.0.0.1:3300,v1:10.0.0.1:6789]. Raises ArgumentError."""
    if _NAME.fullmatch(member) is None:
        raise ArgumentError(f"{member!r} cannot be the id of a monitor")
    if re.fullmatch(r"\[[a-z0-9:.,/\[\]]+\]", address):
        return address
    try:
        ip = ipaddress.ip_address(address)
    except ValueError as error:
        raise ArgumentError(f"the address of the monitor {member} is no IP address: {address!r}") from error
    host = f"[{ip}]" if ip.version == 6 else str(ip)
    return f"[v2:{host}:3300,v1:{host}:6789]"


def founding_keyring(keys: Mapping[str, str]) -> Secret:
    """The keyring that a monitor's store begins with. Raises ArgumentError when a key is missing or is none."""
    entries: dict[str, Entry] = {}
    for short, entity in founding.NAMES.items():
        if not keys.get(short):
            raise ArgumentError(f"the monitor's keys lack {short!r}", help="ceph.bootstrap_keys gives all of them")
        entries[entity] = Entry(cephx.check_key(keys[short], entity), cephx.FOUNDING_CAPS[entity])
    return cephx.render(entries)


def _has_store(ctx: Context, daemon: Daemon) -> bool:
    """Whether the store is there and whole. Raises StateError when something else is in its place."""
    folder = ctx.path(daemon.data)
    if not folder.is_dir() or not any(folder.iterdir()):
        return False
    if (folder / "keyring").is_file() and (folder / "store.db").is_dir():
        return True
    raise StateError(f"{daemon.data} is not empty and not the store of a monitor", help="look into it and move it away")


def _check_cluster(ctx: Context, daemon: Daemon, fsid: str) -> None:
    said = asok.ask(ctx, daemon.name, "mon_status")
    actual = str(said["monmap"]["fsid"]) if said is not None else fsid
    if not cephx.is_unknown(fsid) and actual != fsid[:]:
        raise StateError(
            f"{daemon.name} is of the cluster {actual}, not of {fsid}",
            help="correct the fsid, or move the monitor's folder away",
        )


def _found(
    ctx: Context, daemon: Daemon, fsid: str, vectors: Mapping[str, str], keys: Mapping[str, str] | None
) -> Action:
    """The making of the store: in a folder beside it, renamed into place when it is whole."""
    if keys is None and not ctx.assumed():
        raise StateError("a new monitor needs the cluster's keys", help="give `keys`; ceph.bootstrap_keys tells them")
    keyring = None if keys is None else founding_keyring(keys)

    def perform() -> Data:
        if keyring is None or cephx.is_unknown(fsid) or any(map(cephx.is_unknown, (keys or {}).values())):
            raise StateError(f"the keys of {daemon.name} are not known", help="run ceph.bootstrap_keys first")
        folder = ctx.path(daemon.data)
        new = folder.parent / f".{daemon.id}.new"
        _clear(new)
        try:
            _mkfs(ctx, daemon, new, keyring, (fsid, vectors))
            new.rename(folder)
        except OSError as error:
            raise failure(folder, error, "make the store") from error
        finally:
            _clear(new)
        return None

    return Action(Change("create", daemon.data, "monitor store", new={"members": dict(vectors)}), perform)


def _mkfs(ctx: Context, daemon: Daemon, new: Path, keyring: Secret, cluster: tuple[str, Mapping[str, str]]) -> None:
    fsid, vectors = cluster
    try:
        uuid.UUID(fsid)
    except ValueError as error:
        raise ArgumentError(f"the fsid {fsid!r} is no UUID", help="uuidgen makes one") from error
    uid, gid = owner(ctx)
    new.mkdir(mode=0o755)
    os.chown(new, uid, gid)
    with (
        client.private_file(ctx, keyring, owner=(uid, gid)) as held,
        client.private_file(ctx, "", owner=(uid, gid)) as map,
    ):
        members = [word for member, vector in vectors.items() for word in ("--addv", member, vector)]
        made = [require(ctx, "monmaptool"), "--create", "--clobber", "--fsid", fsid[:], *members, str(map)]
        run(ctx, made)
        os.chown(map, uid, gid)
        run(
            ctx,
            [
                *(require(ctx, "ceph-mon", help="install ceph-mon"), "--mkfs", "--id", daemon.id),
                *("--mon-data", str(new), "--monmap", str(map), "--keyring", str(held)),
                *("--setuser", "ceph", "--setgroup", "ceph"),
            ],
        )


def _clear(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
