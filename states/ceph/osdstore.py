"""How the store of an OSD is made in a file by ceph-osd itself, and the label that tells a finished one."""

from __future__ import annotations

import json
import os
import shutil
import time
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from protocol.data import Data
from protocol.errors import StateError
from protocol.secrets import Secret
from states.ceph import conf, keys
from states.ceph.client import Cluster, NotReady
from states.ceph.conf import CONF
from states.ceph.daemon import owner
from states.ceph.founding import BOOTSTRAP_OSD_KEYRING
from states.ceph.keys import Entry
from states.ceph.place import read_text
from states.context import Context
from states.host.files import failure, write_atomic
from states.host.process import require, run

FOLDER: Final = "/var/lib/ceph/osd"

LABEL_FILE: Final = "stackmaster.json"
"""In an OSD's data folder: its label, number, UUID and cluster. It is there only when the OSD is finished."""

MKFS_TIMEOUT: Final = 300.0
"""Seconds for making a store: a slow disk takes a minute."""


@dataclass(frozen=True, slots=True)
class Source:
    """Where an OSD keeps its data: a block device, or a file of `size` bytes (at `path`, or in the data folder)."""

    size: int
    path: str | None
    device: str | None
    device_class: str | None

    def told(self) -> Data:
        """For a change: what was asked for."""
        if self.device is not None:
            return {"device": self.device}
        return {"size": self.size} | ({"path": self.path} if self.path is not None else {})


@dataclass(frozen=True, slots=True)
class Label:
    """A finished OSD of this host: `name` is its label, `folder` its data folder."""

    name: str
    id: int
    uuid: str
    fsid: str
    folder: str


def read_label(ctx: Context, path: Path) -> Label | None:
    """The label in the file `path`; None when it is not one of ours. Raises StateError when it cannot be read."""
    try:
        held = json.loads(path.read_text("utf-8"))
    except OSError as error:
        raise failure(path, error, "read") from error
    except ValueError:
        return None
    folder = f"{FOLDER}/{path.parent.name}"
    return Label(held["name"], int(held["id"]), held["uuid"], held["fsid"], folder)


def write_label(ctx: Context, folder: Path, label: Label) -> None:
    """Mark the store in `folder` as finished. Raises StateError."""
    uid, gid = owner(ctx)
    held = {"name": label.name, "id": label.id, "uuid": label.uuid, "fsid": label.fsid}
    write_atomic(folder / LABEL_FILE, json.dumps(held).encode(), mode=0o644, uid=uid, gid=gid)


def cluster_id(ctx: Context) -> str:
    """The fsid in this host's ceph.conf. Raises NotReady."""
    fsid = conf.parse(read_text(ctx, CONF) or "").get("global", {}).get("fsid")
    if not fsid:
        raise NotReady(f"{CONF} names no fsid", help="declare it with ceph.conf")
    return fsid


def bootstrap(ctx: Context, key: str | None) -> Cluster:
    """The cluster, to be asked as client.bootstrap-osd. Raises NotReady, CommandMissing."""
    require(ctx, "ceph", help="install ceph-common")
    entity = "client.bootstrap-osd"
    if key is not None:
        if keys.is_unknown(key):
            raise NotReady(f"the key of {entity} is not known", help="the step that should have given it did not run")
        return Cluster(ctx, entity, None, keys.check_key(key, entity))
    if not ctx.path(BOOTSTRAP_OSD_KEYRING).is_file():
        raise NotReady(
            f"there is no {BOOTSTRAP_OSD_KEYRING}", help="declare it with ceph.keyring, or give bootstrap_key"
        )
    return Cluster(ctx, entity, ctx.path(BOOTSTRAP_OSD_KEYRING))


@dataclass(frozen=True, slots=True)
class _Begun:
    """What an OSD was begun with, kept until it is finished: asked again with it, the cluster gives the same number."""

    uuid: str
    key: Secret
    fsid: str


def check(ctx: Context, name: str, source: Source) -> None:
    """Whether the OSD can be made in its file. Raises StateError."""
    require(ctx, "ceph-osd", help="install ceph-osd")
    path = None if source.path is None else ctx.path(source.path)
    if path is not None and path.exists() and not _begun_file(ctx, name).exists() and path.stat().st_blocks:
        raise StateError(f"{path} holds something", help="remove it, if nobody needs it")


def make(ctx: Context, name: str, source: Source, bootstrap_key: str | None) -> int:
    """Make the OSD and give its number. Raises StateError.

    It is made in a folder beside its own and renamed when it is finished. Cut short, the next try goes on with the
    same UUID and key, for which the cluster gives the same number.
    """
    check(ctx, name, source)
    fsid = cluster_id(ctx)
    begun = _begin(ctx, name, fsid)
    cluster = bootstrap(ctx, bootstrap_key)
    number = int(cluster.tell("osd", "new", begun.uuid, "-i", "-", about=[], stdin=_told_to_cluster(begun, source)))
    folder = ctx.path(f"{FOLDER}/ceph-{number}")
    if folder.is_dir() and any(folder.iterdir()):
        raise StateError(f"the cluster gave the number {number}, but {folder} is not empty", help="move it away")
    new = ctx.path(FOLDER) / f".{begun.uuid}.new"
    _clear(new)
    try:
        _mkfs(ctx, cluster, source, begun, (number, new))
        write_label(ctx, new, Label(name, number, begun.uuid, fsid, str(folder)))
        new.rename(folder)
        _begun_file(ctx, name).unlink()
    except OSError as error:
        raise failure(folder, error, "make the store") from error
    finally:
        _clear(new)
    return number


def _told_to_cluster(begun: _Begun, source: Source) -> Secret:
    told = {"cephx_secret": begun.key[:]}
    if source.device_class is not None:
        told["crush_device_class"] = source.device_class
    return Secret(json.dumps(told))


def _mkfs(ctx: Context, cluster: Cluster, source: Source, begun: _Begun, made: tuple[int, Path]) -> None:
    number, new = made
    uid, gid = owner(ctx)
    new.mkdir(mode=0o755)
    os.chown(new, uid, gid)
    keyring = keys.render({f"osd.{number}": Entry(begun.key)})
    write_atomic(new / "keyring", keyring[:].encode(), mode=0o600, uid=uid, gid=gid)
    cluster.tell("mon", "getmap", "-o", str(new / "activate.monmap"), about=[])
    run(
        ctx,
        [
            *(require(ctx, "ceph-osd", help="install ceph-osd"), "--mkfs", "--id", str(number)),
            *("--osd-uuid", begun.uuid, "--monmap", str(new / "activate.monmap")),
            *("--osd-objectstore", "bluestore", "--osd-data", str(new), "--keyring", str(new / "keyring")),
            *("--bluestore-block-create=true", f"--bluestore-block-size={source.size}"),
            *_block_path(ctx, source, (uid, gid)),
            *("--conf", str(ctx.path(CONF)), "--setuser", "ceph", "--setgroup", "ceph"),
        ],
        deadline=MKFS_TIMEOUT,
    )


def _block_path(ctx: Context, source: Source, ids: tuple[int, int]) -> list[str]:
    """The option for a file elsewhere, which is made sparse; what an earlier try left in it is dropped."""
    if source.path is None:
        return []
    path = ctx.path(source.path)
    path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
    with path.open("wb") as file:
        os.fchown(file.fileno(), *ids)
        os.fchmod(file.fileno(), 0o600)
        os.ftruncate(file.fileno(), source.size)
    return [f"--bluestore-block-path={path}"]


def _begun_file(ctx: Context, name: str) -> Path:
    return ctx.state_dir / "ceph" / f"osd-{name}.json"


def _begin(ctx: Context, name: str, fsid: str) -> _Begun:
    """What this OSD was begun with before, or is from now on: written down before the cluster hears of it."""
    path = _begun_file(ctx, name)
    try:
        held = json.loads(path.read_text("utf-8"))
        if held["fsid"] == fsid:
            return _Begun(held["uuid"], Secret(held["key"]), fsid)
    except FileNotFoundError:
        pass
    except (OSError, ValueError, KeyError) as error:
        raise StateError(f"{path} cannot be read: {type(error).__name__}", help="remove it") from error
    begun = _Begun(str(uuid.uuid4()), keys.generate(time.time()), fsid)
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise failure(path.parent, error, "make") from error
    held = {"uuid": begun.uuid, "key": begun.key[:], "fsid": begun.fsid}
    write_atomic(path, json.dumps(held).encode(), mode=0o600)
    return begun


def _clear(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
