"""Calls of a state tree's own functions, and those that synchronise them: each minion's order takes the code along."""

from __future__ import annotations

import asyncio
import difflib
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final, cast

from master.compiler.custom import bound
from master.compiler.request import CompiledCall
from master.compiler.secretwords import SecretWords
from master.orders import JobRequest, Prepared, prepare_call
from protocol import codec, limits
from protocol.command import Call, Order
from protocol.data import Data
from protocol.errors import ArgumentError, StackmasterError
from protocol.names import MinionId
from protocol.secrets import literals
from states import registry
from states.functions.saltutil import SYNCHRONISING

CompileCall = Callable[[MinionId, JobRequest], Awaitable[CompiledCall]]
"""The tree's own code for a call of one minion. Raises SlsError."""

_NEAR: Final = 0.6


class CustomCalls:
    """Prepares calls that need the tree's own code; with `override`, that may take the place of ours."""

    def __init__(self, compile: CompileCall, *, override: bool = False) -> None:
        self._compile = compile
        self._override = override

    def wanted(self, function: str) -> bool:
        """Whether the tree must be asked about `function`."""
        if function in SYNCHRONISING or self._override:
            return True
        try:
            registry.find_function(function)
        except ArgumentError:
            return True
        return False

    async def prepare(self, request: JobRequest, minions: Sequence[MinionId], words: SecretWords) -> Prepared:
        """The orders of a call. Raises ArgumentError when neither the tree nor we have the function; SlsError."""
        saltenv = request.kwargs.get("saltenv")
        if request.function in SYNCHRONISING and saltenv:
            request = replace(request, environment=str(saltenv))
        first = await self._compile(minions[0], request)
        if request.function not in SYNCHRONISING and first.custom is None:
            return self._ours(request, minions, words, first)
        others = await self._rest(request, minions[1:])
        compiled = dict(zip(minions, [first, *others], strict=True))
        if request.function in SYNCHRONISING:
            call = next(iter(prepare_call(request, minions, words).orders.values()))
        else:
            call = _call(request, first, words)
        assert isinstance(call, Call)
        return _prepared(call, compiled)

    def _ours(
        self, request: JobRequest, minions: Sequence[MinionId], words: SecretWords, tree: CompiledCall
    ) -> Prepared:
        try:
            return prepare_call(request, minions, words)
        except ArgumentError as error:
            near = difflib.get_close_matches(request.function, tree.names, n=1, cutoff=_NEAR)
            if near and not error.help:
                raise ArgumentError(error.message, help=f"did you mean {near[0]!r}?") from None
            raise

    async def _rest(self, request: JobRequest, minions: Sequence[MinionId]) -> list[CompiledCall]:
        async def one(minion: MinionId) -> CompiledCall:
            try:
                return await self._compile(minion, request)
            except StackmasterError as error:
                if not error.where.minion:
                    error.where = replace(error.where, minion=minion)
                raise

        tasks = [asyncio.ensure_future(one(minion)) for minion in minions]
        try:
            return list(await asyncio.gather(*tasks))
        finally:
            for task in tasks:
                task.cancel()


def _call(request: JobRequest, compiled: CompiledCall, words: SecretWords) -> Call:
    """The call, its arguments checked against what the tree declares."""
    assert compiled.signature is not None
    args, kwargs = bound(request.function, compiled.signature, request.args, request.kwargs)
    marked = cast(Mapping[str, Data], words.marked(kwargs))
    return Call(request.function, args, marked, request.timeout, tuple(sorted(literals(marked))))


def _prepared(call: Call, compiled: Mapping[MinionId, CompiledCall]) -> Prepared:
    orders: dict[str, Order] = {}
    contents: dict[str, bytes | Path] = {}
    grants: dict[MinionId, frozenset[str]] = {}
    hidden: set[str] = set(call.secrets)
    for minion, each in compiled.items():
        hidden.update(each.secrets)
        order = replace(call, custom=each.custom, secrets=tuple(sorted({*call.secrets, *each.secrets})))
        if len(codec.encode(order)) > limits.MAX_MESSAGE // 2:
            message = f"the call of {call.function} with the pillar of {minion} is larger than a command may be"
            raise ArgumentError(message, help="apply a state that calls it: an assignment may be larger")
        orders[str(minion)] = order
        contents.update(each.blobs)
        grants[minion] = (
            frozenset(ref.digest for ref in each.custom.blobs()) if each.custom is not None else frozenset()
        )
    return Prepared(orders, contents, grants, frozenset(hidden))
