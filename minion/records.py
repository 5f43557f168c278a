"""A job's records on disk: an append-only file of checked frames, read from any offset, torn tails told apart.

A frame is length (4 bytes, big endian), CRC-32 of the content (4 bytes), content: one encoded Record. The file is
written by the job's process alone while that runs, else by the agent; every frame is written with one write(2), so
a reader sees whole frames or a torn tail, which it leaves until it is whole.
"""

from __future__ import annotations

import os
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path

from protocol import codec, limits
from protocol.messages import EventRaised, JobProgress, JobUpdate, Record

_HEAD = 8
_KINDS: Mapping[str, type[Record]] = codec.table(JobUpdate, JobProgress, EventRaised)


class RecordWriter:
    """Appends records to `path` (created 0600), cutting off what an earlier crash left torn."""

    def __init__(self, path: Path) -> None:
        self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        whole = max((end for _, end in read_records(path, 0)), default=0)
        os.ftruncate(self._fd, whole)
        os.lseek(self._fd, whole, os.SEEK_SET)

    def append(self, record: Record, *, sync: bool = False) -> None:
        """Add `record`; with `sync` it is on the disk when this returns. Raises OSError (disk full)."""
        raw = codec.encode(record)
        frame = len(raw).to_bytes(4, "big") + zlib.crc32(raw).to_bytes(4, "big") + raw
        start = os.lseek(self._fd, 0, os.SEEK_CUR)
        written = os.write(self._fd, frame)
        if written != len(frame):
            os.ftruncate(self._fd, start)
            os.lseek(self._fd, start, os.SEEK_SET)
            raise OSError(28, "no space left for the job's records")
        if sync:
            os.fsync(self._fd)

    def close(self) -> None:
        """Let the file go."""
        os.close(self._fd)


def read_records(path: Path, offset: int, *, most: int = 1_000_000) -> Iterator[tuple[Record, int]]:
    """The whole records of `path` from byte `offset`, each with the offset behind it; ends at a torn or bad frame.

    At most `most` records. Raises OSError when the file is not there.
    """
    with path.open("rb") as file:
        file.seek(offset)
        for _ in range(most):
            head = file.read(_HEAD)
            if len(head) < _HEAD:
                return
            length = int.from_bytes(head[:4], "big")
            if length > limits.MAX_MESSAGE:
                return
            raw = file.read(length)
            if len(raw) < length or zlib.crc32(raw).to_bytes(4, "big") != head[4:]:
                return
            offset += _HEAD + length
            yield codec.decode(raw, _KINDS), offset
