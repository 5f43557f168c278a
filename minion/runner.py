"""The child process that carries out one job and writes its records; it shares nothing with the daemon but files."""

from __future__ import annotations

import gc
import os
import signal
import sys
import time
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from minion import scope
from minion.config import MinionSettings, conditions
from minion.journal import hold_lock, write_lock
from minion.records import RecordWriter
from protocol.assignment import Assignment, BlobRef, Custom, decode_assignment, digest
from protocol.command import Apply, Call, Order
from protocol.data import Data
from protocol.errors import StackmasterError, StateError
from protocol.messages import EventRaised, JobProgress, JobUpdate
from protocol.names import JobId
from protocol.plain import plain
from protocol.results import JobState, Progress, StepResult
from protocol.secrets import Scrubber
from states.context import Context

if TYPE_CHECKING:
    from states.custom.loader import Loader

_BELL = 3
"""The descriptor that wakes the daemon, in the child."""


@dataclass(frozen=True, slots=True)
class Task:
    """Everything that a job's process needs to know."""

    job: JobId
    order: Order
    minion: str
    folder: Path
    root: Path
    state_dir: Path
    grains: Mapping[str, Data]
    done: Mapping[int, StepResult]
    content: Callable[[BlobRef], Path]
    settings: MinionSettings = field(default_factory=MinionSettings)


def spawn(task: Task, wake: int) -> int:
    """Start a process for `task` in a process group of its own; its pid. It writes a byte to `wake` at each record."""
    pid = os.fork()
    if pid:
        return pid
    status = 1
    try:
        detach(task.folder, wake)
        lock = hold_lock(task.folder)
        if lock is not None:
            write_lock(lock, os.getpid(), scope.enter(task.job))
            _carry_out(task)
        status = 0
    except BaseException:  # noqa: BLE001 - the last line of a child: never unwind into the daemon's frames
        traceback.print_exc()
    finally:
        os._exit(status)


def detach(folder: Path, wake: int) -> None:
    """A session of its own, default signals, no inherited descriptors, output into the job's log (0600)."""
    gc.freeze()
    os.setsid()
    os.umask(0o077)
    signal.set_wakeup_fd(-1)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD):
        signal.signal(number, signal.SIG_DFL)
    for name in ("NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"):
        os.environ.pop(name, None)
    _be_killed_first()
    log = os.open(folder / "log", os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW, 0o600)
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.dup2(log, 1)
    os.dup2(log, 2)
    os.dup2(wake, _BELL, inheritable=False)
    os.closerange(_BELL + 1, 65536)


def _be_killed_first() -> None:
    """The daemon is protected when memory runs out; what it starts is not (proc(5), oom_score_adj)."""
    try:
        Path("/proc/self/oom_score_adj").write_text("0")
    except OSError:
        return


def _carry_out(task: Task) -> None:
    writer = RecordWriter(task.folder / "records")
    bell = _Bell(_BELL)
    scrubber = Scrubber()
    try:
        writer.append(_outcome(task, writer, bell, scrubber), sync=True)
    finally:
        bell.ring()
        writer.close()


def _outcome(task: Task, writer: RecordWriter, bell: _Bell, scrubber: Scrubber) -> JobUpdate:
    """How the job came out, whatever happened in it."""
    try:
        if isinstance(task.order, Apply):
            return _apply(task, task.order, writer, bell, scrubber)
        if isinstance(task.order, Call):
            return call(task.job, task.order, _context(task, scrubber, task.order.timeout))
        raise TypeError("a cancel has no process")
    except (Exception, SystemExit) as error:  # noqa: BLE001 - a bug must come back as the job's end, not as silence
        told = scrubber.text(f"{type(error).__name__}: {error}")
        sys.stderr.write(scrubber.text(traceback.format_exc()))
        return JobUpdate(task.job, JobState.FAILED, time.time(), f"the job broke off: {told}")


class _Bell:
    """Wakes the daemon; a full pipe means that it is awake already."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        os.set_blocking(fd, False)

    def ring(self) -> None:
        try:
            os.write(self._fd, b"r")
        except BlockingIOError:
            return
        except BrokenPipeError:
            return


def _context(task: Task, scrubber: Scrubber, deadline: float) -> Context:
    return Context(
        minion=task.minion,
        grains=task.grains,
        root=task.root,
        state_dir=task.state_dir,
        deadline=deadline,
        blob_path=task.content,
        scrubber=scrubber,
    )


def _assignment(task: Task, order: Apply) -> Assignment:
    raw = order.inline if order.inline is not None else task.content(BlobRef(order.digest, 0)).read_bytes()
    if digest(raw) != order.digest:
        raise StateError("the assignment on disk is not the one that was signed")
    assignment = decode_assignment(raw)
    if assignment.minion != task.minion:
        raise StateError(f"the assignment is for {assignment.minion}, not for {task.minion}")
    return assignment


def _apply(task: Task, order: Apply, writer: RecordWriter, bell: _Bell, scrubber: Scrubber) -> JobUpdate:
    from states.engine import Habits, apply
    from states.host.kept import Keeper

    try:
        assignment = _assignment(task, order)
    except StackmasterError as error:
        return JobUpdate(task.job, JobState.FAILED, time.time(), str(error))
    scrubber.add(assignment.secrets)

    def emit(progress: Progress) -> None:
        writer.append(JobProgress(task.job, progress))
        bell.ring()

    def raise_event(name: str, data: Mapping[str, Data]) -> None:
        writer.append(EventRaised(f"state_result/{task.job}/{name}", data, time.time()))
        bell.ring()

    context = _context(task, scrubber, order.timeout)
    context.pending = order.pending
    if not order.test:
        context.keeper = Keeper(task.state_dir / "kept", task.job)
    settings = task.settings
    habits = Habits(settings.failhard, settings.state_max_parallel, conditions(settings.global_state_conditions))
    if assignment.custom is not None and not order.test:
        from states.custom.store import keep_grains

        keep_grains(context, assignment.custom)
    results = apply(
        assignment,
        context,
        emit,
        test=order.test,
        foretold=order.foretold,
        done=task.done,
        raise_event=raise_event,
        habits=habits,
        load=_custom,
    )
    failed = sum(result.result is False for result in results)
    if failed:
        reason = f"{failed} of {len(results)} states failed"
        return JobUpdate(task.job, JobState.FAILED, time.time(), reason)
    return JobUpdate(task.job, JobState.SUCCEEDED, time.time())


def call(job: JobId, order: Call, context: Context) -> JobUpdate:
    """Call the function of `order`; its value (scrubbed, unless the function returns secrets) or its error."""
    from states import registry

    context.scrubber.add(order.secrets)
    scrub = context.scrubber
    try:
        if order.custom is not None:
            context.custom = _custom(order.custom, context)
        function = registry.find_function(order.function, context.custom)
        value = registry.invoke(function, context, order.args, order.kwargs)
    except (StackmasterError, OSError) as error:
        return JobUpdate(job, JobState.FAILED, time.time(), scrub.text(str(error)))
    except Exception as error:  # noqa: BLE001 - a function's bug must come back as its result, not as silence
        reason = f"{order.function} broke: {type(error).__name__}: {error}"
        sys.stderr.write(scrub.text(traceback.format_exc()))
        return JobUpdate(job, JobState.FAILED, time.time(), scrub.text(reason))
    if not function.secret:
        value = scrub.data(plain(value))
    return JobUpdate(job, JobState.SUCCEEDED, time.time(), "", value)


def quick(function: str) -> bool:
    """Whether the function may be answered by the daemon itself."""
    from states import registry

    try:
        return registry.find_function(function).inline
    except StackmasterError:
        return True
    except Exception:  # noqa: BLE001 - a module that cannot be imported now is for the job's own process to tell
        return False


def _custom(custom: Custom, context: Context) -> Loader:
    """The code of the tree that came with a job; the job's own process loads it, nobody else."""
    from states.custom.loader import load
    from states.engine import apply

    return load(custom, context, apply)
