"""Questions about the files of a minion."""

from __future__ import annotations

import os
import stat as bits

from protocol import limits
from protocol.data import Data
from protocol.errors import ArgumentError, StateError, Where
from protocol.secrets import Secret
from states.context import Context
from states.host import files
from states.host.attributes import group_name, user_name
from states.host.folders import kind
from states.registry import function

_ALGORITHMS = ("md5", "sha1", "sha224", "sha256", "sha384", "sha512")


@function("file.read", access="reads")
def read(ctx: Context, path: str, binary: bool = False) -> Data:
    """The content of the regular file `path`, at most 1 MiB, as text (or, with `binary`, as bytes).

    Raises StateError when it is not there, not a regular file, or too large.
    """
    real = ctx.path(path)
    try:
        descriptor = os.open(real, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        with os.fdopen(descriptor, "rb") as content:
            if not bits.S_ISREG(os.fstat(descriptor).st_mode):
                raise StateError("is not a regular file", where=Where(path))
            raw = content.read(limits.MAX_OUTPUT + 1)
    except OSError as error:
        raise files.failure(real, error, "read") from error
    if len(raw) > limits.MAX_OUTPUT:
        size = f"is larger than {limits.MAX_OUTPUT} bytes"
        raise StateError(size, where=Where(path), help="file.hash and file.stat tell of it; copy it another way")
    return raw if binary else raw.decode("utf-8", "replace")


def _stat(ctx: Context, path: str, follow_symlinks: bool = False) -> Data:
    """type, mode, user, group, uid, gid, size (bytes), inode, links, target (of a link), and atime, mtime, ctime in
    seconds since the epoch. Raises StateError when it is not there.

    follow_symlinks: tell of what a link leads to
    """
    real = ctx.path(path)
    try:
        found = real.stat() if follow_symlinks else real.lstat()
        told: dict[str, Data] = {
            "path": path,
            "type": kind(real.resolve() if follow_symlinks else real),
            "mode": files.show_mode(found.st_mode),
            "user": user_name(ctx, found.st_uid),
            "group": group_name(ctx, found.st_gid),
            "uid": found.st_uid,
            "gid": found.st_gid,
            "size": found.st_size,
            "inode": found.st_ino,
            "links": found.st_nlink,
            "atime": found.st_atime,
            "mtime": found.st_mtime,
            "ctime": found.st_ctime,
        }
        if told["type"] == "link":
            told["target"] = str(real.readlink())
    except OSError as error:
        raise files.failure(real, error, "look") from error
    return told


def _hash(ctx: Context, path: str, form: str = "sha256") -> Data:
    """The digest of the content of the regular file `path` in hex.

    form: md5, sha1, sha224, sha256, sha384 or sha512
    """
    if form not in _ALGORITHMS:
        raise ArgumentError(f"{form!r} is no digest", help=f"use {', '.join(_ALGORITHMS)}")
    real = ctx.path(path)
    if real.exists() and not real.is_file():
        raise StateError("is not a regular file", where=Where(path))
    try:
        return files.digest(real, form)
    except OSError as error:
        raise files.failure(real, error, "read") from error


for _name in ("file.stat", "file.stats"):
    function(_name, access="reads")(_stat)
for _name in ("file.hash", "file.get_hash"):
    function(_name, access="reads")(_hash)


@function("file.exists", access="reads")
def exists(ctx: Context, path: str) -> Data:
    """Whether anything is at `path`, a link that leads nowhere included."""
    return os.path.lexists(ctx.path(path))


@function("file.file_exists", access="reads")
def file_exists(ctx: Context, path: str) -> Data:
    """Whether `path` is a regular file, or a link to one."""
    return ctx.path(path).is_file()


@function("file.directory_exists", access="reads")
def directory_exists(ctx: Context, path: str) -> Data:
    """Whether `path` is a directory, or a link to one."""
    return ctx.path(path).is_dir()


@function("file.readdir", access="reads")
def readdir(ctx: Context, path: str) -> Data:
    """The names in the directory `path`, sorted. Raises StateError."""
    try:
        return sorted(entry.name for entry in ctx.path(path).iterdir())
    except OSError as error:
        raise files.failure(ctx.path(path), error, "list") from error


@function("file.read_secret", access="reads", secret=True)
def read_secret(ctx: Context, path: str) -> Data:
    """The content of the file `path`, for a later step of an orchestration; it is never shown or stored."""
    return Secret(str(read(ctx, path)))
