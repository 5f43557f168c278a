"""File contents by digest on the master's disk, who may fetch which, and the parts sent on request."""

from __future__ import annotations

import asyncio
import hashlib
import logging
import os
import re
import tempfile
import time
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from master.sessions import Session, Sessions
from protocol import limits
from protocol.errors import StateError, Where
from protocol.messages import BlobPart, BlobRequest
from protocol.names import JobId, MinionId

log = logging.getLogger("stackmaster.blobs")

MOST_PENDING = 16
"""Parts that one minion may wait for at once; it asks for four."""

KEPT_WHEN_FULL = 600.0
"""The same on a full disk: what a job that begins now brought must stay until it is granted."""

KEPT = 86_400.0
"""Seconds that a content nobody may fetch any more stays, for the next job that needs it."""

_DIGEST = re.compile(r"[0-9a-f]{64}")


class Blobs:
    """The contents under `folder` (0700; files 0600) and the grants of every minion."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._grants: dict[MinionId, dict[JobId, frozenset[str]]] = {}
        self._pool = ThreadPoolExecutor(2, thread_name_prefix="blobs")
        self._sending: set[asyncio.Task[None]] = set()

    def open(self) -> None:
        """Make the folder; remove what a crash left half written. Raises OSError."""
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        for torn in self._folder.glob("*/.*"):
            torn.unlink()

    def close(self) -> None:
        """Send no more."""
        for task in self._sending:
            task.cancel()
        self._pool.shutdown(wait=False, cancel_futures=True)

    # --- content ------------------------------------------------------------------------------------------------

    def path(self, digest: str) -> Path:
        """Where the content `digest` (64 hex digits) lies or would lie. Raises ValueError when it is no digest."""
        if _DIGEST.fullmatch(digest) is None:
            raise ValueError("not a digest")
        return self._folder / digest[:2] / digest

    async def put(self, contents: Mapping[str, bytes | Path]) -> None:
        """Keep contents under their digests; a path is copied. Raises StateError when a digest is wrong."""
        missing = {digest: content for digest, content in contents.items() if not self._touch(digest)}
        if missing:
            await asyncio.get_running_loop().run_in_executor(self._pool, self._put_all, missing)

    def lacking(self, digests: Iterable[str]) -> set[str]:
        """Those of `digests` that are not kept; the others stay for another day."""
        return {digest for digest in digests if not self._touch(digest)}

    def _touch(self, digest: str) -> bool:
        try:
            os.utime(self.path(digest))
        except FileNotFoundError:
            return False
        except OSError as error:
            log.warning("the content %s keeps its old time: %s", digest[:12], error.strerror)
        return True

    def _put_all(self, contents: Mapping[str, bytes | Path]) -> None:
        for digest, content in contents.items():
            self._put(digest, content)

    def _put(self, digest: str, content: bytes | Path) -> None:
        target = self.path(digest)
        target.parent.mkdir(mode=0o700, exist_ok=True)
        fd, name = tempfile.mkstemp(dir=target.parent, prefix=".")
        try:
            with os.fdopen(fd, "wb") as file:
                found = _copy(content, file.fileno())
                os.fsync(file.fileno())
            if found != digest:
                raise StateError(
                    "the file changed while it was read",
                    where=Where(file=str(content) if isinstance(content, Path) else ""),
                    help="apply again",
                )
            Path(name).replace(target)
        except OSError as error:
            Path(name).unlink(missing_ok=True)
            raise StateError(f"the content {digest[:12]} cannot be kept: {error.strerror}") from None
        except StateError:
            Path(name).unlink(missing_ok=True)
            raise

    async def prune(self, age: float = KEPT) -> int:
        """Remove contents that nobody may fetch and nobody asked for in `age` seconds; gives how many went."""
        wanted = {digest for jobs in self._grants.values() for digests in jobs.values() for digest in digests}
        return await asyncio.get_running_loop().run_in_executor(self._pool, self._prune, wanted, age)

    def _prune(self, wanted: set[str], age: float) -> int:
        before, gone = time.time() - age, 0
        try:
            for file in self._folder.glob("??/*"):
                if file.name not in wanted and file.stat().st_mtime < before:
                    file.unlink()
                    gone += 1
        except OSError as error:
            log.error("old contents cannot be removed: %s", error)
        return gone

    # --- grants -------------------------------------------------------------------------------------------------

    def grant(self, minion: MinionId, job: JobId, digests: frozenset[str]) -> None:
        """The minion may fetch these for the job."""
        if digests:
            self._grants.setdefault(minion, {})[job] = digests

    def revoke(self, minion: MinionId, job: JobId) -> None:
        """The minion is done with the job."""
        jobs = self._grants.get(minion)
        if jobs is not None and jobs.pop(job, None) is not None and not jobs:
            del self._grants[minion]

    def forget(self, minion: MinionId) -> None:
        """The minion may fetch nothing any more."""
        self._grants.pop(minion, None)

    def granted(self, minion: MinionId, digest: str) -> bool:
        """Whether the minion may fetch the content."""
        return any(digest in digests for digests in self._grants.get(minion, {}).values())

    # --- sending ------------------------------------------------------------------------------------------------

    def requested(self, sessions: Sessions, session: Session, request: BlobRequest) -> None:
        """Answer a minion's request; what it may not have is answered with size -1."""
        if session.pending_blobs >= MOST_PENDING:
            sessions.count_bad(session, f"more than {MOST_PENDING} parts asked for at once")
            return
        if request.offset < 0 or request.length <= 0 or not self.granted(session.minion, request.digest):
            sessions.count_bad(session, "a content asked for that it may not have")
            sessions.send(session.minion, BlobPart(request.digest[:64], request.offset, -1, b""))
            return
        session.pending_blobs += 1
        task = asyncio.get_running_loop().create_task(self._send(sessions, session, request))
        self._sending.add(task)
        task.add_done_callback(self._sending.discard)

    async def _send(self, sessions: Sessions, session: Session, request: BlobRequest) -> None:
        loop = asyncio.get_running_loop()
        try:
            part = await loop.run_in_executor(self._pool, self.read, request)
        finally:
            session.pending_blobs -= 1
        if sessions.get(session.minion) is session:
            sessions.send(session.minion, part)

    def read(self, request: BlobRequest) -> BlobPart:
        """The part asked for, at most 1 MiB; size -1 when the content is not there."""
        try:
            with self.path(request.digest).open("rb", buffering=0) as file:
                size = os.fstat(file.fileno()).st_size
                length = min(request.length, limits.BLOB_CHUNK)
                content = os.pread(file.fileno(), length, min(request.offset, size))
        except OSError as error:
            log.error("the content %s cannot be read: %s", request.digest[:12], error.strerror)
            return BlobPart(request.digest, request.offset, -1, b"")
        return BlobPart(request.digest, request.offset, size, content)


def _copy(content: bytes | Path, target: int) -> str:
    """Write `content` to the descriptor `target`; gives its SHA-256. Raises OSError."""
    hasher = hashlib.sha256()
    if isinstance(content, bytes):
        with os.fdopen(os.dup(target), "wb") as file:
            file.write(content)
        return hashlib.sha256(content).hexdigest()
    with content.open("rb") as source, os.fdopen(os.dup(target), "wb") as file:
        while part := source.read(limits.BLOB_CHUNK):
            hasher.update(part)
            file.write(part)
    return hasher.hexdigest()
