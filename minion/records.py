"""A job's records on disk: an append-only file of checked frames, read from any offset, torn tails told apart.

A frame is length (4 bytes, big endian), CRC-32 of the content (4 bytes), content: one encoded Record. The file is
written by the job's process alone while that runs, else by the agent; every frame is written with one write(2), so
a reader sees whole frames or a torn tail, which it leaves until it is whole. What is written can be read back and
sent: a record that cannot is written shortened, and says so.
"""

from __future__ import annotations

import os
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

from protocol import codec, limits
from protocol.errors import DecodeError
from protocol.messages import EventRaised, JobProgress, JobUpdate, Record
from protocol.plain import simplified
from protocol.results import StepEnded

_HEAD = 8
_KINDS: Mapping[str, type[Record]] = codec.table(JobUpdate, JobProgress, EventRaised)

MOST_BYTES = 2 * 1024 * 1024
"""Bytes of one record: a Report carries it with others below `limits.MAX_MESSAGE`."""

_CUTS = (256 * 1024, 16 * 1024, 512)
"""Characters kept of each string of a record that is too large, tried in this order."""


def fitting(record: Record) -> bytes:
    """`record` encoded so that it can be read back and sent; what does not fit or cannot be packed is cut short."""
    raw = _encoded(record)
    for longest in _CUTS:
        if raw is not None:
            return raw
        raw = _encoded(simplified(record, longest))
    return raw if raw is not None else codec.encode(_bare(record))


def _encoded(record: Record) -> bytes | None:
    try:
        raw = codec.encode(record)
        codec.decode(raw, _KINDS)
    except (TypeError, ValueError, OverflowError, RecursionError, AttributeError, DecodeError):
        return None
    return raw if len(raw) <= MOST_BYTES else None


def _bare(record: Record) -> Record:
    """What is left of a record of which nothing more can be kept."""
    if isinstance(record, JobUpdate):
        return replace(record, reason="what it told is too large to be kept", value=None)
    if isinstance(record, EventRaised):
        return replace(record, data={"error": "the data of this event was too large"})
    progress = record.progress
    if isinstance(progress, StepEnded):
        result = replace(progress.result, changes=(), warnings=(), comment="its result is too large to be kept")
        return JobProgress(record.job, replace(progress, result=result))
    return record


class RecordWriter:
    """Appends records to `path` (created 0600), cutting off what an earlier crash left torn."""

    def __init__(self, path: Path) -> None:
        self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        whole = max((end for _, end in frames(path, 0)), default=0)
        os.ftruncate(self._fd, whole)
        os.lseek(self._fd, whole, os.SEEK_SET)

    def append(self, record: Record, *, sync: bool = False) -> None:
        """Add `record`; with `sync` it is on the disk when this returns. Raises OSError (disk full)."""
        raw = fitting(record)
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


def frames(path: Path, offset: int) -> Iterator[tuple[bytes, int]]:
    """The whole frames of `path` from byte `offset`, each with the offset behind it; ends at a torn one."""
    with path.open("rb") as file:
        file.seek(offset)
        while True:
            head = file.read(_HEAD)
            length = int.from_bytes(head[:4], "big")
            if len(head) < _HEAD or length > limits.MAX_MESSAGE:
                return
            raw = file.read(length)
            if len(raw) < length or zlib.crc32(raw).to_bytes(4, "big") != head[4:]:
                return
            offset += _HEAD + length
            yield raw, offset


def read_records(path: Path, offset: int) -> Iterator[tuple[Record, int]]:
    """The records of `path` from byte `offset`, each with the offset behind it.

    Raises OSError when the file cannot be read, DecodeError for a record of another version of this program.
    """
    for raw, end in frames(path, offset):
        yield codec.decode(raw, _KINDS), end
