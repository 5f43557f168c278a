"""How the `ceph` command is asked: JSON out, a deadline, errors with their errno, and no key on a command line."""

from __future__ import annotations

import errno
import json
import os
import re
import tempfile
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, TypeVar

from protocol.errors import StateError
from protocol.secrets import Secret
from states.ceph import keys
from states.ceph.conf import CONF
from states.context import Context
from states.host.files import failure
from states.host.process import CommandMissing, CommandTimeout, Completed, require, run

ADMIN_KEYRING: Final = "/etc/ceph/ceph.client.admin.keyring"

CONNECT_TIMEOUT: Final = 20.0
"""Seconds until a monitor must have answered: an election among three takes up to 15."""

COMMAND_TIMEOUT: Final = 120.0
"""Seconds that one command may take; `rbd pool init` waits for placement groups to become active."""

FRESH: Final = 2.0
"""Seconds for which an answer is good."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class _Answer:
    """What was answered `at` (monotonic), and the names of what this process changed since."""

    answer: Any
    at: float
    touched: set[str] = field(default_factory=set)


_answers: dict[tuple[str, ...], _Answer] = {}

_LIBRARY_LOG = re.compile(r"\d{4}-\d\d-\d\dT\S+ [0-9a-f]+ +-?\d+ ")
_UNREACHABLE = ("error connecting to the cluster", "Error initializing cluster client", "timed out", "interrupted")
_NAMED = re.compile(r"Error (E[A-Z0-9]+):\s*(.*)", re.DOTALL)


class NotReady(StateError):
    """What it takes to ask the cluster (its configuration, a key) is not on this host."""

    code = "ceph.not-ready"


class ClusterUnreachable(NotReady):
    """No monitor answered, or none that takes the key."""

    code = "ceph.unreachable"


class CephError(StateError):
    """The cluster refused a command; `errno` is the number it gave (errno.ENOENT: no such thing)."""

    code = "ceph.command"

    def __init__(self, message: str, number: int, *, help: str = "") -> None:
        super().__init__(message, help=help)
        self.errno = number


@dataclass(frozen=True, slots=True)
class Cluster:
    """A cluster and the entity that asks it: with the keyring file `keyring`, or else with `key`."""

    ctx: Context
    entity: str
    keyring: Path | None
    key: Secret | None = None
    connect_timeout: float = CONNECT_TIMEOUT

    def ask(self, *words: str, about: str = "") -> Any:
        """What the question `words` is answered in JSON (None: with nothing). Raises CephError, NotReady, StateError.

        An answer less than FRESH old is taken again, unless this process changed `about` since: the states of one run
        look at the same pools one after the other.
        """
        key = (str(self.ctx.root), self.entity, *words)
        known = _answers.get(key)
        if known is not None and time.monotonic() - known.at < FRESH and about not in known.touched:
            return known.answer
        answer = parse(words, self._run("ceph", self._patience(), (*words, "--format", "json"), None))
        _answers[key] = _Answer(answer, time.monotonic())
        return answer

    def tell(self, *words: str, about: Collection[str], stdin: str | None = None) -> str:
        """Run the command `words`, which changes what `about` names; what it printed. Raises as `ask`."""
        return self._change("ceph", self._patience(), words, about, stdin)

    def rbd(self, *words: str, about: Collection[str]) -> str:
        """Run the `rbd` command `words`, which changes what `about` names; what it printed. Raises as `ask`."""
        return self._change("rbd", [], words, about, None)

    def _patience(self) -> list[str]:
        return ["--connect-timeout", f"{max(1, round(self.connect_timeout))}"]

    def _change(
        self, tool: str, options: list[str], words: tuple[str, ...], about: Collection[str], stdin: str | None
    ) -> str:
        try:
            return self._run(tool, options, words, stdin)
        finally:
            for known in _answers.values():
                known.touched.update(about)

    def _run(self, tool: str, options: list[str], words: tuple[str, ...], stdin: str | None) -> str:
        command = require(self.ctx, tool, help="install ceph-common")
        with self._keyring() as keyring:
            argv = [command, "--conf", str(self.ctx.path(CONF)), "--name", self.entity, "--keyring", str(keyring)]
            try:
                done = run(self.ctx, [*argv, *options, *words], stdin=stdin, accept=None, deadline=COMMAND_TIMEOUT)
            except CommandTimeout as error:
                raise ClusterUnreachable(f"`{tool} {' '.join(words)}` got no answer", help=_UNREACHABLE_HELP) from error
        if done.status != 0:
            raise complaint(self.ctx, tool, words, done)
        return done.stdout

    @contextmanager
    def _keyring(self) -> Iterator[Path]:
        if self.keyring is not None:
            yield self.keyring
            return
        assert self.key is not None
        with private_file(self.ctx, keys.render({self.entity: keys.Entry(self.key)})) as path:
            yield path


def forget() -> None:
    """Take no earlier answer again."""
    _answers.clear()


def parse(words: tuple[str, ...], answer: str) -> Any:
    """What `ceph` printed in JSON; None when it printed nothing. Raises StateError."""
    if not answer.strip():
        return None
    try:
        return json.loads(answer)
    except ValueError as error:
        raise StateError(f"`ceph {words[0]} …` did not answer in JSON") from error


_UNREACHABLE_HELP = "look whether the monitors run (systemctl status 'ceph-mon@*') and can be reached from this host"


def connect(ctx: Context, admin_key: str | None = None, *, timeout: float = CONNECT_TIMEOUT) -> Cluster:
    """The cluster of this host's ceph.conf, to be asked as client.admin, or as `mon.` on a monitor's host.

    `admin_key` is used when it is given and known; else the admin keyring of this host, else a monitor's own.
    Nothing is sent yet. Raises CommandMissing without `ceph`, NotReady without configuration or key.
    """
    require(ctx, "ceph", help="install ceph-common")
    if not ctx.path(CONF).is_file():
        raise NotReady(f"there is no {CONF} on this host", help="declare it with ceph.conf")
    if admin_key is not None and not keys.is_unknown(admin_key):
        key = keys.check_key(admin_key, "client.admin")
        return Cluster(ctx, "client.admin", None, key, timeout)
    if ctx.path(ADMIN_KEYRING).is_file():
        return Cluster(ctx, "client.admin", ctx.path(ADMIN_KEYRING), None, timeout)
    for keyring in sorted(ctx.path("/var/lib/ceph/mon").glob("ceph-*/keyring")):
        return Cluster(ctx, "mon.", keyring, None, timeout)
    raise NotReady(
        "this host has no key to ask the cluster with",
        help=f"declare {ADMIN_KEYRING} with ceph.keyring, or give admin_key",
    )


def look(ctx: Context, admin_key: str | None, ask: Callable[[Cluster], T]) -> T | None:
    """What `ask` finds in the cluster; None in a dry run that foretells what is missing for asking it.

    Raises what `ask` raises, and NotReady or CommandMissing in a real run.
    """
    blind = ctx.assumed() or (ctx.test and admin_key is not None and keys.is_unknown(admin_key))
    try:
        return ask(connect(ctx, admin_key))
    except (NotReady, CommandMissing):
        if blind:
            return None
        raise


def complaint(ctx: Context, tool: str, words: tuple[str, ...], done: Completed) -> StateError:
    """The error that a failed command means: unreachable, or refused with an errno. The library's log is left out."""
    lines = [line.strip() for line in done.stderr.splitlines() if line.strip() and not _LIBRARY_LOG.match(line)]
    text = ctx.scrubber.text("\n".join(lines[-5:]) or f"exit status {done.status}")
    what = ctx.scrubber.text(f"`{tool} {' '.join(words)}`")
    if any(mark in text for mark in _UNREACHABLE):
        return ClusterUnreachable(f"the cluster did not take {what}: {text}", help=_unreachable_help(text))
    if named := _NAMED.search(text):
        number = getattr(errno, named[1], done.status)
        return CephError(f"{what}: {named[2].strip() or named[1]}", number)
    return CephError(f"{what}: {text}", done.status)


def _unreachable_help(text: str) -> str:
    if "errno 13" in text or "errno 1]" in text:
        return "the key is not one of this cluster: look at the keyring and at the fsid in ceph.conf"
    if "errno 2" in text or "errno 5" in text:
        return "the keyring cannot be read, or ceph.conf names no monitor"
    return _UNREACHABLE_HELP


@contextmanager
def private_file(ctx: Context, content: str, *, owner: tuple[int, int] | None = None) -> Iterator[Path]:
    """A file with mode 0600 that holds `content` and is gone afterwards. `owner`: uid and gid. Raises StateError.

    It lies under ctx.state_dir, or, for an owner who may not enter there, in a folder of its own under /run.
    """
    place = ctx.state_dir / "ceph" if owner is None else ctx.path("/run")
    try:
        place.mkdir(mode=0o700, parents=True, exist_ok=True)
        folder = tempfile.TemporaryDirectory(prefix="stackmaster-", dir=place)
    except OSError as error:
        raise failure(place, error) from error
    with folder:
        path = Path(folder.name) / "file"
        try:
            _fill(path, content, owner)
        except OSError as error:
            raise failure(path, error) from error
        yield path


def _fill(path: Path, content: str, owner: tuple[int, int] | None) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "w") as out:
        if owner is not None:
            os.fchown(out.fileno(), *owner)
            os.chown(path.parent, *owner)
        out.write(content[:])
