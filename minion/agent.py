"""The minion daemon: one thread and one poll over the session, the jobs' bell, signals and time.

It knows who decides and who acts (session, workshop, grains) and nothing of how. An error in one message or one turn
is told and survived: a daemon that died would leave its host to itself.
"""

from __future__ import annotations

import fcntl
import logging
import os
import random
import signal
import socket
import time
from collections.abc import Callable
from pathlib import Path

import zmq

from minion import __version__
from minion.config import Enrolment, MinionSettings
from minion.customgrains import CustomGrains
from minion.session import Session
from minion.workshop import Workshop
from protocol import WIRE_VERSION, codec, command
from protocol.command import Sealed
from protocol.data import Data
from protocol.errors import ConfigError, PeerError, RefusedCommand, VersionError, Where
from protocol.identity import Identity
from protocol.messages import Acknowledge, BlobPart, Facts, Hello, ToMinion, Welcome
from protocol.names import JobId
from protocol.notify import notify, watchdog_interval
from protocol.plain import plain
from states.host import grains

log = logging.getLogger("stackminion")

FACTS_INTERVAL = 600.0
"""Seconds between two looks at the host for grains that changed."""

MOST_FACTS = 1024 * 1024
"""Bytes of grains that are told; the largest are left out beyond it."""

RECOVERY_PAUSE = 0.2
"""Seconds of rest after a turn of the loop that failed, so that a lasting error does not take the processor."""


class Agent:
    """The daemon of one minion; `run` returns when a signal asked it to stop."""

    def __init__(self, settings: MinionSettings, enrolment: Enrolment, identity: Identity) -> None:
        self._settings = settings
        self._enrolment = enrolment
        self._lock = _lock(settings.state_dir)
        self._wake_read, self._wake = _pipe()
        self._grains: dict[str, Data] = {}
        self._workshop = Workshop(settings, enrolment.id, self._wake, lambda: self._grains)
        addresses = settings.master or enrolment.addresses
        self._session = Session(identity, enrolment.master, addresses, self._hello, self._workshop.names)
        self._custom_grains = CustomGrains(enrolment.id, settings.root, settings.state_dir)
        self._facts_due = 0.0
        self._stopping = False

    # --- the loop -------------------------------------------------------------------------------------------------

    def run(self) -> None:
        """Serve until SIGTERM or SIGINT."""
        self._look_at_host()
        self._workshop.recover()
        signals = self._watch_signals()
        poller = zmq.Poller()
        poller.register(self._wake_read, zmq.POLLIN)
        poller.register(signals, zmq.POLLIN)
        notify("READY=1\nSTATUS=looking for the master")
        watchdog, ping = watchdog_interval(), 0.0
        while not self._stopping:
            now = time.monotonic()
            self._survive(lambda: self._advance(time.monotonic()), "time")
            self._poll(poller, self._wait_for(now, watchdog))
            _drain(self._wake_read)
            _drain(signals.fileno())
            self._survive(self._receive, "what the master sent")
            self._survive(self._reap, "the jobs' processes")
            if watchdog is not None and time.monotonic() >= ping:
                ping = time.monotonic() + watchdog
                notify("WATCHDOG=1")
        notify("STOPPING=1")
        self._workshop.stop()
        self._custom_grains.stop()
        self._session.end()

    def _survive(self, turn: Callable[[], None], what: str) -> None:
        """Do one part of a turn; an error of ours in it is told, and the daemon goes on."""
        try:
            turn()
        except Exception:
            log.exception("%s could not be dealt with; the daemon goes on", what)
            time.sleep(RECOVERY_PAUSE)

    def _poll(self, poller: zmq.Poller, timeout: float) -> None:
        session = self._session.socket
        if session is not None:
            poller.register(session, zmq.POLLIN)
        poller.poll(int(timeout * 1000) + 1)
        if session is not None:
            poller.unregister(session)

    def _wait_for(self, now: float, watchdog: float | None) -> float:
        moments = [self._session.deadline, self._workshop.deadline(now), self._facts_due, now + (watchdog or 60.0)]
        if self._custom_grains.deadline is not None:
            moments.append(self._custom_grains.deadline)
        return max(0.0, min(moments) - now)

    def _advance(self, now: float) -> None:
        self._session.tick(now)
        if not self._session.up:
            self._workshop.outbox.close()
        self._workshop.tick(now)
        self._custom_grains.tick(now)
        if now >= self._facts_due:
            self._look_at_host()
        self._send_waiting(now)

    def _send_waiting(self, now: float) -> None:
        for report in self._workshop.outbox.reports():
            self._session.send(report)
        if self._session.up:
            for request in self._workshop.requests(now):
                self._session.send(request)

    def _reap(self) -> None:
        self._workshop.rang()
        while self._workshop.waits_for_children or self._custom_grains.running:
            pid, _status = os.waitpid(-1, os.WNOHANG)
            if pid == 0:
                return
            if self._workshop.reaped(pid):
                self._look_at_host()
            elif self._custom_grains.reaped(pid):
                self._tell_grains()

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

    # --- the master's messages ------------------------------------------------------------------------------------

    def _hello(self) -> Hello:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text("ascii").strip()
        machine = str(self._grains.get("machine_id", ""))
        return Hello(WIRE_VERSION, __version__, boot, machine, self._workshop.high_water)

    def _receive(self) -> None:
        for message in self._session.receive():
            try:
                self._handle(message)
            except PeerError as error:
                log.error("a message %r of the master was refused: %s", message.KIND, error)

    def _handle(self, message: ToMinion) -> None:
        if isinstance(message, Welcome):
            self._welcomed(message)
        elif isinstance(message, Acknowledge):
            self._workshop.acknowledged(message.number)
        elif isinstance(message, Sealed):
            self._ordered(message)
        elif isinstance(message, BlobPart):
            self._workshop.take_part(message)

    def _welcomed(self, welcome: Welcome) -> None:
        if welcome.wire != WIRE_VERSION:
            self._session.rebuild()
            raise VersionError(f"the master speaks wire version {welcome.wire}, this minion {WIRE_VERSION}")
        self._session.welcomed(welcome)
        self._workshop.new_session(welcome.window)
        self._session.send(Facts(self._grains))

    def _ordered(self, sealed: Sealed) -> None:
        try:
            header, order = command.unseal(self._enrolment.master, self._enrolment.id, sealed, time.time())
        except RefusedCommand as error:
            log.error("job %s was refused: %s", error.job, error)
            self._workshop.refuse(JobId(error.job), str(error))
            return
        self._workshop.order(header, order, sealed)

    # --- the host -------------------------------------------------------------------------------------------------

    def _look_at_host(self) -> None:
        now = time.monotonic()
        self._facts_due = now + FACTS_INTERVAL * random.uniform(0.9, 1.1)
        self._tell_grains()
        self._custom_grains.start(self._grains, self._wake, now)

    def _tell_grains(self) -> None:
        """Tell the master of the grains when they are not those of before."""
        of_tree = self._custom_grains.values
        found = _bounded({**grains.gather(), **of_tree, **self._settings.grains, "id": self._enrolment.id})
        changed = found != self._grains
        self._grains = found
        if changed and self._session.up:
            self._session.send(Facts(found))


def _bounded(found: dict[str, Data]) -> dict[str, Data]:
    """Grains that can be packed and sent: plain data, the largest left out when they are too many bytes."""
    told = {key: plain(value) for key, value in found.items()}
    while (size := len(codec.pack(told))) > MOST_FACTS:
        largest = max(told, key=lambda key: len(codec.pack(told[key])))
        log.warning("the grains are %d bytes; %s is left out", size, largest)
        del told[largest]
    return told


def _lock(state_dir: Path) -> int:
    """Hold `state_dir` for this daemon alone. Raises ConfigError naming who has it."""
    fd = os.open(state_dir / "daemon.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        holder = os.pread(fd, 20, 0).decode("ascii", "replace").strip()
        os.close(fd)
        raise ConfigError(
            f"another stackminion (pid {holder or 'unknown'}) serves from this folder",
            where=Where(file=str(state_dir)),
            help="stop it first, or give this one a state_dir of its own",
        ) from None
    os.ftruncate(fd, 0)
    os.pwrite(fd, f"{os.getpid()}\n".encode("ascii"), 0)
    return fd


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
