"""What a minion has mounted."""

from __future__ import annotations

from protocol.data import Data
from states.context import Context
from states.host import mounts
from states.registry import function


@function("mount.active", access="reads", inline=True)
def active(ctx: Context) -> Data:
    """What is mounted now: mount point -> device, fstype, opts (of the mount) and superopts (of the file system)."""
    return {
        mount.point: {
            "device": mount.source,
            "fstype": mount.fstype,
            "opts": list(mount.options),
            "superopts": list(mount.super_options),
        }
        for mount in mounts.mounts(ctx)
    }


@function("mount.is_mounted", access="reads", inline=True)
def is_mounted(ctx: Context, name: str) -> Data:
    """Whether something is mounted at `name`.

    name: the mount point
    """
    return mounts.mounted_at(ctx, mounts.check_point(name)) is not None


@function("mount.fstab", access="reads", inline=True)
def fstab(ctx: Context, config: str = "/etc/fstab") -> Data:
    """The entries of fstab: mount point (of swap: the device) -> device, fstype, opts, dump, pass.

    config: the file that is fstab
    """
    found: dict[str, Data] = {}
    for line in mounts.read_fstab(ctx, config).lines:
        entry = mounts.parse_line(line)
        if entry is not None:
            found[entry.device if entry.fstype == "swap" else entry.point] = {
                "device": entry.device,
                "fstype": entry.fstype,
                "opts": list(entry.options),
                "dump": entry.dump,
                "pass": entry.passno,
            }
    return found
