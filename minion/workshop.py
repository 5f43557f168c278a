"""The jobs of this minion for real: journaled, their content fetched, carried out by processes, ended, forgotten.

What to do is decided by the job book and the outbox; here it is done, and what must be on disk is written before it
is said.
"""

from __future__ import annotations

import logging
import signal
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from minion import processes, runner
from minion.blobs import Blobs
from minion.config import MinionSettings
from minion.jobs import Effect, End, JobBook, Kill, Start
from minion.journal import Journal, Unreadable
from minion.outbox import Outbox
from minion.processes import Member
from protocol.assignment import BlobRef, decode_assignment
from protocol.command import Apply, Call, Cancel, Header, Order, Sealed
from protocol.data import Data
from protocol.errors import DecodeError
from protocol.messages import BlobPart, BlobRequest, JobUpdate
from protocol.names import JobId
from protocol.results import JobState
from states.context import Context

log = logging.getLogger("stackminion.jobs")

MERCY = 5.0
"""Seconds between SIGTERM and SIGKILL to a job's processes."""


@dataclass(slots=True)
class _Dying:
    """A job being ended: its processes, and when they are killed without mercy (monotonic seconds)."""

    members: tuple[Member, ...]
    kill_at: float


class Workshop:
    """`wake` is the descriptor on which jobs' processes ring; `grains` gives what is known of this host."""

    def __init__(
        self, settings: MinionSettings, minion: str, wake: int, grains: Callable[[], Mapping[str, Data]]
    ) -> None:
        self._settings = settings
        self._minion = minion
        self._wake = wake
        self._grains = grains
        self._journal = Journal(settings.state_dir)
        self._blobs = Blobs(settings.state_dir)
        self._book = JobBook(settings.parallel_calls)
        self._processes: dict[int, JobId] = {}
        self._adopted: set[JobId] = set()
        self._dying: dict[JobId, _Dying] = {}
        self._committed: set[JobId] = set()
        self.outbox = Outbox(self._journal)
        self.high_water = self._journal.high_water()

    # --- what the agent asks --------------------------------------------------------------------------------------

    def names(self) -> tuple[str, ...]:
        """The jobs that are accepted and not ended."""
        return tuple(job.job for job in self._book.jobs)

    @property
    def waits_for_children(self) -> bool:
        """Whether a process of ours is to be reaped."""
        return bool(self._processes)

    def deadline(self, now: float) -> float:
        """When `tick` has something to do."""
        moments = [now + 60.0, *(dying.kill_at for dying in self._dying.values() if dying.kill_at > now)]
        if self._adopted or any(dying.kill_at <= now for dying in self._dying.values()):
            moments.append(now + 0.5)
        deadline = self._book.deadline()
        return min(moments if deadline is None else [*moments, deadline])

    def tick(self, now: float) -> None:
        """What time alone brings: deadlines, the end of mercy, adopted processes that are gone."""
        self._carry_out(self._book.tick(now))
        for job, dying in list(self._dying.items()):
            if now >= dying.kill_at:
                dying.members = self._members(job) or dying.members
                processes.send(dying.members, signal.SIGKILL)
            self._settle(job)
        for job in [job for job in self._adopted if self._journal.living(job) is None]:
            self._adopted.discard(job)
            self._over(job)

    def stop(self) -> None:
        """The daemon ends: what was being killed is killed now."""
        for job, dying in self._dying.items():
            processes.send(self._members(job) or dying.members, signal.SIGKILL)

    # --- orders ---------------------------------------------------------------------------------------------------

    def order(self, header: Header, order: Order, sealed: Sealed) -> None:
        """Take a command whose signature holds. What cannot be taken is refused, with the reason."""
        job = JobId(header.job)
        if isinstance(order, Cancel):
            self._carry_out(self._book.cancel(JobId(order.job)))
        elif job in self._book or self._journal.known(job):
            self.outbox.grew(job)
        elif header.sequence <= self.high_water:
            self.refuse(job, "an old command came again; it was not run")
        elif self._book.full:
            self.refuse(job, "this minion has too many jobs")
        elif isinstance(order, Call) and order.custom is None and runner.quick(order.function):
            self.high_water = header.sequence
            self.outbox.add(runner.call(job, order, self._context()))
        else:
            self._accept(job, header, order, sealed)

    def refuse(self, job: JobId, reason: str) -> None:
        """Tell the master that the job is not done here."""
        self.outbox.add(_update(job, JobState.REFUSED, reason))

    def _accept(self, job: JobId, header: Header, order: Apply | Call, sealed: Sealed) -> None:
        try:
            self._journal.add(job, header.sequence, sealed, _update(job, JobState.ACCEPTED, ""))
        except OSError as error:
            self._journal.remove(job)
            self.refuse(job, f"it cannot be journaled on this host: {error.strerror}")
            return
        self.high_water = header.sequence
        self.outbox.grew(job)
        self._book.accept(job, order, order.timeout, time.monotonic())
        self._fetch(job, order)

    def _context(self) -> Context:
        settings = self._settings
        return Context(self._minion, self._grains(), root=settings.root, state_dir=settings.state_dir)

    # --- content --------------------------------------------------------------------------------------------------

    def take_part(self, part: BlobPart) -> None:
        """A part of a content arrived, or word that it is not to be had."""
        trouble = self._blobs.take(part)
        if trouble is None and self._blobs.fetching(part.digest):
            return
        for job in [job for job in self._book.jobs if part.digest in job.missing]:
            if trouble is not None:
                self._carry_out(self._book.fail(job.job, trouble))
            else:
                self._fetch(job.job, job.order)

    def requests(self, now: float) -> list[BlobRequest]:
        """The requests for content to send now."""
        self._blobs.keep_only(digest for job in self._book.jobs for digest in job.missing)
        return self._blobs.requests(now)

    def new_session(self, window: int) -> None:
        """A session stands: what is unacknowledged is sent again, what is outstanding asked for again."""
        self.outbox.open(window)
        self._blobs.restart()

    def _fetch(self, job: JobId, order: Order) -> None:
        """Find out what content the job lacks, ask for it, and queue the job once nothing is missing."""
        try:
            needed, missing = self._content(order)
        except (DecodeError, OSError, ValueError) as error:
            self._carry_out(self._book.fail(job, f"its assignment cannot be read: {error}"))
            return
        for digest in missing:
            self._blobs.want(digest)
        self._carry_out(self._book.needs(job, missing, needed))

    def _content(self, order: Order) -> tuple[set[str], set[str]]:
        """The digests that the order needs, and those of them that are not here."""
        refs: Iterable[BlobRef] = ()
        needed: set[str] = set()
        if isinstance(order, Call):
            refs = () if order.custom is None else order.custom.blobs()
        elif isinstance(order, Apply):
            if order.inline is None:
                needed.add(order.digest)
                if not self._blobs.has(order.digest):
                    return needed, set(needed)
                raw = self._blobs.path(order.digest).read_bytes()
            else:
                raw = order.inline
            refs = decode_assignment(raw).blobs()
        missing = {ref.digest for ref in refs if not self._blobs.has(ref.digest, ref.size)}
        return needed | {ref.digest for ref in refs}, missing

    # --- processes ------------------------------------------------------------------------------------------------

    def _carry_out(self, effects: Iterable[Effect]) -> None:
        for effect in effects:
            if isinstance(effect, Start):
                self._start(effect.job)
            elif isinstance(effect, Kill):
                self._kill(effect.job)
            elif isinstance(effect, End):
                self._end(effect)

    def _start(self, job: JobId) -> None:
        entry = next(entry for entry in self._book.jobs if entry.job == job)
        try:
            self._journal.append(job, _update(job, JobState.RUNNING, ""))
            task = runner.Task(
                job=job,
                order=entry.order,
                minion=self._minion,
                folder=self._journal.folder(job),
                root=self._settings.root,
                state_dir=self._settings.state_dir,
                grains=self._grains(),
                done=self._journal.results(job),
                content=self._blobs.checked,
                settings=self._settings,
            )
            pid = runner.spawn(task, self._wake)
        except (OSError, DecodeError) as error:
            entry.verdict = (JobState.FAILED, f"no process could be started for it: {error}")
            self._finish(job)
            return
        self._processes[pid] = job

    def reaped(self, pid: int) -> bool:
        """A child of this daemon ended; whether it was a job's."""
        if pid not in self._processes:
            return False
        self._over(self._processes.pop(pid))
        return True

    def rang(self) -> None:
        """A job's process wrote something."""
        for job in {*self._processes.values(), *self._adopted} - self._committed:
            self.outbox.grew(job)

    def _over(self, job: JobId) -> None:
        """The job's process is gone; what it left behind without a result is killed before the job ends."""
        if self._journal.living(job) is not None:
            self._adopted.add(job)
        elif job in self._dying:
            self._settle(job)
        elif job not in self._committed and not self._has_ended(job) and (members := self._members(job)):
            processes.send(members, signal.SIGKILL)
            self._dying[job] = _Dying(members, time.monotonic())
        else:
            self._finish(job)

    def _kill(self, job: JobId) -> None:
        """SIGTERM to all processes of the job; SIGKILL to those that are still there after MERCY."""
        entry = next(entry for entry in self._book.jobs if entry.job == job)
        members = self._members(job)
        if entry.verdict is not None:
            try:
                self._journal.judge(job, _update(job, *entry.verdict))
            except OSError as error:
                log.error("the verdict on job %s cannot be written: %s", job, error)
        processes.send(members, signal.SIGTERM)
        self._dying[job] = _Dying(members, time.monotonic() + MERCY)

    def _settle(self, job: JobId) -> None:
        """End a dying job once its process is reaped and nothing of it is left."""
        working = job in self._processes.values() or job in self._adopted
        if not working and not processes.living(self._dying[job].members) and not self._members(job):
            del self._dying[job]
            self._finish(job)

    def _members(self, job: JobId) -> tuple[Member, ...]:
        pid = next((pid for pid, owner in self._processes.items() if owner == job), 0)
        known = self._journal.process(job)
        group = known.group if known is not None else None
        if not pid and known is not None and job in self._adopted:
            pid = known.pid
        return processes.family(pid, group)

    # --- ends -----------------------------------------------------------------------------------------------------

    def acknowledged(self, number: int) -> None:
        """The master committed every Report up to `number`."""
        self._committed.update(self.outbox.acknowledged(number))
        self._forget_committed()

    def _finish(self, job: JobId) -> None:
        self._carry_out(self._book.gone(job))
        self._blobs.prune({digest for entry in self._book.jobs for digest in entry.needed})

    def _has_ended(self, job: JobId) -> bool:
        try:
            return self._journal.ended(job)
        except (OSError, DecodeError) as error:
            log.error("the records of job %s cannot be read: %s", job, error)
            return False

    def _end(self, effect: End) -> None:
        job = effect.job
        if job not in self._committed:
            self._tell_end(job, _update(job, effect.state, effect.reason))
        self._forget_committed()

    def _tell_end(self, job: JobId, update: JobUpdate) -> None:
        """Make sure that the job has a terminal record; when its file takes none, it is told from memory."""
        try:
            if not self._has_ended(job):
                self._journal.append(job, update)
            self.outbox.grew(job)
        except OSError as error:
            log.error("the end of job %s cannot be journaled: %s", job, error)
            self.outbox.add(update)

    def _forget_committed(self) -> None:
        """Remove what the master has committed; a job whose process has still to be reaped stays until then."""
        for job in [job for job in self._committed if job not in self._book]:
            self._journal.remove(job)
            self._committed.discard(job)

    # --- at start -------------------------------------------------------------------------------------------------

    def recover(self) -> None:
        """Go on with what an earlier daemon left: report what ended, wait for what lives, resume or end the rest."""
        now = time.monotonic()
        for found in self._journal.load():
            if isinstance(found, Unreadable):
                self.outbox.add(_update(found.job, JobState.FAILED, found.reason))
                continue
            self.high_water = max(self.high_water, found.header.sequence)
            self.outbox.grew(found.job)
            order = found.order
            if found.ended or isinstance(order, Cancel):
                continue
            left = min(order.timeout, max(1.0, found.header.not_after - time.time()))
            if self._journal.living(found.job) is not None:
                self._book.adopt(found.job, order, left, now)
                self._adopted.add(found.job)
                if found.verdict is not None:
                    self._carry_out(self._book.cancel(found.job))
            elif found.verdict is not None:
                self._tell_end(found.job, found.verdict)
            elif isinstance(order, Apply):
                self._book.accept(found.job, order, left, now)
                self._fetch(found.job, order)
            else:
                reason = "interrupted: the minion went down while it ran; a call is not repeated"
                self._tell_end(found.job, _update(found.job, JobState.FAILED, reason))
        self._journal.raise_mark(self.high_water)


def _update(job: JobId, state: JobState, reason: str) -> JobUpdate:
    return JobUpdate(job, state, time.time(), reason)
