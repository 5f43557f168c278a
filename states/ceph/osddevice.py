"""How the store of an OSD is made on a block device, by ceph-volume in its raw mode."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from typing import Any

from protocol.errors import StateError
from states.ceph import osdstore
from states.ceph.osdstore import FOLDER, MKFS_TIMEOUT, Label
from states.context import Context
from states.host.process import require, run


def check(ctx: Context, device: str) -> None:
    """Whether `device` can hold a new OSD, or holds one of ours without a label yet. Raises StateError."""
    require(ctx, "ceph-volume", help="install ceph-osd")
    if not ctx.path(device).is_block_device():
        raise StateError(f"{device} is no block device of this host")
    if held_by(ctx, device) is None:
        signs = run(ctx, [require(ctx, "wipefs"), "--noheadings", "--output", "TYPE", device]).stdout.split()
        if signs:
            raise StateError(
                f"{device} holds something ({', '.join(signs)})", help="wipefs --all erases it, if nobody needs it"
            )


def make(ctx: Context, name: str, device: str, device_class: str | None) -> int:
    """Make the OSD on `device`, or finish one that was begun there; gives its number. Raises StateError.

    ceph-volume prepares it with the bootstrap-osd keyring of the host. Its data folder is made on disk, not in memory
    as ceph-volume would have it, so that the packaged unit starts it at boot without ceph-volume.
    """
    check(ctx, device)
    volume = require(ctx, "ceph-volume", help="install ceph-osd")
    if held_by(ctx, device) is None:
        chosen = ["--crush-device-class", device_class] if device_class is not None else []
        run(ctx, [volume, "raw", "prepare", "--bluestore", "--data", device, *chosen], deadline=MKFS_TIMEOUT)
    held = held_by(ctx, device)
    if held is None:
        raise StateError(f"ceph-volume prepared {device}, but finds no OSD on it", help="ceph-volume raw list shows")
    folder = ctx.path(f"{FOLDER}/ceph-{held['osd_id']}")
    if os.path.ismount(folder):
        run(ctx, [require(ctx, "umount"), str(folder)])
    run(
        ctx,
        [volume, "raw", "activate", "--device", device, "--no-systemd", "--no-tmpfs"],
        deadline=MKFS_TIMEOUT,
    )
    number = int(held["osd_id"])
    osdstore.write_label(ctx, folder, Label(name, number, held["osd_uuid"], held["ceph_fsid"], str(folder)))
    return number


def held_by(ctx: Context, device: str) -> Mapping[str, Any] | None:
    """The OSD on `device` (osd_id, osd_uuid, ceph_fsid) of this host's cluster; None when there is none.

    Raises StateError when it is of another cluster.
    """
    listed = run(ctx, [require(ctx, "ceph-volume"), "raw", "list", device, "--format", "json"]).stdout
    try:
        found = [row for row in json.loads(listed or "{}").values() if row.get("device") == device]
    except ValueError as error:
        raise StateError("`ceph-volume raw list` did not answer in JSON") from error
    if not found:
        return None
    wanted = osdstore.cluster_id(ctx)
    if found[0]["ceph_fsid"] != wanted:
        raise StateError(
            f"{device} holds an OSD of the cluster {found[0]['ceph_fsid']}", help="ceph-volume lvm zap erases it"
        )
    row: Mapping[str, Any] = found[0]
    return row
