"""The compiling processes: started on demand, limited, killed when they break a limit, ended when idle."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol, TypeVar

import master
from master.compiler.reads import Recorded
from master.compiler.request import Compiled, CompiledCall, Request
from master.compiler.wire import (
    MAX_REPLY,
    Task,
    pack_answer,
    pack_error,
    pack_request,
    unpack_call,
    unpack_compiled,
    unpack_low,
    unpack_pillar,
    unpack_question,
)
from master.compiler.worker import HEAD, LAST, LENGTH, QUESTION
from protocol.data import Data
from protocol.errors import InputError, RefusedError, SlsError, StackmasterError

T = TypeVar("T")

_BOOT: Final = (
    "import sys; memory, cpu, *paths = sys.argv[1:]; sys.path[:0] = [p for p in paths if p not in sys.path]; "
    "from master.compiler.worker import main; main(int(memory), int(cpu))"
)

_LEAVING = 0.5
"""Seconds that a process has to end by itself when its input has ended."""

_PATIENCE = 60.0
"""Seconds that one question may take."""

_ENDING = 5.0
"""Seconds until a killed process must be gone."""


class AsyncAnswers(Protocol):
    """Who answers what a compilation asks beyond its files."""

    async def function(self, name: str, args: Sequence[Data], kwargs: Mapping[str, Data]) -> Data:
        """What the minion's function returns. Raises SlsError."""
        ...

    async def decrypt(self, message: str) -> str:
        """The text in the OpenPGP message. Raises SlsError."""
        ...


@dataclass(frozen=True, slots=True)
class Limits:
    """What one request may use, and how many processes there may be.

    memory    bytes of address space of a process
    cpu       seconds of processor time
    deadline  seconds of wall time, from when a process takes the request
    workers   processes at once
    idle      seconds after which a process without work ends
    waiting   requests that may wait for a process
    """

    memory: int = 1024 * 1024 * 1024
    cpu: int = 20
    deadline: float = 60.0
    workers: int = max(1, min(8, os.cpu_count() or 1))
    idle: float = 30.0
    waiting: int = 20_000


class Pool:
    """Compiles in processes of its own, so that no template can stop or bloat the master."""

    def __init__(self, limits: Limits | None = None) -> None:
        self._limits = limits or Limits()
        self._slots = asyncio.Semaphore(self._limits.workers)
        self._idle: list[_Worker] = []
        self._all: set[_Worker] = set()
        self._leaving: set[asyncio.Task[None]] = set()
        self._waiting = 0
        self._closed = False

    async def compile(self, request: Request, answers: AsyncAnswers | None = None) -> Compiled:
        """As `compile_assignment`. Raises SlsError, also for a broken limit; RefusedError when too many wait."""
        return (await self.compile_recorded(request, answers))[0]

    async def compile_recorded(
        self, request: Request, answers: AsyncAnswers | None = None
    ) -> tuple[Compiled, Recorded]:
        """As `compile`, with what was read."""
        return await self._asked("assignment", request, unpack_compiled, answers)

    async def pillar(self, request: Request, answers: AsyncAnswers | None = None) -> Mapping[str, Data]:
        """As `compile_pillar`. Raises SlsError, also for a broken limit; RefusedError when too many wait."""
        return (await self.pillar_recorded(request, answers))[0]

    async def pillar_recorded(
        self, request: Request, answers: AsyncAnswers | None = None
    ) -> tuple[Mapping[str, Data], Recorded]:
        """As `pillar`, with what was read."""
        return await self._asked("pillar", request, unpack_pillar, answers)

    @property
    def width(self) -> int:
        """How many compilations go on at once."""
        return self._limits.workers

    async def call(self, request: Request, answers: AsyncAnswers | None = None) -> CompiledCall:
        """As `compile_call`. Raises SlsError, also for a broken limit; RefusedError when too many wait."""
        return await self._asked("call", request, unpack_call, answers)

    async def low(self, request: Request, answers: AsyncAnswers | None = None) -> Mapping[str, Data]:
        """The document of `compile_low`. Raises SlsError for a broken limit; RefusedError when too many wait."""
        return await self._asked("low", request, unpack_low, answers)

    async def close(self) -> None:
        """End every process; what they were at fails."""
        self._closed = True
        self._idle.clear()
        while self._all:
            await asyncio.gather(*(self._gone(worker) for worker in list(self._all)))
        await asyncio.gather(*self._leaving)

    @property
    def processes(self) -> int:
        """How many processes there are now."""
        return len(self._all)

    async def _asked(
        self, task: Task, request: Request, unpack: Callable[[bytes], T], answers: AsyncAnswers | None
    ) -> T:
        if self._closed or self._waiting >= self._limits.waiting:
            raise RefusedError("the compiler takes no more requests", help="try again in a moment")
        raw = pack_request(task, request)
        self._waiting += 1
        try:
            async with self._slots:
                reply = await self._with_worker(raw, _subject(request), answers)
        finally:
            self._waiting -= 1
        return unpack(reply)

    async def _with_worker(self, raw: bytes, subject: str, answers: AsyncAnswers | None) -> bytes:
        worker = await self._worker()
        kept = False
        try:
            reply = await worker.ask(raw, subject, answers)
            kept = worker.alive and not self._closed
            return reply
        finally:
            if kept:
                self._idle.append(worker)
                worker.rest(self._limits.idle, self._retire)
            else:
                await self._gone(worker)

    async def _worker(self) -> _Worker:
        while self._idle:
            worker = self._idle.pop()
            worker.wake()
            if worker.alive:
                return worker
            await self._gone(worker)
        worker = await _Worker.start(self._limits)
        self._all.add(worker)
        return worker

    def _retire(self, worker: _Worker) -> None:
        if worker in self._idle:
            self._idle.remove(worker)
            leaving = asyncio.get_running_loop().create_task(self._gone(worker))
            self._leaving.add(leaving)
            leaving.add_done_callback(self._leaving.discard)

    async def _gone(self, worker: _Worker) -> None:
        try:
            await worker.end()
        finally:
            self._all.discard(worker)


class _Worker:
    """One process and its pipes."""

    def __init__(self, process: Process, limits: Limits) -> None:
        self._process = process
        self._limits = limits
        self._timer: asyncio.TimerHandle | None = None
        self._spent = False

    @classmethod
    async def start(cls, limits: Limits) -> _Worker:
        package = str(Path(master.__file__).resolve().parents[1])
        arguments = [str(limits.memory), str(limits.cpu), package, *(path for path in sys.path if path)]
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-I",
            "-c",
            _BOOT,
            *arguments,
            stdin=PIPE,
            stdout=PIPE,
            env={"PATH": "/usr/bin:/bin"},
            cwd="/",
        )
        return cls(process, limits)

    @property
    def alive(self) -> bool:
        """Whether it can take another request."""
        return self._process.returncode is None and not self._spent

    async def ask(self, raw: bytes, subject: str, answers: AsyncAnswers | None) -> bytes:
        """The reply to `raw`. Raises SlsError when a limit is broken; the process is of no use then."""
        source, target = self._process.stdout, self._process.stdin
        if source is None or target is None:
            raise StackmasterError("a compiling process has no pipes")
        try:
            async with asyncio.timeout(self._limits.deadline) as deadline:
                target.write(LENGTH.pack(len(raw)) + raw)
                await target.drain()
                while True:
                    kind, length = HEAD.unpack(await source.readexactly(HEAD.size))
                    if length > MAX_REPLY:
                        raise SlsError(f"{subject} gives {length} bytes where at most {MAX_REPLY} are allowed")
                    told = await source.readexactly(length)
                    if kind != QUESTION:
                        self._spent = kind == LAST
                        return told
                    left = (deadline.when() or 0.0) - asyncio.get_running_loop().time()
                    deadline.reschedule(None)
                    answer = await _answered(told, answers)
                    deadline.reschedule(asyncio.get_running_loop().time() + left)
                    target.write(LENGTH.pack(len(answer)) + answer)
                    await target.drain()
        except TimeoutError:
            raise SlsError(f"rendering {subject} took more than {self._limits.deadline:g} s", help=_LOOK) from None
        except (asyncio.IncompleteReadError, ConnectionError):
            raise await self._why(subject) from None

    async def _why(self, subject: str) -> StackmasterError:
        """What a process that ended in the middle of a request died of."""
        await self.end()
        status = self._process.returncode
        if status == -signal.SIGXCPU:
            message = f"rendering {subject} took more than {self._limits.cpu} s of processor time"
            return SlsError(message, help=_LOOK)
        if status is not None and status < 0 and status != -signal.SIGKILL:
            name = signal.Signals(-status).name
            return SlsError(f"rendering {subject} ended its process ({name})", help=_LOOK)
        return StackmasterError(f"the process that rendered {subject} ended unexpectedly (status {status})")

    def rest(self, seconds: float, retire: Callable[[_Worker], None]) -> None:
        """Call `retire` unless there is work within `seconds`."""
        self._timer = asyncio.get_running_loop().call_later(seconds, retire, self)

    def wake(self) -> None:
        """There is work."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    async def end(self) -> None:
        """Let the process end when it has no work, kill it when it has; and wait until it is gone."""
        self.wake()
        if self._process.stdin is not None:
            self._process.stdin.close()
        try:
            await asyncio.wait_for(self._process.wait(), _LEAVING)
        except TimeoutError:
            self._process.kill()
            await asyncio.wait_for(self._process.wait(), _ENDING)


_LOOK: Final = "look for a loop without end, a long range or a slow regular expression in its templates"


async def _answered(raw: bytes, answers: AsyncAnswers | None) -> bytes:
    """The packed answer to a packed question, or the packed refusal."""
    try:
        if answers is None:
            raise SlsError("nobody can be asked in this compilation", help="compile for a connected minion")
        question = unpack_question(raw)
        async with asyncio.timeout(_PATIENCE):
            if "decrypt" in question:
                return pack_answer(await answers.decrypt(question["decrypt"]))
            return pack_answer(await answers.function(question["function"], question["args"], question["kwargs"]))
    except TimeoutError:
        return pack_error(SlsError(f"the minion did not answer within {_PATIENCE:g} s", help="is it overloaded?"))
    except InputError as error:
        return pack_error(error)


def _subject(request: Request) -> str:
    """What is rendered, for an error."""
    if request.function:
        return f"what {request.function} needs for {request.minion}"
    return f"{', '.join(request.sls) or 'the highstate'} for {request.minion}"
