"""What is asked of a job, and the orders it becomes: checked and compiled for every minion before any hears of it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Literal, Protocol, cast

from master.blobs import Blobs
from master.compiler.secretwords import SECRET_WORDS, SecretWords
from protocol import codec, limits
from protocol.assignment import Assignment, decode_assignment, digest
from protocol.command import ORDERS, Apply, Call, Order, Sealed
from protocol.data import Data
from protocol.errors import ArgumentError, DecodeError, InputError, SlsError, StackmasterError, Where
from protocol.names import MinionId
from protocol.results import Foretold
from protocol.secrets import MASK, Scrubber, literals
from states import declarations, registry

ARGUMENT_WORDS = tuple(word for word in SECRET_WORDS if word != "key")
"""Words that make an argument of a function a secret; `key` alone is mostly the name of a thing to look up."""


@dataclass(frozen=True, slots=True)
class JobRequest:
    """What is asked of the minions that `target` means.

    For `kind` call: `function` with `args` and `kwargs`. For apply: `sls` (empty: the highstate) of `environment` with
    `pillar` laid over; `test` is a dry run, `pending` that an earlier step of it foretells changes, `foretold` which
    ones, by minion. `timeout`: seconds for the whole job. `user`: who asked; `cause`: the run and step it is part of.
    """

    target: str
    target_kind: str = "compound"
    kind: Literal["call", "apply"] = "call"
    function: str = ""
    args: tuple[Data, ...] = ()
    kwargs: Mapping[str, Data] = field(default_factory=dict)
    sls: tuple[str, ...] = ()
    environment: str = "base"
    pillar: Mapping[str, Data] = field(default_factory=dict)
    test: bool = False
    pending: bool = False
    foretold: Mapping[str, tuple[Foretold, ...]] = field(default_factory=dict)
    timeout: float = 3600.0
    user: str = ""
    cause: str = ""


class Compiled(Protocol):
    """What the compiler gives: the assignment and the contents it needs, by digest."""

    @property
    def assignment(self) -> Assignment:
        """What the minion is to do."""
        ...

    @property
    def blobs(self) -> Mapping[str, bytes | Path]:
        """The contents it needs, by digest."""
        ...


Compile = Callable[[MinionId, JobRequest], Awaitable[Compiled]]


@dataclass(frozen=True, slots=True)
class Prepared:
    """The order of each minion, the contents to keep, what each minion may fetch, and the literals to hide."""

    orders: Mapping[str, Order]
    contents: Mapping[str, bytes | Path] = field(default_factory=dict)
    grants: Mapping[MinionId, frozenset[str]] = field(default_factory=dict)
    secrets: frozenset[str] = frozenset()


def prepare_call(request: JobRequest, minions: Sequence[MinionId], words: SecretWords) -> Prepared:
    """The orders of a function call; `words` tell which arguments are secrets. Raises ArgumentError."""
    function = registry.find_function(request.function)
    given = _bind(function, request.args, request.kwargs)
    checked = words.marked(registry.check_arguments(request.function, function.signature, given))
    assert isinstance(checked, Mapping)
    hidden = literals(checked)
    call = Call(request.function, (), checked, request.timeout, tuple(sorted(hidden)))
    if len(codec.encode(call)) > limits.MAX_MESSAGE // 2:
        raise ArgumentError(f"the arguments of {request.function} are larger than a command may be")
    return Prepared(dict.fromkeys(map(str, minions), call), secrets=frozenset(hidden))


def _bind(function: declarations.Function, args: Sequence[Data], kwargs: Mapping[str, Data]) -> dict[str, Data]:
    """`args` under the names of the function's parameters, beside `kwargs`."""
    names = list(function.signature.parameters)
    if len(args) > len(names):
        takes = ", ".join(names) or "no arguments"
        raise ArgumentError(f"{function.name} was given {len(args)} arguments", help=f"it takes {takes}")
    bound = dict(zip(names, args, strict=False))
    twice = bound.keys() & kwargs.keys()
    if twice:
        raise ArgumentError(f"{function.name} was given {min(twice)!r} twice")
    return {**bound, **kwargs}


async def prepare_apply(request: JobRequest, minions: Sequence[MinionId], compile: Compile) -> Prepared:
    """The orders of an apply: compiled for every minion. Raises the first error of any, with its minion."""
    compiled = await _compile_all(request, minions, compile)
    orders: dict[str, Order] = {}
    contents: dict[str, bytes | Path] = {}
    grants: dict[MinionId, frozenset[str]] = {}
    secrets: set[str] = set()
    for minion, result in zip(minions, compiled, strict=True):
        raw = result.assignment.encoded()
        name = digest(raw)
        inline = raw if len(raw) <= limits.INLINE_ASSIGNMENT else None
        orders[str(minion)] = Apply(
            name, inline, request.test, request.pending, request.timeout, request.foretold.get(str(minion), ())
        )
        contents.update(result.blobs)
        wanted = {ref.digest for ref in result.assignment.blobs()}
        if inline is None:
            contents[name] = raw
            wanted.add(name)
        lacking = wanted - contents.keys()
        if lacking:
            raise SlsError(f"a file of the assignment was not found: {min(lacking)[:12]}", where=Where(minion=minion))
        grants[minion] = frozenset(wanted)
        secrets.update(result.assignment.secrets)
    return Prepared(orders, contents, grants, frozenset(secrets))


async def _compile_all(request: JobRequest, minions: Sequence[MinionId], compile: Compile) -> list[Compiled]:
    async def one(minion: MinionId) -> Compiled:
        try:
            return await compile(minion, request)
        except StackmasterError as error:
            if not error.where.minion:
                place = error.where
                error.where = Where(place.file, place.line, place.column, minion, place.step)
            raise

    tasks = [asyncio.ensure_future(one(minion)) for minion in minions]
    try:
        return list(await asyncio.gather(*tasks))
    finally:
        for task in tasks:
            task.cancel()


def returns_secret(function: str) -> bool:
    """Whether what a function returns must not be stored; a function that is not known here is treated so."""
    try:
        return registry.find_function(function).secret
    except InputError:
        return True


def request_data(request: JobRequest, scrubber: Scrubber) -> dict[str, Data]:
    """A request as it is stored and told: without secrets, and of the pillar laid over only the keys."""
    return {
        "target": request.target,
        "target_kind": request.target_kind,
        "kind": request.kind,
        "function": request.function,
        "args": scrubber.data(positional(request.function, request.args)),
        "kwargs": scrubber.data(_WORDS.marked(request.kwargs)),
        "sls": list(request.sls),
        "environment": request.environment,
        "pillar": dict.fromkeys(request.pillar, MASK),
        "test": request.test,
        "pending": request.pending,
        "timeout": request.timeout,
    }


def positional(function: str, args: Sequence[Data]) -> list[Data]:
    """`args` with those marked Secret that `function` takes under the name of a secret; all, when there are too many.

    The parameters of a tree's own function are not known here: nothing of it is marked.
    """
    try:
        names = list(registry.find_function(function).signature.parameters)
    except InputError:
        return list(args)
    named = _WORDS.marked(dict(zip(names, args, strict=False)))
    assert isinstance(named, Mapping)
    return [*named.values(), *(MASK for _ in args[len(names) :])]


_WORDS = SecretWords(ARGUMENT_WORDS)
_STORED = frozenset(each.name for each in fields(JobRequest)) - {"user", "cause", "foretold"}


def request_from(stored: Mapping[str, Data], user: str, cause: str) -> JobRequest:
    """The request as stored; its secrets are gone. Of a damaged one all that its results are hidden by is left."""
    kept = dict(stored)
    if kept.keys() - _STORED or not {"args", "sls"} <= kept.keys():
        return JobRequest("", user=user, cause=cause)
    kept["args"] = tuple(cast(Sequence[Data], kept["args"]))
    kept["sls"] = tuple(cast(Sequence[str], kept["sls"]))
    return JobRequest(**kept, user=user, cause=cause)  # type: ignore[arg-type]


_SEALED = codec.table(Sealed)


def secrets_of(raw: bytes, blobs: Blobs) -> tuple[Order, set[str]]:
    """The order in a signed command of ours, and the literals that must not be seen in what comes of it."""
    order = codec.decode(codec.decode(raw, _SEALED).payload, ORDERS)
    if isinstance(order, Call):
        return order, {*order.secrets, *literals(order.kwargs)}
    if not isinstance(order, Apply):
        return order, set()
    try:
        content = order.inline if order.inline is not None else blobs.path(order.digest).read_bytes()
        return order, set(decode_assignment(content).secrets)
    except (OSError, DecodeError):
        return order, set()
