"""What Ceph's daemons have in common: their unit, data folder and socket, and the plan that keeps one running."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from protocol.data import Data
from protocol.errors import StateError
from protocol.results import Change
from states.ceph import asok, auth, client, keys, units
from states.ceph.keys import Caps, Entry
from states.ceph.place import read_text
from states.context import Context
from states.contract import Action, Plan
from states.host.accounts import gid_of, uid_of
from states.host.files import failure, write_atomic
from states.host.process import CommandMissing

START_TIMEOUT: Final = 60.0
"""Seconds until a started daemon must answer on its socket."""

_POLL: Final = 0.05


@dataclass(frozen=True, slots=True)
class Daemon:
    """A daemon by its kind (`mon`, `mgr`, `mds`, `osd`) and id."""

    kind: str
    id: str

    @property
    def name(self) -> str:
        """As Ceph calls it: `mon.mon1`."""
        return f"{self.kind}.{self.id}"

    @property
    def unit(self) -> str:
        """Its systemd unit."""
        return f"ceph-{self.kind}@{self.id}.service"

    @property
    def data(self) -> str:
        """Its data folder."""
        return f"/var/lib/ceph/{self.kind}/ceph-{self.id}"


def owner(ctx: Context) -> tuple[int, int]:
    """uid and gid of the user `ceph`, whom the packages make. Raises StateError."""
    uid, gid = uid_of(ctx, "ceph"), gid_of(ctx, "ceph")
    if uid is None or gid is None:
        raise StateError("there is no user ceph on this host", help="install ceph-common")
    return uid, gid


def wait_alive(ctx: Context, daemon: Daemon, command: str = "version") -> None:
    """Wait until `daemon` answers on its socket. Raises StateError after START_TIMEOUT."""
    until = time.monotonic() + min(START_TIMEOUT, ctx.deadline)
    while asok.ask(ctx, daemon.name, command) is None:
        if time.monotonic() >= until:
            raise StateError(
                f"{daemon.unit} was started, but {daemon.name} did not answer within {START_TIMEOUT:.0f} s",
                help=f"journalctl -u {daemon.unit} says why",
            )
        time.sleep(_POLL)


def make_folder(ctx: Context, path: Path, mode: int = 0o755) -> None:
    """Make the folder `path` for the user ceph, if it is not there. Raises StateError."""
    try:
        if not path.is_dir():
            path.mkdir(mode=mode)
            os.chown(path, *owner(ctx))
    except OSError as error:
        raise failure(path, error, "make") from error


def plan_key(ctx: Context, daemon: Daemon, caps: Caps, admin_key: str | None) -> list[Action]:
    """What gives `daemon` its entity in the cluster and the keyring file in its data folder.

    Where this host can ask the cluster, the entity's capabilities and the file's key are held against what the
    cluster has; elsewhere a keyring file that is there is trusted.
    """
    path = f"{daemon.data}/keyring"
    held = keys.parse(read_text(ctx, path) or "", path).get(daemon.name)
    try:
        found = client.look(ctx, admin_key, lambda cluster: (auth.read(cluster, daemon.name),))
    except (client.NotReady, CommandMissing):
        if held is None:
            raise
        return []
    if found is None:
        return [] if held else [_create_key(ctx, daemon, path, caps, admin_key)]
    actions: list[Action] = []
    known = found[0]
    if known is None or held is None or held.key[:] != known.key[:]:
        actions.append(_create_key(ctx, daemon, path, caps, admin_key, replaced=held is not None))
    if known is not None and not keys.same_caps(known.caps, caps):
        actions += auth.plan_entity(known, daemon.name, caps, None, auth.Admin(ctx, admin_key))
    return actions


def _create_key(
    ctx: Context, daemon: Daemon, path: str, caps: Caps, admin_key: str | None, *, replaced: bool = False
) -> Action:
    def perform() -> Data:
        cluster = client.connect(ctx, admin_key)
        entry = auth.read(cluster, daemon.name) or auth.get_or_create(cluster, daemon.name, caps)
        make_folder(ctx, ctx.path(daemon.data))
        uid, gid = owner(ctx)
        text = keys.render({daemon.name: Entry(entry.key)})
        write_atomic(ctx.path(path), text[:].encode(), mode=0o600, uid=uid, gid=gid)
        return None

    return Action(Change("change" if replaced else "create", path, "content"), perform)


def plan_unit(ctx: Context, daemon: Daemon, *, restart: bool = False, alive: str = "version") -> list[Action]:
    """What enables the daemon's unit at boot and has it running.

    restart: a running daemon is restarted (its key changed). alive: the question that it must answer on its socket
    after a start.
    """
    known = _look(ctx, daemon)
    subject = f"unit {daemon.unit}"

    def enable() -> Data:
        units.enable(ctx, daemon.unit)
        return None

    def start() -> Data:
        units.start(ctx, daemon.unit)
        wait_alive(ctx, daemon, alive)
        return None

    def again() -> Data:
        units.start(ctx, daemon.unit, "restart")
        wait_alive(ctx, daemon, alive)
        return None

    actions: list[Action] = []
    if not known.enabled:
        actions.append(Action(Change("change", subject, "enabled", old=False, new=True), enable))
    if not known.running:
        actions.append(Action(Change("change", subject, "running", old=False, new=True), start))
    elif restart:
        actions.append(Action(Change("restart", subject, "running"), again))
    return actions


def plan_daemon(ctx: Context, daemon: Daemon, caps: Caps, admin_key: str | None) -> Plan:
    """What gives `daemon`, which keeps nothing of its own, a key with `caps` and has it running. Raises StateError."""
    key = plan_key(ctx, daemon, caps, admin_key)
    renewed = any(action.change.subject == f"{daemon.data}/keyring" for action in key)
    actions = [*key, *plan_unit(ctx, daemon, restart=renewed)]
    return Plan(actions, f"{daemon.name} runs" if not actions else f"{daemon.name} was set up")


def _look(ctx: Context, daemon: Daemon) -> units.Standing:
    try:
        return units.look(ctx, daemon.unit)
    except StateError:
        if ctx.assumed():
            return units.Standing(enabled=False, running=False)
        raise
