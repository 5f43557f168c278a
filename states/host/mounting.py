"""How a file system is mounted and unmounted: by the unit that systemd makes of fstab, else by mount(8)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from protocol.data import Data
from protocol.errors import StateError
from states.context import Context
from states.host import files, mounts, process, units
from states.host.mounts import Entry
from states.host.systemd import escape_path, systemd

FSTAB: Final = "/etc/fstab"


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is to be mounted, and whether by the unit that systemd makes of fstab."""

    entry: Entry
    config: str
    by_unit: bool

    @property
    def point(self) -> str:
        """The mount point."""
        return self.entry.point

    @property
    def unit(self) -> str:
        """The unit that systemd makes of it."""
        return f"{escape_path(self.point)}.mount"

    def __str__(self) -> str:
        return f"{self.entry.device} ({self.entry.fstype})"


def make_folder(ctx: Context, point: str) -> None:
    """Make the mount point. Raises StateError."""
    path = ctx.path(point)
    try:
        path.mkdir(mode=0o755, parents=True, exist_ok=True)
        path.chmod(0o755)
    except OSError as error:
        raise files.failure(path, error, "make the mount point") from error


def mount(ctx: Context, wanted: Wanted) -> Data:
    """Mount it, and make sure that it is. Raises StateError."""
    details: Data = None
    manager = systemd(ctx) if wanted.by_unit else None
    if manager is not None:
        manager.reload_daemon()
    if manager is not None and manager.unit(wanted.unit).exists:
        details = units.start(ctx, manager, wanted.unit)
    else:
        entry = wanted.entry
        kind = [] if entry.fstype in ("none", "auto") else ["-t", entry.fstype]
        options = ["-o", ",".join(entry.options)]
        process.run(ctx, [process.require(ctx, "mount"), *kind, *options, "--", entry.device, wanted.point])
        if manager is not None:  # its generator leaves out devices in containers
            details = {"by": "mount(8): systemd makes no unit of this entry"}
    if mounts.mounted_at(ctx, wanted.point) is None:
        raise StateError(f"{wanted.point}: the mount was done without an error, and nothing is mounted there")
    return details


def mount_anew(ctx: Context, wanted: Wanted) -> Data:
    """Unmount what is there, and mount. Raises StateError."""
    if wanted.by_unit and mounts.mounted_at(ctx, wanted.point) is not None:
        manager = systemd(ctx)
        if manager.unit(wanted.unit).exists:
            units.stop(ctx, manager, wanted.unit)  # so that systemd knows of it before the start
    unmount(ctx, wanted.point)
    return mount(ctx, wanted)


def remount(ctx: Context, wanted: Wanted) -> Data:
    """Give what is mounted its options. Raises StateError."""
    if mounts.mounted_at(ctx, wanted.point) is None:
        return mount(ctx, wanted)
    options = ",".join(("remount", *wanted.entry.options))
    argv = [process.require(ctx, "mount"), "-o", options, "--", wanted.entry.device, wanted.point]
    process.run(ctx, argv)
    return None


def unmount(ctx: Context, point: str) -> None:
    """Unmount all that lies at the point, the upper first."""
    for _ in [mount for mount in mounts.mounts(ctx) if mount.point == point]:
        process.run(ctx, [process.require(ctx, "umount"), "--", point])
    if mounts.mounted_at(ctx, point) is not None:
        raise StateError(f"something is still mounted at {point}")
