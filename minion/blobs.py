"""File content by digest: what is here, what is being fetched, part by part, checked before it counts."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass, field
from pathlib import Path

from protocol import limits
from protocol.messages import BlobPart, BlobRequest

MOST_OUTSTANDING = 4
"""Requests for parts on their way at once."""


@dataclass(slots=True)
class _Fetch:
    """One blob on its way in."""

    digest: str
    received: int = 0
    requested: bool = False
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

    def path(self, digest: str) -> Path:
        """Where the content is, once it is here. `digest` must be 64 hex digits (it comes from signed orders)."""
        if len(digest) != 64 or not set(digest) <= set("0123456789abcdef"):
            raise ValueError("not a digest")
        return self._folder / digest

    def has(self, digest: str) -> bool:
        """Whether the whole content is here."""
        return self.path(digest).exists()

    def want(self, digest: str) -> None:
        """Fetch it."""
        if not self.has(digest):
            self._fetches.setdefault(digest, _Fetch(digest))

    def restart(self) -> None:
        """A session began: ask again for what is outstanding."""
        for fetch in self._fetches.values():
            fetch.requested = False

    def requests(self) -> list[BlobRequest]:
        """The requests to send now."""
        made: list[BlobRequest] = []
        outstanding = sum(fetch.requested for fetch in self._fetches.values())
        for fetch in self._fetches.values():
            if outstanding + len(made) >= MOST_OUTSTANDING:
                break
            if not fetch.requested:
                fetch.requested = True
                made.append(BlobRequest(fetch.digest, fetch.received, limits.BLOB_CHUNK))
        return made

    def take(self, part: BlobPart) -> str | None:
        """Store a part. Returns an error text when the blob is not to be had, else None. Raises OSError."""
        fetch = self._fetches.get(part.digest)
        if fetch is None:
            return None
        if part.size < 0:
            del self._fetches[part.digest]
            return "the master does not have its content any more"
        if part.offset != fetch.received:
            return None
        partial = self._folder / f"{part.digest}.part"
        self._write(partial, part)
        fetch.hasher.update(part.content)
        fetch.received += len(part.content)
        fetch.requested = False
        if fetch.received < part.size and part.content:
            return None
        del self._fetches[part.digest]
        if fetch.hasher.hexdigest() != part.digest:
            partial.unlink()
            return "its content arrived damaged"
        partial.rename(self.path(part.digest))
        return None

    def fetching(self, digest: str) -> bool:
        """Whether the blob is on its way."""
        return digest in self._fetches

    def prune(self, needed: set[str]) -> None:
        """Keep the store within its size: the content least recently used goes first, never what is `needed`."""
        files = [(path.stat(), path) for path in self._folder.iterdir()]
        total = sum(stat.st_size for stat, _ in files)
        for stat, path in sorted(files, key=lambda each: each[0].st_mtime):
            if total <= self._most_bytes:
                break
            if path.name not in needed and not path.name.endswith(".part"):
                path.unlink()
                total -= stat.st_size

    def _write(self, partial: Path, part: BlobPart) -> None:
        flags = os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW | (os.O_TRUNC if part.offset == 0 else 0)
        fd = os.open(partial, flags, 0o600)
        try:
            os.lseek(fd, part.offset, os.SEEK_SET)
            view = memoryview(part.content)
            while view:
                view = view[os.write(fd, view) :]
        finally:
            os.close(fd)
