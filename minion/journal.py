"""What this minion was ordered, on disk: a folder a job, and the high-water mark of commands.

A job's folder `jobs/<job id>/` holds `command` (the sealed command as it came), `records` (minion.records), `lock`
(held by the job's process while it lives; pid and control group inside), `verdict` (how a job ends that is being
killed) and `log`. It exists from before the job is acknowledged until the master has committed its terminal record.
What cannot be read is never taken for absent: it is set aside and told.
"""

from __future__ import annotations

import fcntl
import logging
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from minion.records import RecordWriter, read_records
from protocol import codec
from protocol.command import ORDERS, Header, Order, Sealed
from protocol.errors import ConfigError, DecodeError, InputError, Where
from protocol.identity import write_private
from protocol.messages import JobProgress, JobUpdate
from protocol.names import JobId, job_id
from protocol.results import StepEnded, StepResult

log = logging.getLogger("stackminion.journal")

_SEALED = codec.table(Sealed)
_HEADERS = codec.table(Header)
_VERDICTS = codec.table(JobUpdate)
_GONE = ".gone-"
_ASIDE = ".unreadable-"


@dataclass(frozen=True, slots=True)
class Journaled:
    """A job found on disk at start: its order, whether it has its terminal record, and its verdict if it was being
    killed."""

    job: JobId
    header: Header
    order: Order
    ended: bool
    verdict: JobUpdate | None


@dataclass(frozen=True, slots=True)
class Unreadable:
    """A job found on disk that cannot be read: it was set aside."""

    job: JobId
    reason: str


@dataclass(frozen=True, slots=True)
class Living:
    """The process of a job. `pid` is 0 while it has only just begun; `group` its control group's folder, if any."""

    pid: int
    group: Path | None


class Journal:
    """The journal under `state_dir`; everything in it is readable by its owner only."""

    def __init__(self, state_dir: Path) -> None:
        self._jobs = state_dir / "jobs"
        self._mark = state_dir / "high-water"
        self._jobs.mkdir(mode=0o700, parents=True, exist_ok=True)

    # --- the high-water mark --------------------------------------------------------------------------------------

    def high_water(self) -> int:
        """The sequence of the newest command journaled; 0 at first. Raises ConfigError when it cannot be read: an
        old command could then be run again."""
        if not self._mark.exists():
            return 0
        text = self._mark.read_text("ascii", errors="replace").strip()
        if not text.isdigit():
            raise ConfigError(
                "the mark of the newest command is damaged",
                where=Where(file=str(self._mark)),
                help="delete this minion's key on the master, remove the file, and join again",
            )
        return int(text)

    def raise_mark(self, sequence: int) -> None:
        """Never again accept a command up to `sequence`. Raises OSError."""
        if sequence > self.high_water():
            write_private(self._mark, f"{sequence}\n".encode("ascii"))

    # --- one job --------------------------------------------------------------------------------------------------

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
        """Write the first record, the command and the high-water mark, durably and in this order. Raises OSError."""
        folder = self._jobs / job
        folder.mkdir(mode=0o700, exist_ok=True)
        self.append(job, accepted)
        write_private(folder / "command", codec.encode(sealed))
        self.raise_mark(sequence)

    def append(self, job: JobId, update: JobUpdate) -> None:
        """Add a record to a job that has no process (yet, or any more). Raises OSError."""
        writer = RecordWriter(self.records(job))
        try:
            writer.append(update, sync=True)
        finally:
            writer.close()

    def judge(self, job: JobId, verdict: JobUpdate) -> None:
        """Write down how the job ends before its processes are killed. Raises OSError."""
        write_private(self._jobs / job / "verdict", codec.encode(verdict))

    def remove(self, job: JobId) -> None:
        """Forget a job that the master has committed; a crash in between leaves it forgotten."""
        gone = self._jobs / f"{_GONE}{job}"
        try:
            (self._jobs / job).rename(gone)
        except FileNotFoundError:
            return
        shutil.rmtree(gone, ignore_errors=True)

    def results(self, job: JobId) -> dict[int, StepResult]:
        """The results that the job already has, by step. Raises OSError, DecodeError."""
        found: dict[int, StepResult] = {}
        for record, _ in read_records(self.records(job), 0):
            if isinstance(record, JobProgress) and isinstance(record.progress, StepEnded):
                found[record.progress.index] = record.progress.result
        return found

    def ended(self, job: JobId) -> bool:
        """Whether the job has its terminal record. Raises OSError, DecodeError."""
        return any(isinstance(r, JobUpdate) and r.state.terminal for r, _ in read_records(self.records(job), 0))

    def living(self, job: JobId) -> Living | None:
        """The job's process, when one holds the job's lock."""
        try:
            fd = os.open(self._jobs / job / "lock", os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            return None
        with os.fdopen(fd, "r", encoding="utf-8", errors="replace") as file:
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                pid, _, group = file.read(4096).strip().partition("\n")
                return Living(int(pid) if pid.isdigit() else 0, Path(group) if group.startswith("/") else None)
        return None

    def process(self, job: JobId) -> Living | None:
        """What the job's process wrote of itself, living or dead."""
        try:
            pid, _, group = (self._jobs / job / "lock").read_text("utf-8", "replace").strip().partition("\n")
        except OSError:
            return None
        return Living(int(pid) if pid.isdigit() else 0, Path(group) if group.startswith("/") else None)

    # --- at start -------------------------------------------------------------------------------------------------

    def load(self) -> Iterator[Journaled | Unreadable]:
        """Every job on disk, oldest first. A folder without a command was never accepted, and is removed."""
        for folder in sorted(self._jobs.iterdir()):
            if folder.name.startswith(_GONE):
                shutil.rmtree(folder, ignore_errors=True)
                continue
            try:
                job = job_id(folder.name)
            except InputError:
                if not folder.name.startswith(_ASIDE):
                    log.warning("%s is no job's folder; it is left alone", folder)
                continue
            if not (folder / "command").exists():
                shutil.rmtree(folder, ignore_errors=True)
                continue
            try:
                yield self._load(job, folder)
            except (OSError, DecodeError) as error:
                folder.rename(self._jobs / f"{_ASIDE}{job}")
                log.error("job %s cannot be read: %s; it was set aside", job, error)
                yield Unreadable(job, f"the minion's journal of it cannot be read: {error}")

    def _load(self, job: JobId, folder: Path) -> Journaled:
        sealed = codec.decode((folder / "command").read_bytes(), _SEALED)
        header = codec.decode(sealed.header, _HEADERS)
        order = codec.decode(sealed.payload, ORDERS)
        verdict = None
        if (folder / "verdict").exists():
            verdict = codec.decode((folder / "verdict").read_bytes(), _VERDICTS)
        return Journaled(job, header, order, self.ended(job), verdict)


def hold_lock(folder: Path) -> int | None:
    """Take the lock of the job whose folder this is; its descriptor, or None when another process has it."""
    fd = os.open(folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(fd)
        return None
    return fd


def write_lock(fd: int, pid: int, group: Path | None) -> None:
    """Say in the lock which process holds it and in which control group it lives."""
    os.ftruncate(fd, 0)
    os.pwrite(fd, f"{pid}\n{group or ''}\n".encode(), 0)
