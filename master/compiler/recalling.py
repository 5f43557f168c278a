"""Compiles in the pool what no request with the same reads has come to before; all else is remembered.

Whether the files still say what they said is asked once for all requests that were there when it was asked: each gets
what was true at some moment after it came.
"""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Hashable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Generic, TypeVar, cast

from master.compiler.pool import AsyncAnswers, Pool
from master.compiler.reads import FileQuestion, Question, Recorded, frozen, outcome, thawed_expression
from master.compiler.recall import Recall, Shape
from master.compiler.request import Compiled, CompiledCall, Request
from master.compiler.roots import FileRoots
from master.compiler.watched import answer
from master.compiler.wire import pack_request
from protocol import codec
from protocol.data import Data
from protocol.errors import InputError
from protocol.target import Subject, Target, parse

T = TypeVar("T")
Make = Callable[[], Awaitable[tuple[T, Recorded]]]


class Recalling:
    """The compiler as the daemon uses it, over `pool`."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._compiled: _Kind[Compiled] = _Kind("assignment", pool.width, _compiled_size)
        self._pillars: _Kind[Mapping[str, Data]] = _Kind("pillar", pool.width, lambda pillar: len(codec.pack(pillar)))

    async def compile(self, request: Request, answers: AsyncAnswers | None = None) -> Compiled:
        """As `compile_assignment`. Raises SlsError, RefusedError."""
        once = _Once(answers)
        found = await self._compiled.get(request, once, lambda: self._pool.compile_recorded(request, once))
        return replace(found, assignment=replace(found.assignment, minion=request.minion))

    async def pillar(self, request: Request, answers: AsyncAnswers | None = None) -> Mapping[str, Data]:
        """As `compile_pillar`. Raises SlsError, RefusedError."""
        once = _Once(answers)
        return await self._pillars.get(request, once, lambda: self._pool.pillar_recorded(request, once))

    async def call(self, request: Request, answers: AsyncAnswers | None = None) -> CompiledCall:
        """As `compile_call`. Raises SlsError, RefusedError."""
        return await self._pool.call(request, answers)

    async def low(self, request: Request, answers: AsyncAnswers | None = None) -> Mapping[str, Data]:
        """The document of `compile_low`. Raises SlsError, RefusedError."""
        return await self._pool.low(request, answers)


class _Once:
    """Answers, each asked for once."""

    def __init__(self, answers: AsyncAnswers | None) -> None:
        self._answers = answers
        self._known: dict[tuple[str, bytes], Data] = {}

    async def function(self, name: str, args: Sequence[Data], kwargs: Mapping[str, Data]) -> Data:
        """What the minion's function returns. Raises SlsError."""
        if self._answers is None:
            raise InputError("nobody can be asked in this compilation", help="compile for a connected minion")
        key = name, codec.pack([list(args), kwargs])
        if key not in self._known:
            self._known[key] = await self._answers.function(name, args, kwargs)
        return self._known[key]

    async def decrypt(self, message: str) -> str:
        """The text in the OpenPGP message. Raises SlsError."""
        if self._answers is None:
            raise InputError("nothing can be decrypted in this compilation")
        return await self._answers.decrypt(message)


class _Kind(Generic[T]):
    """The results of one kind. One request of a shape goes first; those that read the same wait for what it gives."""

    def __init__(self, task: str, width: int, size: Callable[[T], int]) -> None:
        self._task = task
        self._size = size
        self._width = width
        self._recall: Recall[T] = Recall()
        self._gates: dict[bytes, _Gate] = {}
        self._checks: dict[bytes, _Gate] = {}

    async def get(self, request: Request, answers: _Once, make: Make[T]) -> T:
        """What is known for the request's reads, else what `make` gives."""
        came = time.monotonic()
        name = self._name(request)
        told = _Told(request, answers)
        found = await self._known(name, came, told)
        if found is not None:
            return found
        async with self._turn(self._gates, name, self._width):
            found = await self._known(name, came, told)
            return found if found is not None else await self._made(name, make)

    @asynccontextmanager
    async def _turn(self, gates: dict[bytes, _Gate], name: bytes, width: int) -> AsyncIterator[None]:
        """A turn at the gate of that name, which is there while somebody is at it."""
        gate = gates.setdefault(name, _Gate(width))
        try:
            async with gate.turn():
                yield
        finally:
            if gate.users == 0:
                gates.pop(name, None)

    async def _made(self, name: bytes, make: Make[T]) -> T:
        began = time.monotonic()
        made, recorded = await make()
        shape = self._recall.shape(name)
        known = bool(shape.files)
        self._recall.keep(name, recorded, made, self._size(made))
        shape.checked = min(shape.checked, began) if known else began
        return made

    async def _known(self, name: bytes, came: float, told: _Told) -> T | None:
        shape = self._recall.shape(name)
        if shape.once:
            return None
        if shape.checked < came and shape.files:
            async with self._turn(self._checks, name, 1):
                await self._check(shape, came, told)
        walk = shape.walk()
        try:
            question = next(walk)
            while True:
                question = walk.send(await told.answer(question, shape.aside))
        except StopIteration as stop:
            result: T | None = stop.value
            return result
        except InputError:
            return None  # a minion that cannot be asked: rendering tells where

    async def _check(self, shape: Shape[T], came: float, told: _Told) -> None:
        """Forget the shape unless its files say, now, what they said; one check serves all who came before it."""
        if shape.checked >= came or not shape.files:
            return
        began = time.monotonic()
        said = await asyncio.to_thread(told.files, list(shape.files))
        if shape.holds(said):
            shape.checked = began
        else:
            shape.clear()

    def _name(self, request: Request) -> bytes:
        """What requests share that differ in nothing but their minion and its grains."""
        return (
            self._task.encode() + hashlib.sha256(pack_request("call", replace(request, minion="", grains={}))).digest()
        )


class _Gate:
    """Lets one through; once it is done, as many at a time as the pool is wide."""

    def __init__(self, width: int) -> None:
        self.users = 0
        self._width = width
        self._open = False
        self._slots = asyncio.Semaphore(1)

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        """Wait for a turn, and have it."""
        self.users += 1
        try:
            async with self._slots:
                try:
                    yield
                finally:
                    for _ in range(0 if self._open else self._width - 1):
                        self._slots.release()
                    self._open = True
        finally:
            self.users -= 1


class _Told:
    """What one request's minion, and the files, answer to questions."""

    def __init__(self, request: Request, answers: _Once) -> None:
        self._request = request
        self._answers = answers
        grains = dict(request.grains) | {"id": request.minion}
        self._data = {"grains": grains, "opts": request.opts()}
        self._subject = Subject(request.minion, grains, {})

    async def answer(self, question: Question, aside: dict[Hashable, Target]) -> bytes:
        """The frozen answer; targets are read once and laid `aside`. Raises InputError when nobody can be asked."""
        kind, *rest = question
        if kind == "call":
            name, arguments = rest
            args, kwargs = thawed_expression(cast(bytes, arguments))
            return frozen(await self._answers.function(str(name), args, kwargs))
        if kind == "match":
            target = aside.get(question)
            if target is None:
                how, expression = rest
                target = parse(thawed_expression(cast(bytes, expression)), str(how), self._request.nodegroups)
                aside[question] = target
            return outcome(target, self._subject, pillar=False)
        return answer(question, self._data)

    def files(self, questions: list[FileQuestion]) -> dict[FileQuestion, bytes]:
        """What the trees say now; for a thread, as it reads files."""
        given = self._request.roots
        trees = {"states": given.state_directories(), "pillar": given.pillar}
        roots: dict[tuple[str, str], FileRoots] = {}
        told: dict[FileQuestion, bytes] = {}
        for question in questions:
            tree, environment, verb, name = question
            if (tree, environment) not in roots:
                roots[tree, environment] = FileRoots(trees[tree].get(environment, ()), environment)
            told[question] = roots[tree, environment].told(verb, name)
        return told


def _compiled_size(compiled: Compiled) -> int:
    contents = sum(len(content) for content in compiled.blobs.values() if isinstance(content, bytes))
    return contents + len(compiled.assignment.encoded()) + len(codec.pack(compiled.pillar))
