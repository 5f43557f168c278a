"""How a command is run on a host: an argv, a deadline that ends the whole process group, bounded output."""

from __future__ import annotations

import contextlib
import os
import selectors
import signal
import subprocess
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from protocol import limits
from protocol.errors import StateError
from protocol.secrets import Secret
from states.context import Context

DEFAULT_PATH: Final = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
TERM_GRACE: Final = 5.0
"""Seconds between SIGTERM and SIGKILL of a process group whose deadline passed."""
EOF_GRACE: Final = 1.0
"""Seconds to wait for end of file after the command's own end: a daemon it left may hold the pipe for ever."""
TAIL_LINES: Final = 15
"""Lines of output shown in an error."""
_READ: Final = 65536


@dataclass(frozen=True, slots=True)
class Completed:
    """A command that ended. `status` is its exit status, or minus the signal that ended it; `duration` in seconds.

    `left_out` counts the bytes of output that were not kept (over limits.MAX_OUTPUT each): they are missing from
    the middle, where a line says so.
    """

    argv: tuple[str, ...]
    status: int
    stdout: str
    stderr: str
    duration: float
    left_out: int = 0

    @property
    def output(self) -> str:
        """What it wrote: standard output, then standard error."""
        return self.stdout + self.stderr


@dataclass(frozen=True, slots=True)
class Account:
    """Whom a command runs as: numeric ids; None leaves what this process has."""

    uid: int | None
    gid: int | None
    groups: tuple[int, ...] | None


class CommandError(StateError):
    """A command ended badly; `completed` says how. Message and help are scrubbed."""

    code = "state.command"

    def __init__(self, message: str, completed: Completed, *, help: str = "") -> None:
        super().__init__(message, help=help)
        self.completed = completed


class CommandTimeout(CommandError):
    """A command did not end before its deadline; its process group was ended."""

    code = "state.command.deadline"


class CommandMissing(StateError):
    """There is no such command on this host."""

    code = "state.command.missing"


def run(
    ctx: Context,
    argv: Sequence[str],
    *,
    stdin: str | bytes | None = None,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    deadline: float | None = None,
    accept: Collection[int] | None = (0,),
    account: Account | None = None,
    umask: int = 0o022,
) -> Completed:
    """Run `argv` (no shell) to its end and give what it wrote.

    stdin     data for its standard input, the way for secrets; None is the null device
    env       further environment; it gets PATH, LC_ALL=C.UTF-8, HOME and this, nothing else
    deadline  seconds, at most and by default `ctx.deadline`; then the whole process group is ended
    accept    the exit statuses that are no error; None accepts all
    account   whom to run it as; None is this process's own user

    Raises CommandMissing, CommandTimeout, CommandError (status not accepted), and StateError for a secret in argv.
    """
    arguments = tuple(argv)
    if any(isinstance(argument, Secret) or ctx.scrubber.text(argument) != argument for argument in arguments):
        raise StateError(f"a secret on the command line of {arguments[0]}", help="give it through stdin or env")
    started = time.monotonic()
    limit = min(deadline if deadline is not None else ctx.deadline, ctx.deadline)
    process = _spawn(ctx, arguments, stdin is not None, _environment(env), cwd, account, umask)
    try:
        captured = _communicate(process, _bytes(stdin), started + limit)
    finally:
        _end_group(process)
    completed = Completed(
        arguments,
        process.returncode,
        captured.stdout.text(),
        captured.stderr.text(),
        time.monotonic() - started,
        captured.stdout.left_out + captured.stderr.left_out,
    )
    if captured.timed_out:
        raise CommandTimeout(ctx.scrubber.text(f"{_shown(ctx, arguments)} did not end within {limit:g} s"), completed)
    if accept is not None and completed.status not in accept:
        raise failure(ctx, completed)
    return completed


def failure(ctx: Context, completed: Completed, *, what: str = "", help: str = "") -> CommandError:
    """The error that says how a command ended and its last lines, without secrets. `what` is said instead of argv."""
    how = f"exit status {completed.status}" if completed.status >= 0 else f"signal {_signal_name(-completed.status)}"
    lines = (completed.stderr.strip() or completed.stdout.strip()).splitlines()[-TAIL_LINES:]
    told = "\n".join([f"{what or _shown(ctx, completed.argv)} failed ({how})", *lines])
    return CommandError(ctx.scrubber.text(told), completed, help=ctx.scrubber.text(help))


def locate(ctx: Context, name: str) -> str | None:
    """Where the command `name` is under `ctx.root`, or None: with a private root no command of the real host is
    found, so that tests and the demo cannot touch the machine they run on."""
    path = os.environ.get("PATH", DEFAULT_PATH) if ctx.root == Path("/") else DEFAULT_PATH
    for folder in path.split(os.pathsep):
        candidate = ctx.root / folder.lstrip("/") / name
        if candidate.is_file() and os.access(candidate, os.X_OK):
            return str(candidate)
    return None


def require(ctx: Context, name: str, *, help: str = "") -> str:
    """Where the command `name` is under `ctx.root`. Raises CommandMissing."""
    found = locate(ctx, name)
    if found is None:
        raise CommandMissing(f"there is no command {name} on this host", help=help)
    return found


def _environment(extra: Mapping[str, str] | None) -> dict[str, str]:
    environment = {"PATH": os.environ.get("PATH", DEFAULT_PATH), "LC_ALL": "C.UTF-8", "HOME": "/root"}
    for key, value in (extra or {}).items():
        environment[key] = value.reveal() if isinstance(value, Secret) else value
    return environment


def _bytes(stdin: str | bytes | None) -> bytes:
    if isinstance(stdin, Secret):
        return stdin.reveal().encode()
    return stdin.encode() if isinstance(stdin, str) else stdin or b""


def _spawn(
    ctx: Context,
    argv: tuple[str, ...],
    piped: bool,
    env: dict[str, str],
    cwd: Path | None,
    account: Account | None,
    umask: int,
) -> subprocess.Popen[bytes]:
    who = account or Account(None, None, None)
    try:
        return subprocess.Popen(
            argv,
            stdin=subprocess.PIPE if piped else subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
            env=env,
            cwd=cwd if cwd is not None else "/",
            user=who.uid,
            group=who.gid,
            extra_groups=who.groups,
            umask=umask,
        )
    except FileNotFoundError as error:
        if cwd is not None and error.filename is not None and str(error.filename) == str(cwd):
            raise StateError(f"there is no directory {cwd} to run {argv[0]} in") from None
        raise CommandMissing(f"there is no command {argv[0]} on this host") from None
    except (OSError, ValueError, subprocess.SubprocessError) as error:
        raise StateError(ctx.scrubber.text(f"{argv[0]} cannot be run: {error}")) from None


class _Kept:
    """Output of which the first and the last half of the limit are kept."""

    def __init__(self, limit: int) -> None:
        self._half = limit // 2
        self._head = bytearray()
        self._tail = bytearray()
        self.left_out = 0

    def add(self, data: bytes) -> None:
        room = self._half - len(self._head)
        self._head += data[:room]
        self._tail += data[room:]
        excess = len(self._tail) - self._half
        if excess > 0:
            self.left_out += excess
            del self._tail[:excess]

    def text(self) -> str:
        if not self.left_out:
            return (self._head + self._tail).decode("utf-8", "replace")
        head, tail = _to_line_end(self._head), _from_line_start(self._tail)
        self.left_out += len(self._head) + len(self._tail) - len(head) - len(tail)
        self._head, self._tail = bytearray(head), bytearray(tail)
        gap = f"\n[{self.left_out} bytes of output left out]\n"
        return head.decode("utf-8", "replace") + gap + tail.decode("utf-8", "replace")


_SEAM: Final = 4096
"""Bytes at a cut within which a whole line is sought: a secret that is cut in two would not be found."""


def _to_line_end(head: bytearray) -> bytes:
    newline = head.rfind(b"\n", max(0, len(head) - _SEAM))
    return bytes(head[: newline if newline >= 0 else max(0, len(head) - _SEAM)])


def _from_line_start(tail: bytearray) -> bytes:
    newline = tail.find(b"\n", 0, _SEAM)
    return bytes(tail[newline + 1 if newline >= 0 else min(len(tail), _SEAM) :])


@dataclass(slots=True)
class _Captured:
    stdout: _Kept
    stderr: _Kept
    timed_out: bool = False


def _communicate(process: subprocess.Popen[bytes], data: bytes, until: float) -> _Captured:
    """Feed and read `process` until it ended and its pipes did, or `until` (monotonic) came."""
    captured = _Captured(_Kept(limits.MAX_OUTPUT), _Kept(limits.MAX_OUTPUT))
    pending = memoryview(data)
    with _pidfd(process) as pidfd, selectors.DefaultSelector() as selector:
        _register(selector, process, captured, pidfd)
        while selector.get_map():
            left = until - time.monotonic()
            events = selector.select(left) if left > 0 else []
            if not events:
                captured.timed_out = process.poll() is None
                break
            for key, _ in events:
                if key.fileobj == pidfd:
                    process.wait()
                    selector.unregister(pidfd)
                    until = min(until, time.monotonic() + EOF_GRACE)
                elif key.fileobj is process.stdin:
                    pending = _feed(selector, process, pending)
                else:
                    _drain(selector, key)
    return captured


def _register(
    selector: selectors.BaseSelector, process: subprocess.Popen[bytes], captured: _Captured, pidfd: int
) -> None:
    for pipe, kept in ((process.stdout, captured.stdout), (process.stderr, captured.stderr)):
        assert pipe is not None
        selector.register(pipe, selectors.EVENT_READ, kept)
    if process.stdin is not None:
        os.set_blocking(process.stdin.fileno(), False)
        selector.register(process.stdin, selectors.EVENT_WRITE)
    selector.register(pidfd, selectors.EVENT_READ)


@contextlib.contextmanager
def _pidfd(process: subprocess.Popen[bytes]) -> Iterator[int]:
    descriptor = os.pidfd_open(process.pid)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _drain(selector: selectors.BaseSelector, key: selectors.SelectorKey) -> None:
    data = os.read(key.fd, _READ)
    if data:
        key.data.add(data)
    else:
        selector.unregister(key.fileobj)


def _feed(selector: selectors.BaseSelector, process: subprocess.Popen[bytes], pending: memoryview) -> memoryview:
    """Write some of `pending` and give the rest; close the pipe when all is written or nobody reads it."""
    assert process.stdin is not None
    try:
        pending = pending[os.write(process.stdin.fileno(), pending[:_READ]) :]
    except BrokenPipeError:
        pending = pending[len(pending) :]
    if not pending:
        selector.unregister(process.stdin)
        process.stdin.close()
    return pending


def _end_group(process: subprocess.Popen[bytes]) -> None:
    """End what is left when the command is not over (deadline, or an exception on our side), and close the pipes.

    The leader is not reaped before the last signal: until then nobody else can have its process group's number.
    """
    if process.poll() is None:
        with _pidfd(process) as pidfd, selectors.DefaultSelector() as selector:
            selector.register(pidfd, selectors.EVENT_READ)
            os.killpg(process.pid, signal.SIGTERM)
            selector.select(TERM_GRACE)
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    for pipe in (process.stdin, process.stdout, process.stderr):
        if pipe is not None:
            with contextlib.suppress(OSError):
                pipe.close()


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return str(number)


def _shown(ctx: Context, argv: tuple[str, ...]) -> str:
    """A command line for a message: secrets hidden first, then cut."""
    text = ctx.scrubber.text(" ".join(argv))
    return text if len(text) <= 200 else text[:200] + " …"
