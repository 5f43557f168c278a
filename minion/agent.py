"""The minion daemon: carries out what the deciders (link, job book, outbox) say; the one place with a loop.

One thread, one poll. Messages of the master, records and ends of jobs, signals and time come in; what the deciders
answer is done at once and in order: what must be on disk is written before it is said.
"""

from __future__ import annotations

import logging
import os
import random
import signal
import socket
import time
from collections.abc import Iterable
from pathlib import Path

import zmq

from minion import __version__, processes, runner
from minion.blobs import Blobs
from minion.config import SESSION_PORT, Enrolment, MinionSettings
from minion.customgrains import CustomGrains
from minion.jobs import Effect, End, JobBook, Kill, Start
from minion.journal import Journal
from minion.outbox import Outbox
from protocol import WIRE_VERSION, codec, command, sockets
from protocol.assignment import decode_assignment
from protocol.command import Apply, Call, Cancel, Header, Order, Sealed
from protocol.data import Data
from protocol.errors import DecodeError, PeerError, VersionError
from protocol.identity import Identity
from protocol.link import Action, Link
from protocol.messages import (
    TO_MINION,
    Acknowledge,
    BlobPart,
    Facts,
    Heartbeat,
    HeartbeatEcho,
    Hello,
    JobUpdate,
    ToMaster,
    Welcome,
)
from protocol.names import JobId
from protocol.notify import notify, watchdog_interval
from protocol.results import JobState
from states.context import Context
from states.host import grains

log = logging.getLogger("stackminion")

MERCY = 5.0
"""Seconds between SIGTERM and SIGKILL to a job's process group."""

FACTS_INTERVAL = 600.0
"""Seconds between two looks at the host for grains that changed."""

MOST_AT_ONCE = 256
"""Messages taken from the socket before the rest of the loop has its turn."""


class Agent:
    """The daemon of one minion; `run` returns when a signal asked it to stop."""

    def __init__(self, settings: MinionSettings, enrolment: Enrolment, identity: Identity) -> None:
        self._settings = settings
        self._enrolment = enrolment
        self._identity = identity
        self._addresses = list(settings.master or enrolment.addresses)
        self._context = sockets.context()
        self._socket: zmq.Socket[bytes] | None = None
        self._link = Link()
        self._journal = Journal(settings.state_dir)
        self._outbox = Outbox(self._journal)
        self._blobs = Blobs(settings.state_dir)
        self._book = JobBook(settings.parallel_calls)
        self._processes: dict[int, JobId] = {}
        self._adopted: dict[JobId, int] = {}
        self._committed: set[JobId] = set()
        self._kills: list[tuple[float, tuple[tuple[int, str], ...]]] = []
        self._high_water = self._journal.high_water()
        self._beats = 0
        self._grains: dict[str, Data] = {}
        self._custom_grains = CustomGrains(enrolment.id, settings.root, settings.state_dir)
        self._facts_due = 0.0
        self._stopping = False
        self._wake_read, self._wake_write = _pipe()

    # --- the loop -------------------------------------------------------------------------------------------------

    def run(self) -> None:
        """Serve until SIGTERM or SIGINT."""
        self._look_at_host()
        self._recover()
        signals = self._watch_signals()
        poller = zmq.Poller()
        poller.register(self._wake_read, zmq.POLLIN)
        poller.register(signals, zmq.POLLIN)
        notify("READY=1\nSTATUS=looking for the master")
        watchdog = watchdog_interval()
        while not self._stopping:
            now = time.monotonic()
            self._advance(now)
            self._poll(poller, self._wait_for(now, watchdog))
            _drain(self._wake_read)
            _drain(signals.fileno())
            self._receive()
            self._reap()
            if watchdog is not None:
                notify("WATCHDOG=1")
        notify("STOPPING=1")
        self._custom_grains.stop()
        self._close()
        self._context.term()

    def _poll(self, poller: zmq.Poller, timeout: float) -> None:
        if self._socket is not None:
            poller.register(self._socket, zmq.POLLIN)
        poller.poll(int(timeout * 1000) + 1)
        if self._socket is not None:
            poller.unregister(self._socket)

    def _wait_for(self, now: float, watchdog: float | None) -> float:
        moments = [self._link.deadline(), self._facts_due, now + (watchdog or 60.0)]
        others = (self._book.deadline(), self._custom_grains.deadline, *(moment for moment, _ in self._kills))
        moments += [moment for moment in others if moment is not None]
        if self._adopted:
            moments.append(now + 1.0)
        return max(0.0, min(moments) - now)

    def _advance(self, now: float) -> None:
        for action in self._link.tick(now):
            self._do_link(action)
        self._carry_out(self._book.tick(now))
        for _, members in [kill for kill in self._kills if now >= kill[0]]:
            processes.send(members, signal.SIGKILL)
        self._kills = [kill for kill in self._kills if now < kill[0]]
        self._custom_grains.tick(now)
        if now >= self._facts_due:
            self._look_at_host()
        self._check_adopted()
        self._send_waiting()

    def _watch_signals(self) -> socket.socket:
        ours, theirs = socket.socketpair()
        for end in (ours, theirs):
            end.setblocking(False)
        signal.set_wakeup_fd(theirs.detach(), warn_on_full_buffer=False)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._stop)
        signal.signal(signal.SIGCHLD, lambda _number, _frame: None)
        return ours

    def _stop(self, _number: int, _frame: object) -> None:
        self._stopping = True

    # --- the session ----------------------------------------------------------------------------------------------

    def _do_link(self, action: Action) -> None:
        if action is Action.OPEN:
            self._open()
        elif action is Action.CLOSE:
            log.warning("no word from the master; trying again")
            notify("STATUS=looking for the master")
            self._close()
        elif action is Action.BEAT:
            self._beats += 1
            self._send(Heartbeat(self._beats, tuple(job.job for job in self._book.jobs)))

    def _open(self) -> None:
        address = self._addresses.pop(0)
        self._addresses.append(address)
        endpoint = sockets.endpoint(address, SESSION_PORT)
        try:
            self._socket = sockets.connecting(self._context, self._identity, self._enrolment.master.curve, endpoint)
        except zmq.ZMQError as error:
            log.error("%s cannot be connected: %s", endpoint, error)
            self._link.broken(time.monotonic())
            return
        self._send(Hello(WIRE_VERSION, __version__, _boot_id(), str(self._grains["machine_id"]), self._high_water))

    def _close(self) -> None:
        self._outbox.close()
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _send(self, message: ToMaster) -> None:
        if self._socket is None:
            return
        try:
            self._socket.send(codec.encode(message), zmq.DONTWAIT)
        except zmq.Again:
            log.warning("the way to the master is blocked; building a new session")
            self._link.broken(time.monotonic())
            self._close()

    def _receive(self) -> None:
        for _ in range(MOST_AT_ONCE):
            if self._socket is None:
                return
            try:
                raw = self._socket.recv(zmq.DONTWAIT)
            except zmq.Again:
                return
            self._link.heard(time.monotonic())
            try:
                self._handle(codec.decode(raw, TO_MINION))
            except PeerError as error:
                log.error("a message of the master was refused: %s", error)

    def _handle(self, message: object) -> None:
        if isinstance(message, Welcome):
            self._welcomed(message)
        elif isinstance(message, Acknowledge):
            self._committed.update(self._outbox.acknowledged(message.number))
            self._forget_committed()
        elif isinstance(message, Sealed):
            self._ordered(message)
        elif isinstance(message, BlobPart):
            self._take_part(message)
        elif not isinstance(message, HeartbeatEcho):
            raise DecodeError("not a message for a minion")

    def _welcomed(self, welcome: Welcome) -> None:
        if welcome.wire != WIRE_VERSION:
            self._link.broken(time.monotonic())
            self._close()
            raise VersionError(f"the master speaks wire version {welcome.wire}, this minion {WIRE_VERSION}")
        log.info("connected to master %s", self._enrolment.master.fingerprint)
        notify("STATUS=connected")
        self._link.welcomed(time.monotonic(), welcome.heartbeat)
        self._outbox.open(welcome.window)
        self._blobs.restart()
        self._send(Facts(self._grains))

    def _send_waiting(self) -> None:
        for report in self._outbox.reports():
            self._send(report)
        for request in self._blobs.requests() if self._socket is not None else ():
            self._send(request)

    # --- orders ---------------------------------------------------------------------------------------------------

    def _ordered(self, sealed: Sealed) -> None:
        header, order = command.unseal(self._enrolment.master, self._enrolment.id, sealed, time.time())
        job = JobId(header.job)
        if isinstance(order, Cancel):
            self._carry_out(self._book.cancel(JobId(order.job)))
        elif job in self._book or self._journal.known(job):
            self._outbox.grew(job)
        elif header.sequence <= self._high_water:
            self._outbox.add(_update(job, JobState.REFUSED, "an old command came again; it was not run"))
        elif self._book.full:
            self._outbox.add(_update(job, JobState.REFUSED, "this minion has too many jobs"))
        else:
            self._accept(job, header, order, sealed)

    def _accept(self, job: JobId, header: Header, order: Apply | Call, sealed: Sealed) -> None:
        if isinstance(order, Call) and order.custom is None and runner.quick(order.function):
            self._high_water = header.sequence
            self._outbox.add(runner.call(job, order, self._call_context()))
            return
        self._journal.add(job, header.sequence, sealed, _update(job, JobState.ACCEPTED, ""))
        self._high_water = header.sequence
        self._outbox.grew(job)
        self._book.accept(job, order, order.timeout, time.monotonic())
        self._fetch(job, order)

    def _call_context(self) -> Context:
        settings = self._settings
        return Context(self._enrolment.id, self._grains, root=settings.root, state_dir=settings.state_dir)

    def _fetch(self, job: JobId, order: Order) -> None:
        """Find out what content the job lacks, ask for it, and queue the job once nothing is missing."""
        try:
            missing = self._missing(order)
        except (DecodeError, OSError, ValueError) as error:
            self._carry_out(self._book.fail(job, f"its assignment cannot be read: {error}"))
            return
        for digest in missing:
            self._blobs.want(digest)
        self._carry_out(self._book.needs(job, missing))

    def _missing(self, order: Order) -> set[str]:
        if not isinstance(order, Apply):
            custom = order.custom if isinstance(order, Call) else None
            refs = frozenset() if custom is None else custom.blobs()
        elif order.inline is None and not self._blobs.has(order.digest):
            return {order.digest}
        else:
            raw = order.inline if order.inline is not None else self._blobs.path(order.digest).read_bytes()
            refs = decode_assignment(raw).blobs()
        return {ref.digest for ref in refs if not self._blobs.has(ref.digest)}

    def _take_part(self, part: BlobPart) -> None:
        try:
            trouble = self._blobs.take(part)
        except OSError as error:
            trouble = f"its content cannot be stored: {error.strerror}"
        if trouble is None and self._blobs.fetching(part.digest):
            return
        for job in list(self._book.jobs):
            if part.digest in job.missing:
                if trouble is not None:
                    self._carry_out(self._book.fail(job.job, trouble))
                else:
                    self._fetch(job.job, job.order)

    # --- jobs -----------------------------------------------------------------------------------------------------

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
        self._journal.append(job, _update(job, JobState.RUNNING, ""))
        task = runner.Task(
            job=job,
            order=entry.order,
            minion=self._enrolment.id,
            folder=self._journal.folder(job),
            root=self._settings.root,
            state_dir=self._settings.state_dir,
            grains=self._grains,
            done=self._journal.results(job),
            content=self._blobs.path,
        )
        pid = runner.spawn(task, self._wake_write)
        self._processes[pid] = job
        self._journal.note_process(job, pid)

    def _reap(self) -> None:
        for job in {*self._processes.values(), *self._adopted} - self._committed:
            self._outbox.grew(job)
        while self._processes or self._custom_grains.running:
            pid, _status = os.waitpid(-1, os.WNOHANG)
            if pid == 0:
                return
            if pid in self._processes:
                self._job_over(self._processes.pop(pid))
            elif self._custom_grains.reaped(pid):
                self._tell_grains()

    def _job_over(self, job: JobId) -> None:
        self._carry_out(self._book.gone(job))
        self._blobs.prune({digest for entry in self._book.jobs for digest in entry.missing})
        self._look_at_host()

    def _end(self, effect: End) -> None:
        if effect.job not in self._committed and not self._journal.ended(effect.job):
            self._journal.append(effect.job, _update(effect.job, effect.state, effect.reason))
        if effect.job not in self._committed:
            self._outbox.grew(effect.job)
        self._forget_committed()

    def _forget_committed(self) -> None:
        """Remove what the master has committed; a job whose process has still to be reaped stays until then."""
        for job in [job for job in self._committed if job not in self._book]:
            self._journal.remove(job)
            self._committed.discard(job)

    def _kill(self, job: JobId) -> None:
        """SIGTERM to all processes of the job, and SIGKILL to those that are still there after MERCY."""
        pids = [pid for pid, owner in self._processes.items() if owner == job]
        for pid in pids or [pid for owner, pid in self._adopted.items() if owner == job]:
            members = processes.family(pid)
            processes.send(members, signal.SIGTERM)
            self._kills.append((time.monotonic() + MERCY, members))

    def _recover(self) -> None:
        """Go on with what an earlier daemon left: report what ended, wait for what lives, resume or end the rest."""
        now = time.monotonic()
        for found in self._journal.load():
            self._high_water = max(self._high_water, found.header.sequence)
            self._outbox.grew(found.job)
            order = found.order
            if found.ended or isinstance(order, Cancel):
                continue
            left = min(order.timeout, max(1.0, found.header.not_after - time.time()))
            pid = self._journal.living_process(found.job)
            if pid is not None:
                self._book.adopt(found.job, order, left, now)
                self._adopted[found.job] = pid
            elif isinstance(order, Apply):
                self._book.accept(found.job, order, left, now)
                self._fetch(found.job, order)
            else:
                reason = "interrupted: the minion went down while it ran; it is not repeated"
                self._end(End(found.job, JobState.FAILED, reason))

    def _check_adopted(self) -> None:
        for job in list(self._adopted):
            if self._journal.living_process(job) is None:
                del self._adopted[job]
                self._job_over(job)

    # --- the host -------------------------------------------------------------------------------------------------

    def _look_at_host(self) -> None:
        now = time.monotonic()
        self._facts_due = now + FACTS_INTERVAL * random.uniform(0.9, 1.1)
        self._tell_grains()
        self._custom_grains.start(self._grains, self._wake_write, now)

    def _tell_grains(self) -> None:
        """Tell the master of the grains when they are not those of before."""
        of_tree = self._custom_grains.values
        found = {**grains.gather(), **of_tree, **self._settings.grains, "id": self._enrolment.id}
        changed = found != self._grains
        self._grains = found
        if changed:
            self._send(Facts(found))


def _update(job: JobId, state: JobState, reason: str) -> JobUpdate:
    return JobUpdate(job, state, time.time(), reason)


def _boot_id() -> str:
    return Path("/proc/sys/kernel/random/boot_id").read_text("ascii").strip()


def _pipe() -> tuple[int, int]:
    read, write = os.pipe()
    os.set_blocking(read, False)
    os.set_blocking(write, False)
    return read, write


def _drain(fd: int) -> None:
    try:
        while os.read(fd, 4096):
            pass
    except BlockingIOError:
        return
