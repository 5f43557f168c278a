"""The master put together: what is built from what, what runs when, and how it ends. Only the entry imports this."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import grp
import logging
import os
import signal
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import zmq

from master import __version__, config
from master.api.calls import Parts, node_calls
from master.api.plans import plan_calls
from master.api.socket import ApiServer
from master.api.table import Table
from master.api.work import work_calls
from master.asking import Asking, AskingRules
from master.blobs import KEPT, KEPT_WHEN_FULL, Blobs
from master.bus import Bus
from master.compiler.pool import Limits, Pool
from master.compiler.secretwords import SecretWords
from master.compiling import Compiling
from master.config import MasterSettings
from master.customcalls import CustomCalls
from master.door import ENROL, SESSION, Door, Gate, Rate
from master.drift import Drift
from master.driftrules import rule_of
from master.intake import Intake
from master.inventory import Inventory
from master.jobs import Jobs
from master.keys import Keys
from master.orders import ARGUMENT_WORDS
from master.plans import Plans
from master.rollbacks import Rollbacks
from master.runs.driver import Runs
from master.sessions import Handlers, Session, Sessions
from master.store import history, queries
from master.store.room import RESERVE
from master.store.store import Store
from master.vault import Vault
from protocol import identity, limits, sockets
from protocol.errors import ConfigError, RefusedError, StackmasterError, Where
from protocol.messages import Heartbeat
from protocol.names import MinionId
from protocol.notify import notify, watchdog_interval

log = logging.getLogger("stackmaster")

SESSION_QUEUE = 256
"""Messages waiting for one minion; blob parts are up to 1 MiB each, so this bounds what a stalled one costs."""

EXPIRE_EVERY = 60.0
"""Seconds between two looks at what is too old to be kept."""


def serve(path: Path | None) -> int:
    """Be the daemon with the settings in `path` until SIGTERM or SIGINT; gives the exit code.

    Raises ConfigError, IdentityError, StoreError, RefusedError and what else it cannot do without.
    """
    settings = config.load(path, os.environ).value
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s: %(message)s")
    return 0 if asyncio.run(run(settings)) else 1


async def run(settings: MasterSettings, ready: Callable[[Daemon], None] = lambda daemon: None) -> bool:
    """Serve until SIGTERM or SIGINT, or until `Daemon.stop` is called. `ready` is told once everything listens.

    Gives whether it ended as it was told, not of a fault.
    """
    os.umask(0o077)
    daemon = Daemon(settings)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, daemon.stop)
    try:
        await daemon.start()
        notify(f"READY=1\nSTATUS=stackmaster {__version__} serves")
        ready(daemon)
        await daemon.stopped.wait()
        notify("STOPPING=1")
    finally:
        await daemon.close()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.remove_signal_handler(number)
    return not daemon.failed


class Daemon:
    """All parts of one master."""

    def __init__(self, settings: MasterSettings) -> None:
        self.settings = settings
        self.stopped = asyncio.Event()
        self.failed = False
        self.drift: Drift | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self._closing = contextlib.AsyncExitStack()
        self._forgetting: set[asyncio.Task[None]] = set()

    def stop(self) -> None:
        """End the service."""
        self.stopped.set()

    async def start(self) -> None:
        """Build everything and listen. Raises StackmasterError."""
        settings = self.settings
        self._claim(settings.state_dir)
        own = identity.load_or_create(settings.state_dir / "identity")
        await self._build(own)
        await self._listen(own)
        await self.runs.resume()
        self._every(settings.heartbeat / 2, self._sweep)
        self._every(0.5, self._tick)
        self._every(EXPIRE_EVERY, self._expire)
        if self.drift is not None:
            self._every(1.0, self.drift.tick)
        interval = watchdog_interval()
        if interval is not None:
            self._every(interval, self._watchdog)
        log.info("master %s serves; its key is %s", __version__, own.public.fingerprint)

    async def close(self) -> None:
        """Stop listening, end what waits, commit what is queued."""
        for task in [*self._tasks, *self._forgetting]:
            task.cancel()
        await asyncio.gather(*self._tasks, *self._forgetting, return_exceptions=True)
        await self._closing.aclose()

    # --- building -----------------------------------------------------------------------------------------------

    def _claim(self, state_dir: Path) -> None:
        """Make the state directory this process's own. Raises RefusedError, ConfigError."""
        try:
            state_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
            state_dir.chmod(0o700)
            lock = os.open(state_dir / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        except OSError as error:
            where = Where(file=str(state_dir))
            raise ConfigError(f"'state_dir' cannot be used: {error.strerror}", where=where) from None
        self._closing.callback(os.close, lock)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise RefusedError(
                f"another master runs on {state_dir}", help="stop it, or give this one a 'state_dir' of its own"
            ) from None

    async def _build(self, own: identity.Identity) -> None:
        settings = self.settings
        self.store = Store(settings.state_dir / "master.db", reserve=RESERVE)
        self.store.on_failed = self._broken
        self.store.open()
        self._closing.push_async_callback(self.store.close)
        self.bus = Bus(self.store)
        self.store.on_full = self._disk
        self.keys = Keys(self.store, own, settings.pending_keys)
        await self.keys.load()
        self.sessions = Sessions(
            self.keys, self.bus, self.store, settings.heartbeat, settings.window, settings.bad_frames
        )
        self.blobs = Blobs(settings.state_dir / "blobs")
        self.blobs.open()
        self._closing.callback(self.blobs.close)
        pool = Pool(Limits(workers=settings.compile_workers, deadline=settings.compile_timeout))
        self._closing.push_async_callback(pool.close)
        compiling = Compiling(settings, pool)
        self.inventory = Inventory(self.store, self.keys, self.sessions, settings.nodegroups, compiling.pillar)
        compiling.inventory = self.inventory
        await self.inventory.load()
        words = SecretWords(settings.secret_words or ARGUMENT_WORDS)
        custom = CustomCalls(compiling.call, override=settings.custom_override)
        self.jobs = Jobs(self.store, self.sessions, self.inventory, self.blobs, own, compiling.job, words, custom)
        rules = AskingRules(settings.render_functions, Path(settings.gpg_keyring) if settings.gpg_keyring else None)
        compiling.asking = Asking(rules, self.jobs, self.inventory.expand, lambda: self.sessions.connected)
        self.intake = Intake(self.store, self.sessions, self.jobs)
        await self.jobs.resume()
        self.keys.on_removed(self._removed)
        self.runs = Runs(
            self.jobs, self.bus, self.store, compiling.orchestration, self.inventory.expand, Vault(own),
            accepted=lambda: self.keys.accepted, present=lambda: set(self.sessions.connected),
            grains=self.inventory.grains,
        )  # fmt: skip
        self._closing.push_async_callback(self.runs.close)
        await self._watch_drift()
        self._parts = Parts(
            settings, self.store, self.bus, self.keys, self.sessions, self.inventory, self.jobs, self.runs,
            compiling.pillar, compiling.show,
            Plans(self.jobs, self.blobs, Vault(own), self.inventory.expand),
            Rollbacks(self.jobs, self.store, self.inventory.expand), time.time(),
        )  # fmt: skip

    async def _watch_drift(self) -> None:
        rule = rule_of(self.settings.drift)
        if rule is not None:
            self.drift = Drift(rule, self.jobs, self.store, self.inventory.expand, lambda: self.sessions.connected)
            await self.drift.load()
            self._closing.push_async_callback(self.drift.close)

    async def _listen(self, own: identity.Identity) -> None:
        settings = self.settings
        context = sockets.context()
        self._closing.callback(context.destroy, 0)
        rates = [Rate(settings.enrol_rate, settings.enrol_total_rate) for _ in range(2)]
        gate = Gate(context, self.keys, rates[0], self.sessions.barred)
        gate.start()
        # closed last: while a socket lives, somebody must answer for who gets in
        self._closing.callback(gate.close)
        door = Door(self._bound(context, own, settings.enrol_port, ENROL), self.keys, rates[1])
        self._closing.callback(door.close)
        sessions = self._bound(context, own, settings.session_port, SESSION)
        self._closing.callback(self.sessions.close)
        self.sessions.start(sessions, self._handlers())
        door.start()
        table = Table([*node_calls(self._parts), *work_calls(self._parts), *plan_calls(self._parts)])
        api = ApiServer(settings.socket, table, self.store, settings.roles, settings.api_connections)
        self._closing.push_async_callback(api.close)
        await api.start(_group(settings.socket_group))

    def _bound(
        self, context: zmq.Context[zmq.Socket[bytes]], own: identity.Identity, port: int, domain: str
    ) -> zmq.Socket[bytes]:
        address = sockets.endpoint(self.settings.interface, port)
        limit = limits.MAX_ENROL_MESSAGE if domain == ENROL else limits.MAX_MESSAGE
        queue = 8 if domain == ENROL else SESSION_QUEUE
        return sockets.listening(context, own, address, domain=domain, limit=limit, queue=queue)

    def _handlers(self) -> Handlers:
        return Handlers(
            here=self._arrived,
            gone=self.inventory.left,
            admits=self.intake.admits,
            heartbeat=self._heard,
            report=self.intake.received,
            facts=self.inventory.told,
            blob=lambda session, request: self.blobs.requested(self.sessions, session, request),
        )

    def _arrived(self, session: Session) -> None:
        self.inventory.arrived(session)
        self.jobs.here(session)

    def _heard(self, session: Session, beat: Heartbeat) -> None:
        self.jobs.heard(session.minion)

    def _removed(self, minion: MinionId) -> None:
        """A key is not accepted any more: what was the minion's goes, its jobs end."""
        self.inventory.forget(minion)
        if self.drift is not None:
            self.drift.forget(minion)
        task = asyncio.get_running_loop().create_task(self.jobs.forget(minion))
        self._forgetting.add(task)
        task.add_done_callback(self._forgetting.discard)

    # --- what runs by the clock -----------------------------------------------------------------------------------

    def _every(self, seconds: float, call: Callable[[], Awaitable[None]]) -> None:
        async def repeat() -> None:
            while True:
                await asyncio.sleep(seconds)
                try:
                    await call()
                except StackmasterError as error:
                    log.error("%s", error)

        task = asyncio.get_running_loop().create_task(repeat())
        task.add_done_callback(self._ended)
        self._tasks.append(task)

    def _ended(self, task: asyncio.Task[None]) -> None:
        """A fault in what must go on for ever: better to be started anew than to be half alive."""
        if not task.cancelled() and task.exception() is not None:
            log.critical("a part of the master failed", exc_info=task.exception())
            self.failed = True
            self.stop()

    async def _sweep(self) -> None:
        self.sessions.sweep()
        notify(f"STATUS={len(self.sessions)} minions connected, {self.jobs.running} jobs, {self.runs.running} runs")

    async def _tick(self) -> None:
        await self.jobs.tick()
        await self.inventory.save()

    async def _watchdog(self) -> None:
        notify("WATCHDOG=1")

    async def _expire(self) -> None:
        """Forget what is too old or too much, in small steps between which others get to write."""
        before, gone = time.time() - self.settings.history_days * 86400, 0
        while step := await self.store.write(lambda tx: history.forget(tx, before)):
            gone += step
        while await self.store.read(queries.size) > self.settings.history_bytes:
            step = await self.store.write(lambda tx: history.forget(tx) or history.forget(tx, ongoing=True))
            if not step:
                break
            gone += step
        gone += await self.blobs.prune(KEPT_WHEN_FULL if self.store.full else KEPT)
        if gone:
            log.info("%d old records and contents were removed", gone)
        await self.store.look_for_room()

    def _disk(self, full: bool) -> None:
        """The disk became full, or is so no more."""
        self.bus.tell(f"master/disk/{'full' if full else 'well'}", {"history": "forgotten" if full else "kept"})

    def _broken(self) -> None:
        """Nothing can be stored any more: to be started anew is better than to promise what cannot be kept."""
        log.critical("the database's writer failed")
        self.failed = True
        self.stop()


def _group(name: str) -> int | None:
    if not name:
        return None
    try:
        return grp.getgrnam(name).gr_gid
    except KeyError:
        raise ConfigError(f"'socket_group': there is no group {name!r}") from None
