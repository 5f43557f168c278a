"""How a file is replaced, compared and kept: atomically, with its mode set before its content, and bounded."""

from __future__ import annotations

import difflib
import errno
import hashlib
import io
import os
import secrets
import shutil
import time
from collections.abc import Callable, Collection
from pathlib import Path
from typing import BinaryIO, Final

from protocol.errors import ArgumentError, StateError, Where
from protocol.secrets import MASK, Scrubber
from states.context import Context
from states.host.walk import folder

NOT_SHOWN: Final = "<content not shown>"
"""Stands for a diff that must not be seen."""

DIFF_LIMIT: Final = 64 * 1024
"""Characters of one diff; the rest is counted."""

COMPARE_LIMIT: Final = 512 * 1024
"""Bytes of a file that a diff is made of; a larger one is told by size and digest."""

BACKUPS_KEPT: Final = 10
"""Backups of one file; the oldest goes first."""

Check = Callable[[Path], None]
"""Looks at the new content before it replaces the old; raises StateError to refuse it."""

_HELP = {
    errno.ENOSPC: "free some space; the old file is as it was",
    errno.EDQUOT: "raise the quota; the old file is as it was",
    errno.EROFS: "the file system is mounted read-only",
    errno.ENOENT: "its directory does not exist: declare it with file.directory, or set makedirs",
    errno.EISDIR: "a directory is in the way",
    errno.EACCES: "the minion runs as a user that may not write there",
    errno.EPERM: "the minion may not do this: look at attributes (lsattr) and the minion's user",
}


def write_atomic(
    path: Path, content: bytes, *, mode: int, uid: int = -1, gid: int = -1, check: Check | None = None
) -> None:
    """Replace `path` by `content` in one step. -1 as owner means this process's own user or group.

    The new content lies in a new file in the same directory (random name, O_EXCL) whose owner and mode are set
    before it gets content; it is synced, shown to `check`, renamed, and the directory is synced. Whatever fails, the
    old content stays and the new file is gone. Raises StateError.
    """

    def fill(out: BinaryIO) -> None:
        out.write(content)

    _replace(path, fill, mode=mode, uid=uid, gid=gid, check=check)


def copy_atomic(
    path: Path, source: Path, *, mode: int, uid: int = -1, gid: int = -1, check: Check | None = None
) -> None:
    """As `write_atomic`, with the content of the file `source`, however large. Raises StateError."""

    def fill(out: BinaryIO) -> None:
        with source.open("rb") as content:
            shutil.copyfileobj(content, out, 1024 * 1024)

    _replace(path, fill, mode=mode, uid=uid, gid=gid, check=check)


def failure(path: Path, error: OSError, doing: str = "write") -> StateError:
    """The StateError that says why `doing` something to `path` failed, and what to do about it."""
    reason = error.strerror or str(error)
    help = _HELP.get(error.errno or 0, "")
    if error.errno == errno.ENOENT and path.parent.is_dir():
        help = "its directory is there: is the name right?"
    return StateError(f"cannot {doing}: {reason}", where=Where(str(path)), help=help)


def digest(path: Path, algorithm: str = "sha256") -> str:
    """The digest of the content of `path` in hex. Raises OSError."""
    with path.open("rb") as content:
        return hashlib.file_digest(content, algorithm).hexdigest()


def unified_diff(old: bytes | None, new: bytes | None, path: str, *, show: bool = True) -> str:
    """What changes from `old` to `new` (None: no such file) as a unified diff of at most DIFF_LIMIT characters.

    Content that is no UTF-8 text, or too long, is told by size and digest; with `show` false nothing of it is told.
    """
    if old == new:
        return ""
    if not show:
        return NOT_SHOWN
    before, after = _text(old), _text(new)
    if before is None or after is None:
        return f"{path}: {describe(old)} -> {describe(new)}"
    names = ("/dev/null" if old is None else path, "/dev/null" if new is None else path)
    lines = difflib.unified_diff(_lines(before), _lines(after), *names, n=3)
    return _bounded([line if line.endswith("\n") else line + "\n\\ No newline at end of file\n" for line in lines])


def without_old_secrets(diff: str, scrubber: Scrubber) -> str:
    """`diff` without the secrets that it takes away: a removed line that begins as an added line does before its
    secret is cut there. (What is added is known to `scrubber`; the value that it replaces is known to nobody.)"""
    lines = diff.split("\n")
    prefixes = set()
    for line in lines:
        scrubbed = scrubber.text(line)
        if line.startswith("+") and scrubbed != line:
            prefixes.add(scrubbed[1 : scrubbed.index(MASK)])
    if not prefixes:
        return diff
    return "\n".join(_cut(line, prefixes) for line in lines)


def describe(content: bytes | None) -> str:
    """`content` told by its size and digest."""
    if content is None:
        return "no file"
    return f"{len(content)} bytes, sha256 {hashlib.sha256(content).hexdigest()[:16]}"


def parse_mode(mode: str | int) -> int:
    """The permission bits of "0644", "644", "0o644" or 644, all read as octal. Raises ArgumentError."""
    text = str(mode).strip().removeprefix("0o")
    try:
        bits = int(text, 8)
    except ValueError:
        bits = -1
    if not 0 <= bits <= 0o7777:
        raise ArgumentError(f"{mode!r} is not a file mode", help="give it in octal, in quotes, like '0644'")
    return bits


def show_mode(bits: int) -> str:
    """Permission bits as Salt shows them: "0644"."""
    return f"{bits & 0o7777:04o}"


def backup(ctx: Context, path: Path) -> Path:
    """Keep the content of `path` under `ctx.state_dir`/backups (mode 0700, files 0600); says where.

    The newest BACKUPS_KEPT of a file are kept. Raises StateError.
    """
    place = ctx.state_dir / "backups" / str(path.absolute()).lstrip("/")
    stamp = time.strftime("%Y%m%dT%H%M%S", time.gmtime()) + f".{time.time_ns() % 10**9:09d}"
    try:
        for part in [*reversed(place.relative_to(ctx.state_dir).parents[:-1]), place.relative_to(ctx.state_dir)]:
            _private_folder(ctx.state_dir / part)
        for old in sorted(place.glob("*.old"))[: 1 - BACKUPS_KEPT or None]:
            old.unlink()
    except OSError as error:
        raise failure(place, error, "make the directory for the backup") from error
    kept = place / f"{stamp}.old"
    copy_atomic(kept, path, mode=0o600)
    return kept


def _private_folder(path: Path) -> None:
    path.mkdir(mode=0o700, exist_ok=True)


def _replace(
    path: Path, fill: Callable[[BinaryIO], None], *, mode: int, uid: int, gid: int, check: Check | None
) -> None:
    try:
        with folder(path.parent) as parent:
            new = f".{path.name[:100]}.{secrets.token_hex(8)}.new"
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
            descriptor = os.open(new, flags, 0o600, dir_fd=parent)
            renamed = False
            try:
                with os.fdopen(descriptor, "wb") as out:
                    _prepare(out.fileno(), parent, path.name, mode, uid, gid)
                    fill(out)
                    out.flush()
                    os.fchmod(out.fileno(), mode)  # a write may have cleared the set-user-id bits
                    os.fsync(out.fileno())
                if check is not None:
                    check(path.parent / new)
                os.rename(new, path.name, src_dir_fd=parent, dst_dir_fd=parent)
                renamed = True
            finally:
                if not renamed:
                    os.unlink(new, dir_fd=parent)
            os.fsync(parent)
    except OSError as error:
        raise failure(path, error) from error


def _prepare(descriptor: int, parent: int, name: str, mode: int, uid: int, gid: int) -> None:
    """Owner, mode and SELinux label of a new file that has no content yet."""
    os.fchown(descriptor, uid, gid)
    os.fchmod(descriptor, mode)
    try:
        label = os.getxattr(f"/proc/self/fd/{parent}/{name}", "security.selinux", follow_symlinks=False)
    except OSError:
        return  # nothing is replaced, or nothing is labelled here: the directory's rule holds
    os.setxattr(descriptor, "security.selinux", label)


def _text(content: bytes | None) -> str | None:
    if content is None:
        return ""
    if len(content) > COMPARE_LIMIT or b"\0" in content:
        return None
    try:
        return content.decode()
    except UnicodeDecodeError:
        return None


def _cut(line: str, prefixes: Collection[str]) -> str:
    if line.startswith("-"):
        for prefix in prefixes:
            if line.startswith(f"-{prefix}"):
                return f"-{prefix}{MASK}"
    return line


def _lines(text: str) -> list[str]:
    return list(io.StringIO(text, newline="\n"))


def _bounded(lines: list[str]) -> str:
    total = 0
    for count, line in enumerate(lines):
        total += len(line)
        if total > DIFF_LIMIT:
            return "".join(lines[:count]) + f"… {len(lines) - count} more lines\n"
    return "".join(lines)
