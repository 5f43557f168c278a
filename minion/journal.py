"""What this minion was ordered, on disk: a folder a job, and the high-water mark of commands.

A job's folder `jobs/<job id>/` holds `command` (the sealed command as it came), `records` (minion.records), and while
its process lives `process` (pid and start time). It exists from before the job is acknowledged until the master has
committed its terminal record.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from minion import processes
from minion.records import RecordWriter, read_records
from protocol import codec
from protocol.command import ORDERS, Header, Order, Sealed
from protocol.errors import DecodeError
from protocol.identity import write_private
from protocol.messages import JobProgress, JobUpdate
from protocol.names import JobId, job_id
from protocol.results import StepEnded, StepResult

_SEALED = codec.table(Sealed)
_HEADERS = codec.table(Header)


@dataclass(frozen=True, slots=True)
class Journaled:
    """A job found on disk at start: its order, and its terminal record if it got that far."""

    job: JobId
    header: Header
    order: Order
    ended: bool


class Journal:
    """The journal under `state_dir`; everything in it is readable by its owner only."""

    def __init__(self, state_dir: Path) -> None:
        self._jobs = state_dir / "jobs"
        self._mark = state_dir / "high-water"
        self._jobs.mkdir(mode=0o700, parents=True, exist_ok=True)

    def high_water(self) -> int:
        """The sequence of the newest command journaled; 0 at first."""
        if not self._mark.exists():
            return 0
        text = self._mark.read_text("ascii").strip()
        return int(text) if text.isdigit() else 0

    def folder(self, job: JobId) -> Path:
        """Where the job's files are."""
        return self._jobs / job

    def records(self, job: JobId) -> Path:
        """The job's records."""
        return self._jobs / job / "records"

    def known(self, job: JobId) -> bool:
        """Whether the job is in the journal."""
        return (self._jobs / job / "command").exists()

    def add(self, job: JobId, sequence: int, sealed: Sealed, accepted: JobUpdate) -> None:
        """Write the command, its first record and the new high-water mark, durably and in this order."""
        folder = self._jobs / job
        folder.mkdir(mode=0o700, exist_ok=True)
        writer = RecordWriter(folder / "records")
        try:
            writer.append(accepted, sync=True)
        finally:
            writer.close()
        write_private(folder / "command", codec.encode(sealed))
        if sequence > self.high_water():
            write_private(self._mark, f"{sequence}\n".encode("ascii"))

    def append(self, job: JobId, update: JobUpdate) -> None:
        """Add a record to a job that has no process (yet, or any more)."""
        writer = RecordWriter(self.records(job))
        try:
            writer.append(update, sync=True)
        finally:
            writer.close()

    def remove(self, job: JobId) -> None:
        """Forget a job that the master has committed."""
        shutil.rmtree(self._jobs / job, ignore_errors=True)

    def results(self, job: JobId) -> dict[int, StepResult]:
        """The results that the job already has, by step."""
        found: dict[int, StepResult] = {}
        for record, _ in read_records(self.records(job), 0):
            if isinstance(record, JobProgress) and isinstance(record.progress, StepEnded):
                found[record.progress.index] = record.progress.result
        return found

    def ended(self, job: JobId) -> bool:
        """Whether the job has its terminal record."""
        return any(isinstance(r, JobUpdate) and r.state.terminal for r, _ in read_records(self.records(job), 0))

    def note_process(self, job: JobId, pid: int) -> None:
        """Remember the process that works on the job."""
        write_private(self._jobs / job / "process", f"{pid} {processes.started(pid)}\n".encode("ascii"))

    def living_process(self, job: JobId) -> int | None:
        """The pid of the job's process when that very process still lives."""
        path = self._jobs / job / "process"
        if not path.exists():
            return None
        pid, _, started = path.read_text("ascii").strip().partition(" ")
        alive = pid.isdigit() and processes.started(int(pid)) == started and started != ""
        return int(pid) if alive else None

    def load(self) -> Iterator[Journaled]:
        """Every job on disk, oldest first; a folder without a whole command is removed (it was never accepted)."""
        for folder in sorted(self._jobs.iterdir()):
            try:
                sealed = codec.decode((folder / "command").read_bytes(), _SEALED)
                header = codec.decode(sealed.header, _HEADERS)
                order = codec.decode(sealed.payload, ORDERS)
            except (OSError, DecodeError):
                shutil.rmtree(folder, ignore_errors=True)
                continue
            job = job_id(folder.name)
            yield Journaled(job, header, order, self.ended(job))
