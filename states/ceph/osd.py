"""The object storage daemon (ceph-osd): the state that makes one under a label of its host, once, and runs it."""

from __future__ import annotations

import re

from protocol.data import Data
from protocol.errors import ArgumentError, StateError
from protocol.results import Change
from states.ceph import conf, keys, option, osddevice, osdstore, units
from states.ceph.conf import CONF
from states.ceph.daemon import Daemon, plan_unit, wait_alive
from states.ceph.osdstore import Label, Source
from states.ceph.place import read_text
from states.context import Context
from states.contract import Action, Plan
from states.registry import state

_LABEL = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_SMALLEST = 1024**3


@state("ceph.osd")
def osd(
    ctx: Context,
    name: str,
    *,
    size: str | int | None = None,
    path: str | None = None,
    device: str | None = None,
    device_class: str | None = None,
    bootstrap_key: str | None = None,
) -> Plan:
    """The OSD that this host knows by the label `name` exists, runs and starts at boot.

    It lies on `device` (a block device that holds nothing), or in a file of `size` (like 4G, sparse): in its data
    folder, or at `path`. The label is kept beside the data, so that it is found again whatever number the cluster gave
    it; a run cut short is taken up where it ended. device_class: `hdd`, `ssd`, `nvme`; the cluster guesses without.
    bootstrap_key: the key of client.bootstrap-osd; without it /var/lib/ceph/bootstrap-osd/ceph.keyring is used.
    Raises ArgumentError, StateError.
    """
    source = _source(name, size, path, device, device_class)
    label = _find(ctx, name)
    if label is not None:
        _check_cluster(ctx, label)
        actions = plan_unit(ctx, Daemon("osd", str(label.id)), alive="status")
        return Plan(actions, f"osd.{label.id} ({name}) runs" if not actions else f"osd.{label.id} ({name}) was started")
    _check(ctx, name, source, bootstrap_key)

    def perform() -> Data:
        made = Daemon("osd", str(_make(ctx, name, source, bootstrap_key)))
        units.enable(ctx, made.unit)
        units.start(ctx, made.unit)
        wait_alive(ctx, made, "status")
        return {"id": int(made.id), "unit": made.unit}

    change = Change("create", f"ceph osd {name}", new=source.told())
    return Plan([Action(change, perform)], f"an OSD was made for {name}")


def _check(ctx: Context, name: str, source: Source, bootstrap_key: str | None) -> None:
    """Whether the OSD can be made, as far as that can be told now. Raises StateError."""
    if ctx.assumed() or (ctx.test and bootstrap_key is not None and keys.is_unknown(bootstrap_key)):
        return
    osdstore.bootstrap(ctx, bootstrap_key)
    osdstore.cluster_id(ctx)
    if source.device is not None:
        osddevice.check(ctx, source.device)
    else:
        osdstore.check(ctx, name, source)


def _make(ctx: Context, name: str, source: Source, bootstrap_key: str | None) -> int:
    if source.device is not None:
        return osddevice.make(ctx, name, source.device, source.device_class)
    return osdstore.make(ctx, name, source, bootstrap_key)


def _source(
    name: str, size: str | int | None, path: str | None, device: str | None, device_class: str | None
) -> Source:
    if _LABEL.fullmatch(name) is None:
        raise ArgumentError(f"{name!r} cannot be the label of an OSD", help="use letters, digits, '.', '-' and '_'")
    if (device is None) == (size is None) or (device is not None and path is not None):
        raise ArgumentError(f"the OSD {name} needs either `device`, or `size` (and perhaps `path`)")
    count = 0 if size is None else option.size_in_bytes(size)
    if size is not None and count < _SMALLEST:
        raise ArgumentError(f"the OSD {name} needs a size of at least 1G, not {size}")
    return Source(count, path, device, device_class)


def _find(ctx: Context, name: str) -> Label | None:
    """The finished OSD with this label. Raises StateError when there are two."""
    found = [label for label in labels(ctx) if label.name == name]
    if len(found) > 1:
        raise StateError(
            f"two OSDs of this host have the label {name}: {', '.join(str(label.folder) for label in found)}",
            help="move the folder of the one that is not in use away",
        )
    return found[0] if found else None


def labels(ctx: Context) -> list[Label]:
    """The OSDs of this host that have a label."""
    folder = ctx.path(osdstore.FOLDER)
    found = [osdstore.read_label(ctx, path) for path in sorted(folder.glob(f"ceph-*/{osdstore.LABEL_FILE}"))]
    return [label for label in found if label is not None]


def _check_cluster(ctx: Context, label: Label) -> None:
    wanted = conf.parse(read_text(ctx, CONF) or "").get("global", {}).get("fsid")
    if wanted and wanted != label.fsid:
        raise StateError(
            f"osd.{label.id} ({label.name}) is of the cluster {label.fsid}, ceph.conf names {wanted}",
            help=f"correct the fsid, or move {label.folder} away",
        )
