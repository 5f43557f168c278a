"""What is mounted, by the kernel's own table, and fstab edited line by line."""

from __future__ import annotations

import errno
import os
import queue
import re
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from protocol.errors import StateError
from states.context import Context
from states.host import files

MOUNTINFO: Final = "/proc/self/mountinfo"
_OCTAL: Final = re.compile(r"\\([0-7]{3})")
_GAPS: Final = re.compile(r"(\s+)")

# The helpers that a type of fstab stands for, by what the kernel's table then says.
_LIVE_TYPES: Final[dict[str, frozenset[str]]] = {
    "glusterfs": frozenset({"fuse.glusterfs"}),
    "fuse.ceph": frozenset({"fuse.ceph-fuse"}),
    "ceph-fuse": frozenset({"fuse.ceph-fuse"}),
    "fuse.ceph-fuse": frozenset({"fuse.ceph-fuse"}),
    "nfs": frozenset({"nfs", "nfs4"}),
    "sshfs": frozenset({"fuse.sshfs"}),
    "ntfs": frozenset({"ntfs", "ntfs3", "fuseblk"}),
    "ntfs-3g": frozenset({"fuseblk"}),
    "smbfs": frozenset({"cifs", "smb3"}),
}
_OWN_SOURCE: Final = frozenset({"fuse.ceph", "ceph-fuse", "fuse.ceph-fuse"})
"""Types whose helper names its own source (`ceph-fuse`) whatever fstab says."""


@dataclass(frozen=True, slots=True)
class Mount:
    """One line of the kernel's table: `options` of the mount point, `super_options` of the file system."""

    point: str
    fstype: str
    source: str
    root: str
    options: tuple[str, ...]
    super_options: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry of fstab(5)."""

    device: str
    point: str
    fstype: str
    options: tuple[str, ...] = ("defaults",)
    dump: int = 0
    passno: int = 0

    def line(self) -> str:
        """The entry as a line."""
        options = ",".join(self.options) or "defaults"
        words = (self.device, self.point, self.fstype, options, str(self.dump), str(self.passno))
        return " ".join(map(_encoded, words))


@dataclass(slots=True)
class Fstab:
    """fstab as lines; comments, order and the lines of others stay as they are."""

    lines: list[str] = field(default_factory=list)

    def find(self, point: str) -> Entry | None:
        """The last entry for the mount point `point`, or for swap on the device of that name."""
        found = [entry for line in self.lines if (entry := parse_line(line)) is not None and _is_at(entry, point)]
        return found[-1] if found else None

    def put(self, entry: Entry) -> None:
        """Set the entry of its mount point, in the place of the present one or at the end."""
        point = entry.point if entry.point.startswith("/") else entry.device
        places = [number for number, line in enumerate(self.lines) if _is_line_at(line, point)]
        if places:
            self.lines[places[-1]] = _in_the_manner_of(self.lines[places[-1]], entry)
        else:
            self.lines.append(entry.line())

    def drop(self, point: str) -> None:
        """Take away every entry for the mount point."""
        self.lines = [line for line in self.lines if not _is_line_at(line, point)]

    def text(self) -> str:
        """The file's content."""
        return "".join(f"{line}\n" for line in self.lines)


def mounts(ctx: Context) -> list[Mount]:
    """What is mounted, in the order it was mounted. Raises StateError."""
    try:
        text = ctx.path(MOUNTINFO).read_text("utf-8", "surrogateescape")
    except OSError as error:
        raise files.failure(ctx.path(MOUNTINFO), error, "read") from error
    return parse_mountinfo(text)


def mounted_at(ctx: Context, point: str) -> Mount | None:
    """What one sees at `point`: the last of what is mounted there. Raises StateError."""
    found = [mount for mount in mounts(ctx) if mount.point == point]
    return found[-1] if found else None


def parse_mountinfo(text: str) -> list[Mount]:
    """The mounts in mountinfo (proc(5))."""
    found = []
    for line in text.split("\n"):
        before, dash, after = line.partition(" - ")
        left, right = before.split(" "), after.split(" ")
        if not dash or len(left) < 6 or len(right) < 3:
            continue
        found.append(
            Mount(
                point=_decoded(left[4]),
                fstype=right[0],
                source=_decoded(right[1]),
                root=_decoded(left[3]),
                options=tuple(left[5].split(",")),
                super_options=tuple(right[2].split(",")),
            )
        )
    return found


def read_fstab(ctx: Context, config: str) -> Fstab:
    """The lines of `config`; none when there is no such file. Raises StateError."""
    path = ctx.path(config)
    try:
        return Fstab(path.read_text("utf-8", "surrogateescape").splitlines())
    except FileNotFoundError:
        return Fstab()
    except OSError as error:
        raise files.failure(path, error, "read") from error


def write_fstab(ctx: Context, config: str, fstab: Fstab) -> None:
    """Replace `config`, keeping its owner and mode. Raises StateError."""
    path = ctx.path(config)
    try:
        stat = path.stat()
        mode, uid, gid = stat.st_mode & 0o7777, stat.st_uid, stat.st_gid
    except FileNotFoundError:
        mode, uid, gid = 0o644, -1, -1
    files.write_atomic(path, fstab.text().encode("utf-8", "surrogateescape"), mode=mode, uid=uid, gid=gid)


def parse_line(line: str) -> Entry | None:
    """The entry in a line of fstab; None for a comment or what is no entry."""
    words = line.split()
    if not words or words[0].startswith("#") or len(words) < 3:
        return None
    dump, passno = (int(word) if word.isdigit() else 0 for word in (*words[4:6], "0", "0")[:2])
    options = tuple(_decoded(words[3]).split(",")) if len(words) > 3 else ("defaults",)
    return Entry(_decoded(words[0]), _decoded(words[1]), words[2], options, dump, passno)


def same_type(wanted: str, live: str) -> bool:
    """Whether what is mounted as `live` may be what fstab calls `wanted`; FUSE helpers have names of their own."""
    if wanted in ("auto", "none", "", live):
        return True
    return live in _LIVE_TYPES.get(wanted, frozenset()) or live == f"fuse.{wanted}"


def same_device(ctx: Context, entry: Entry, live: Mount) -> bool:
    """Whether `live` is a mount of what `entry` names; types with a source of their own cannot be told apart."""
    if entry.fstype in _OWN_SOURCE or entry.device in ("none", live.source):
        return True
    if "bind" in entry.options or "rbind" in entry.options:
        return live.root == _root_of(ctx, entry.device)
    if _is_virtual(live):
        return True
    if entry.device.rstrip("/") == live.source.rstrip("/"):
        return True
    return _real(ctx, entry.device) == _real(ctx, live.source)


def _root_of(ctx: Context, folder: str) -> str:
    """What the kernel calls a folder that is bound elsewhere: its path within its own file system."""
    under = [mount for mount in mounts(ctx) if f"{folder}/".startswith(f"{mount.point.rstrip('/')}/")]
    if not under:
        return folder
    holder = max(under, key=lambda mount: len(mount.point))
    inside = folder[len(holder.point.rstrip("/")) :]
    return (holder.root.rstrip("/") + inside) or "/"


def _is_virtual(live: Mount) -> bool:
    """Whether the source of such a mount is but a word."""
    return live.fstype in ("tmpfs", "proc", "sysfs", "devpts", "devtmpfs", "cgroup", "cgroup2", "overlay", "hugetlbfs")


def _real(ctx: Context, device: str) -> str:
    """The device node behind a name, `UUID=…`, `LABEL=…` or a link."""
    kind, equals, value = device.partition("=")
    if equals and kind in ("UUID", "LABEL", "PARTUUID", "PARTLABEL"):
        device = f"/dev/disk/by-{kind.lower()}/{value.strip(chr(34))}"
    if not device.startswith("/"):
        return device
    return str(Path(ctx.path(device)).resolve())


def _is_at(entry: Entry, point: str) -> bool:
    if entry.fstype == "swap":
        return entry.device == point
    return entry.point == point or (len(entry.point) > 1 and entry.point.rstrip("/") == point)


def _is_line_at(line: str, point: str) -> bool:
    entry = parse_line(line)
    return entry is not None and _is_at(entry, point)


def _in_the_manner_of(line: str, entry: Entry) -> str:
    """The entry as a line with the gaps between words of the line it replaces, as far as they go."""
    gaps: Sequence[str] = _GAPS.findall(line.strip())
    words = entry.line().split(" ")
    return "".join(word + (gaps[at] if at < len(gaps) else " ") for at, word in enumerate(words)).rstrip()


def _encoded(word: str) -> str:
    """A word as fstab holds it: white space, backslash and a leading # as octal."""
    coded = "".join(f"\\{ord(char):03o}" if char in " \t\n\\" else char for char in word)
    return f"\\043{coded[1:]}" if coded.startswith("#") else coded


def _decoded(word: str) -> str:
    return _OCTAL.sub(lambda found: chr(int(found.group(1), 8)), word)


@dataclass(frozen=True, slots=True)
class Silence:
    """Why a mounted file system gives no answer; `gone` when the process that served it is (ENOTCONN)."""

    reason: str
    gone: bool = False


def silence(path: Path, deadline: float) -> Silence | None:
    """None when the file system at `path` answers within `deadline` seconds (statvfs(3), which no cache answers).

    It is asked in a thread of its own, which nothing waits for any longer.
    """
    told: queue.SimpleQueue[Silence | None] = queue.SimpleQueue()

    def ask() -> None:
        try:
            os.statvfs(path)
            told.put(None)
        except OSError as error:
            told.put(Silence(error.strerror or str(error), error.errno == errno.ENOTCONN))

    threading.Thread(target=ask, name="mount-answers", daemon=True).start()
    try:
        return told.get(timeout=deadline)
    except queue.Empty:
        return Silence(f"no answer within {deadline:g} s")


def check_point(point: str) -> str:
    """A mount point without its trailing slashes. Raises StateError when it is not absolute."""
    if not point.startswith("/"):
        raise StateError(f"{point!r} is not an absolute path", help="a mount point begins with '/'")
    return point.rstrip("/") or "/"
