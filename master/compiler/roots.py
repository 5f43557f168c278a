"""The directories of one environment: which file a name means, and nothing outside of them."""

from __future__ import annotations

import difflib
import hashlib
import os
import stat
from collections.abc import Callable, Iterator, Sequence
from fnmatch import fnmatchcase
from pathlib import Path

from protocol.errors import SlsError, Where

MAX_TEMPLATE = 4 * 1024 * 1024
"""Bytes of one SLS file or template."""

_CHUNK = 1024 * 1024


Note = Callable[[str, str, bytes], None]
"""Takes the verb, the name and what was told."""


def content_digest(path: Path) -> bytes:
    """The SHA-256 of a file; empty when it cannot be read."""
    hasher = hashlib.sha256()
    try:
        with path.open("rb") as file:
            while chunk := file.read(_CHUNK):
                hasher.update(chunk)
    except OSError:
        return b""
    return hasher.digest()


def _listing_digest(names: Sequence[str]) -> bytes:
    return hashlib.sha256("\0".join(names).encode("utf-8", "surrogateescape")).digest()


class FileRoots:
    """Files below `directories`, named by paths relative to them; the first directory that has a name wins.

    A name with `..`, a leading `/`, a backslash or NUL names nothing, nor does a link that leads out of its directory.
    """

    def __init__(self, directories: Sequence[Path], environment: str, note: Note | None = None) -> None:
        self.environment = environment
        self._directories = tuple(directory.resolve() for directory in directories)
        self._note = note

    def told(self, verb: str, name: str) -> bytes:
        """What these directories say: to `find` where the file is, to `text` a digest of its content, to `under` and
        `names` a digest of what is listed. Who keeps results asks again, to see whether they still hold."""
        if verb == "find":
            return str(self._find(name) or "").encode()
        if verb == "text":
            path = self._find(name)
            return b"" if path is None else content_digest(path)
        listed = self._under(name) if verb == "under" else self._names()
        return _listing_digest(listed)

    def find(self, name: str) -> Path | None:
        """The regular file called `name`, or None."""
        found = self._find(name)
        if self._note is not None:
            self._note("find", name, str(found or "").encode())
        return found

    def read(self, name: str) -> str | None:
        """The text of the file called `name`, None when there is none. Raises SlsError when it is no UTF-8 text."""
        path = self.find(name)
        if path is None:
            return None
        try:
            if path.stat().st_size > MAX_TEMPLATE:
                raise SlsError(f"larger than {MAX_TEMPLATE} bytes", where=Where(name))
            content = path.read_bytes()
            if self._note is not None:
                self._note("text", name, hashlib.sha256(content).digest())
            return content.decode("utf-8")
        except OSError as error:
            raise SlsError(f"cannot be read: {error.strerror}", where=Where(name)) from None
        except UnicodeDecodeError as error:
            line = error.object[: error.start].count(b"\n") + 1
            raise SlsError("this is not UTF-8 text", where=Where(name, line)) from None

    def sls_file(self, sls: str) -> str | None:
        """The file of the SLS `sls`: `a.b` is `a/b.sls` or else `a/b/init.sls`; None when there is neither."""
        base = sls.replace(".", "/")
        for name in (f"{base}.sls", f"{base}/init.sls"):
            if self.find(name) is not None:
                return name
        return None

    def sls_names(self) -> list[str]:
        """Every SLS there is, sorted, `top` left out."""
        names = self._names()
        if self._note is not None:
            self._note("names", "", _listing_digest(names))
        return names

    def _names(self) -> list[str]:
        names = set()
        for name in self._walk(""):
            if name.endswith(".sls") and name != "top.sls":
                dotted = name.removesuffix(".sls").removesuffix("/init").replace("/", ".")
                names.add(dotted)
        return sorted(names)

    def matching_sls(self, pattern: str) -> list[str]:
        """The SLS names that match the glob `pattern`, sorted; a name without a wildcard is itself."""
        if not any(mark in pattern for mark in "*?["):
            return [pattern]
        return [name for name in self.sls_names() if fnmatchcase(name, pattern)]

    def files_under(self, name: str) -> list[str]:
        """The files below the directory `name`, relative to the roots, sorted; empty when it does not exist."""
        found = self._under(name)
        if self._note is not None:
            self._note("under", name, _listing_digest(found))
        return found

    def watch(self, name: str) -> None:
        """Note the content of the file `name`, which somebody reads."""
        if self._note is not None:
            self._note("text", name, self.told("text", name))

    def blob(self, name: str, digest: str) -> None:
        """Note that the content of `name`, with this SHA-256 in hex, is sent as it is."""
        if self._note is not None:
            self._note("text", name, bytes.fromhex(digest))

    def _under(self, name: str) -> list[str]:
        prefix = name.strip("/")
        return sorted({found for found in self._walk(prefix) if self._find(found) is not None})

    def near(self, name: str, known: Sequence[str]) -> str:
        """What to do about a `name` that is not among `known`: the nearest ones, or where was looked."""
        close = difflib.get_close_matches(name, known, n=3, cutoff=0.5)
        if close:
            return "did you mean " + " or ".join(repr(found) for found in close) + "?"
        beside = [found for found in known if found.partition(".")[0] == name.partition(".")[0]][:8]
        if beside:
            return "there is " + ", ".join(beside)
        looked = ", ".join(str(directory) for directory in self._directories)
        return f"looked in {looked}" if looked else f"environment {self.environment!r} has no directory"

    def _find(self, name: str) -> Path | None:
        if not _inside(name):
            return None
        for directory in self._directories:
            path = directory / name
            try:
                mode = path.stat().st_mode
                if not stat.S_ISREG(mode):
                    continue
                real = path.resolve(strict=True)
            except (OSError, RuntimeError, ValueError):
                continue
            if real.is_relative_to(directory):
                return real
        return None

    def _walk(self, prefix: str) -> Iterator[str]:
        if prefix and not _inside(prefix):
            return
        for directory in self._directories:
            start = directory / prefix
            if not start.resolve().is_relative_to(directory):
                continue
            for folder, folders, files in os.walk(start):
                folders[:] = sorted(found for found in folders if not found.startswith(".git"))
                relative = Path(folder).relative_to(directory).as_posix()
                for file in files:
                    yield file if relative == "." else f"{relative}/{file}"


def _inside(name: str) -> bool:
    if not name or name.startswith("/") or "\\" in name or "\0" in name:
        return False
    return ".." not in name.split("/")
