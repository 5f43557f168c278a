"""File content by digest: what is here, what is being fetched part by part; it counts only when size and hash hold."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from protocol import limits
from protocol.assignment import BlobRef
from protocol.errors import StateError
from protocol.messages import BlobPart, BlobRequest

MOST_OUTSTANDING = 4
"""Requests for parts on their way at once."""

PART_PATIENCE = 30.0
"""Seconds after which a part that did not come is asked for again."""


@dataclass(slots=True)
class _Fetch:
    """One blob on its way in; `asked` is when its next part was asked for (monotonic seconds), 0 when it was not."""

    digest: str
    received: int = 0
    asked: float = 0.0
    hasher: hashlib._Hash = field(default_factory=hashlib.sha256)


class Blobs:
    """The content store under `state_dir/blobs` (0700), at most `most_bytes` of it kept between jobs."""

    def __init__(self, state_dir: Path, most_bytes: int = 1 << 30) -> None:
        self._folder = state_dir / "blobs"
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._most_bytes = most_bytes
        self._fetches: dict[str, _Fetch] = {}
        for torn in self._folder.glob("*.part"):
            torn.unlink()

    # --- what is here ---------------------------------------------------------------------------------------------

    def path(self, digest: str) -> Path:
        """Where the content is, once it is here. `digest` must be 64 hex digits (it comes from signed orders)."""
        if len(digest) != 64 or not set(digest) <= set("0123456789abcdef"):
            raise ValueError("not a digest")
        return self._folder / digest

    def has(self, digest: str, size: int | None = None) -> bool:
        """Whether the content is here, of the right size when that is known; a wrong one is removed."""
        path = self.path(digest)
        try:
            found = path.stat().st_size
        except FileNotFoundError:
            return False
        if size is not None and found != size:
            path.unlink(missing_ok=True)
            return False
        return True

    def checked(self, ref: BlobRef) -> Path:
        """Where the content of `ref` is, its hash checked now. Raises StateError; a wrong one is removed."""
        path = self.path(ref.digest)
        hasher = hashlib.sha256()
        try:
            with path.open("rb") as file:
                while chunk := file.read(1 << 20):
                    hasher.update(chunk)
            os.utime(path)
        except OSError as error:
            raise StateError(f"the content {ref.digest[:12]} cannot be read: {error.strerror}") from None
        if hasher.hexdigest() != ref.digest:
            path.unlink(missing_ok=True)
            raise StateError(
                f"the content {ref.digest[:12]} is damaged on this host", help="apply again: it is fetched"
            )
        return path

    def prune(self, needed: set[str]) -> None:
        """Keep the store within its size: the content used longest ago goes first, never what is `needed`."""
        files = [(path.stat(), path) for path in self._folder.iterdir() if not path.name.endswith(".part")]
        total = sum(stat.st_size for stat, _ in files)
        for stat, path in sorted(files, key=lambda each: each[0].st_mtime):
            if total <= self._most_bytes:
                break
            if path.name not in needed:
                path.unlink(missing_ok=True)
                total -= stat.st_size

    # --- what is on its way ---------------------------------------------------------------------------------------

    def want(self, digest: str) -> None:
        """Fetch it."""
        if not self.has(digest):
            self._fetches.setdefault(digest, _Fetch(digest))

    def fetching(self, digest: str) -> bool:
        """Whether the blob is on its way."""
        return digest in self._fetches

    def keep_only(self, needed: Iterable[str]) -> None:
        """Drop the fetches that no job waits for any more."""
        for digest in self._fetches.keys() - set(needed):
            self._drop(digest)

    def restart(self) -> None:
        """A session began: ask again for what is outstanding."""
        for fetch in self._fetches.values():
            fetch.asked = 0.0

    def requests(self, now: float) -> list[BlobRequest]:
        """The requests to send now; what was asked for too long ago is asked for again."""
        made: list[BlobRequest] = []
        waiting = [fetch for fetch in self._fetches.values() if fetch.asked and now - fetch.asked < PART_PATIENCE]
        for fetch in self._fetches.values():
            if len(waiting) + len(made) >= MOST_OUTSTANDING:
                break
            if fetch not in waiting:
                fetch.asked = max(now, 1e-9)
                made.append(BlobRequest(fetch.digest, fetch.received, limits.BLOB_CHUNK))
        return made

    def take(self, part: BlobPart) -> str | None:
        """Store a part. Returns an error text when the blob is not to be had, else None."""
        fetch = self._fetches.get(part.digest)
        if fetch is None or (part.size >= 0 and part.offset != fetch.received):
            return None
        if part.size < 0:
            self._drop(part.digest)
            return "the master does not have its content any more"
        try:
            return self._store(fetch, part)
        except OSError as error:
            self._drop(part.digest)
            return f"its content cannot be stored: {error.strerror}"

    def _store(self, fetch: _Fetch, part: BlobPart) -> str | None:
        partial = self._partial(part.digest)
        done = fetch.received + len(part.content) >= part.size or not part.content
        self._write(partial, part, sync=done)
        fetch.hasher.update(part.content)
        fetch.received += len(part.content)
        fetch.asked = 0.0
        if not done:
            return None
        if fetch.hasher.hexdigest() != part.digest:
            self._drop(part.digest)
            return "its content arrived damaged"
        partial.rename(self.path(part.digest))
        del self._fetches[part.digest]
        return None

    def _partial(self, digest: str) -> Path:
        return self._folder / f"{digest}.part"

    def _drop(self, digest: str) -> None:
        self._fetches.pop(digest, None)
        self._partial(digest).unlink(missing_ok=True)

    def _write(self, partial: Path, part: BlobPart, *, sync: bool) -> None:
        flags = os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW | (os.O_TRUNC if part.offset == 0 else 0)
        fd = os.open(partial, flags, 0o600)
        try:
            os.lseek(fd, part.offset, os.SEEK_SET)
            view = memoryview(part.content)
            while view:
                view = view[os.write(fd, view) :]
            if sync:
                os.fsync(fd)
        finally:
            os.close(fd)
