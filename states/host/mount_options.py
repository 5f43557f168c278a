"""Which mount options the kernel's table can confirm, and which differ from those wanted."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from typing import Final

from states.host.mounts import Mount

_OPPOSITES: Final = {
    "ro": "rw",
    "nosuid": "suid",
    "nodev": "dev",
    "noexec": "exec",
    "noatime": "atime",
    "nodiratime": "diratime",
    "sync": "async",
    "dirsync": "",
    "relatime": "",
}
"""Flags that the kernel's table shows for every file system -> the option that takes them back."""

_FOR_OTHERS: Final = frozenset(
    {
        *("defaults", "_netdev", "nofail", "auto", "noauto", "bg", "fg", "bind", "rbind", "loop"),
        *("user", "nouser", "users", "owner", "group"),
    }
)
"""Options read by mount(8), systemd or the boot, not by the kernel."""

_SIZE: Final = re.compile(r"(\d+)([kmgt%]?)", re.IGNORECASE)
_UNITS: Final = {"": 1, "k": 1024, "m": 1024**2, "g": 1024**3, "t": 1024**4}


def parse(options: str | Sequence[str]) -> tuple[str, ...]:
    """Options given as a list or with commas, each once."""
    parts = options.split(",") if isinstance(options, str) else [part for one in options for part in one.split(",")]
    return tuple(dict.fromkeys(part.strip() for part in parts if part.strip())) or ("defaults",)


def differing(wanted: Sequence[str], live: Mount) -> list[str]:
    """Those of `wanted` that the kernel's table shows not to hold for `live`."""
    return [option for option in wanted if not _holds(option, live)]


def for_kernel(options: Collection[str], ignored: Collection[str] = ()) -> set[str]:
    """Those that matter to what is mounted; neither those for mount(8) and systemd nor the keys `ignored`."""
    return {
        option
        for option in options
        if option not in _FOR_OTHERS
        and not option.startswith(("x-", "comment="))
        and option not in ignored
        and option.partition("=")[0] not in ignored
    }


def remountable(fstype: str) -> bool:
    """Whether options can be changed while it is mounted: not behind a helper process or a network client, which read
    theirs when they start."""
    base = fstype.partition(".")[0]
    return base not in ("fuse", "fuseblk", "nfs", "nfs4", "cifs", "smb3", "ceph", "ceph-fuse", "glusterfs", "9p")


def _holds(option: str, live: Mount) -> bool:
    shown = {*live.options, *live.super_options}
    if option in _OPPOSITES:
        return option in shown
    for flag, opposite in _OPPOSITES.items():
        if option == opposite:
            return flag not in shown
    if option.startswith("size=") and live.fstype == "tmpfs":
        now = next((one for one in live.super_options if one.startswith("size=")), "size=")
        wanted = _bytes(option)
        return wanted is None or wanted == _bytes(now)
    return True


def _bytes(option: str) -> int | None:
    """The bytes of `size=1g`; None when they cannot be told (a percentage)."""
    found = _SIZE.fullmatch(option.partition("=")[2])
    if found is None or found.group(2) == "%":
        return None
    return int(found.group(1)) * _UNITS[found.group(2).lower()]
