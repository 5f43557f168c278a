"""Where the wanted content of a file comes from, and how it is compared and put in place."""

from __future__ import annotations

import hashlib
import os
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from protocol.errors import StateError, UnreachableError, Where
from states.context import Context
from states.host import files
from states.host.files import Check

_CHUNK = 1024 * 1024


class Content(Protocol):
    """The wanted content of a file."""

    def same_as(self, path: Path) -> bool:
        """Whether the regular file `path` holds just this. Raises OSError."""
        ...

    def text(self) -> bytes | None:
        """The content when it is there and short enough for a diff."""
        ...

    def told(self) -> str:
        """The content by size or digest."""
        ...

    def put(self, path: Path, *, mode: int, uid: int, gid: int, check: Check | None) -> None:
        """Make it the content of `path`. Raises StateError."""
        ...


@dataclass(frozen=True, slots=True)
class Bytes:
    """Content that lies in memory."""

    content: bytes

    def same_as(self, path: Path) -> bool:
        return path.stat().st_size == len(self.content) and path.read_bytes() == self.content

    def text(self) -> bytes | None:
        return self.content

    def told(self) -> str:
        return files.describe(self.content)

    def put(self, path: Path, *, mode: int, uid: int, gid: int, check: Check | None) -> None:
        files.write_atomic(path, self.content, mode=mode, uid=uid, gid=gid, check=check)


@dataclass(frozen=True, slots=True)
class LocalFile:
    """Content that lies in a file of this host; `algorithm` and `hexdigest` when it was given by digest."""

    source: Path
    algorithm: str = "sha256"
    hexdigest: str = ""

    def same_as(self, path: Path) -> bool:
        if path.stat().st_size != self.source.stat().st_size:
            return False
        wanted = self.hexdigest or files.digest(self.source, self.algorithm)
        return files.digest(path, self.algorithm) == wanted

    def text(self) -> bytes | None:
        return self.source.read_bytes() if self.source.stat().st_size <= files.COMPARE_LIMIT else None

    def told(self) -> str:
        hexdigest = self.hexdigest or files.digest(self.source, self.algorithm)
        return f"{self.source.stat().st_size} bytes, {self.algorithm} {hexdigest[:16]}"

    def put(self, path: Path, *, mode: int, uid: int, gid: int, check: Check | None) -> None:
        files.copy_atomic(path, self.source, mode=mode, uid=uid, gid=gid, check=check)


@dataclass(frozen=True, slots=True)
class Download:
    """Content behind an http(s) address, known by its digest; fetched only when it is put in place."""

    url: str
    algorithm: str
    hexdigest: str
    folder: Path
    deadline: float

    def same_as(self, path: Path) -> bool:
        return files.digest(path, self.algorithm) == self.hexdigest

    def text(self) -> bytes | None:
        return None

    def told(self) -> str:
        return f"{self.algorithm} {self.hexdigest[:16]}"

    def put(self, path: Path, *, mode: int, uid: int, gid: int, check: Check | None) -> None:
        try:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            descriptor, name = tempfile.mkstemp(dir=self.folder, prefix="download.")
            try:
                with os.fdopen(descriptor, "wb") as out:
                    self._fetch(out.write)
                files.copy_atomic(path, Path(name), mode=mode, uid=uid, gid=gid, check=check)
            finally:
                Path(name).unlink()
        except OSError as error:
            raise files.failure(path, error, f"fetch {self.url}") from error

    def _fetch(self, write: Callable[[bytes], object]) -> None:
        """Write what the address gives. Raises StateError on a wrong digest, UnreachableError, OSError."""
        import urllib.error
        import urllib.request  # loads ssl and http: only those who download pay for it

        until = time.monotonic() + self.deadline
        digest = hashlib.new(self.algorithm)
        try:
            with urllib.request.urlopen(self.url, timeout=min(self.deadline, 60)) as answer:
                while chunk := answer.read(_CHUNK):
                    if time.monotonic() > until:
                        raise StateError(f"{self.url} did not arrive within {self.deadline:g} s")
                    digest.update(chunk)
                    write(chunk)
        except urllib.error.URLError as error:
            help = "is it up, and does this host need a proxy for it?"
            raise UnreachableError(f"cannot fetch {self.url}: {error.reason}", help=help) from error
        if digest.hexdigest() != self.hexdigest:
            raise StateError(
                f"{self.url} has the {self.algorithm} {digest.hexdigest()}, wanted {self.hexdigest}",
                help="correct source_hash, if the new content is right",
            )


@dataclass(frozen=True, slots=True)
class Foretold:
    """Content that a dry run cannot know: an earlier state is to make its source."""

    source: str

    def same_as(self, path: Path) -> bool:
        return False

    def text(self) -> bytes | None:
        return None

    def told(self) -> str:
        return f"the content of {self.source}, which is not there yet"

    def put(self, path: Path, *, mode: int, uid: int, gid: int, check: Check | None) -> None:
        raise StateError(f"{self.source} is not there", where=Where(str(path)))


def of_source(ctx: Context, source: str) -> LocalFile:
    """The content of a `salt://` source of the chunk at hand. Raises StateError."""
    path = ctx.source(source)
    return LocalFile(path, hexdigest=ctx.sources[source].digest)
