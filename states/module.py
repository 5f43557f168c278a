"""Functions called as states: Salt's `module.run` in its two forms, and `module.wait`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from protocol.data import Data
from protocol.errors import ArgumentError
from protocol.results import Change
from states import registry
from states.context import Context
from states.contract import Action, DeedError, Plan
from states.declarations import Function
from states.registry import state

_OWN: Final = frozenset({"returner", "func", "m_fun", "sfun"})
"""Arguments of Salt's that are about the state and not for the function."""


@dataclass(frozen=True, slots=True)
class _Call:
    function: Function
    args: Sequence[Data]
    kwargs: Mapping[str, Data]


def run(ctx: Context, name: str, **arguments: Data) -> Plan:
    """Call functions; each is a change, as what it does cannot be told beforehand.

    New form: arguments named like functions (`file.read: [/etc/hosts]`), whose lists hold values and `key: value`.
    Old form: `name` is the function; `args`, `kwargs` and all other arguments are for it, `m_name` is its `name`.
    A function that returns False, or a mapping with `result: False` or a `retcode` that is not 0, has failed.
    Raises ArgumentError when there is no such function.
    """
    calls = [_new(ctx, key, value) for key, value in arguments.items() if "." in key]
    if not calls:
        calls = [_old(ctx, name, arguments)]
    elif len(calls) < len(arguments):
        strange = next(key for key in arguments if "." not in key)
        raise ArgumentError(f"module.run: {strange!r} is no function", help="write it like `pkg.version`")
    names = ", ".join(call.function.name for call in calls)
    return Plan([_action(ctx, call) for call in calls], f"{names} called", foretold=f"{names} would be called")


state("module.run", watch=run)(run)


@state("module.wait", watch=run)
def wait(ctx: Context, name: str, **arguments: Data) -> Plan:
    """Call functions, as `module.run`, only when a watched state changed."""
    return Plan((), "nothing that it watches changed")


def _new(ctx: Context, name: str, given: Data) -> _Call:
    args: list[Data] = []
    kwargs: dict[str, Data] = {}
    for item in given if isinstance(given, list | tuple) else [] if given is None else [given]:
        if isinstance(item, Mapping):
            kwargs.update(item)
        else:
            args.append(item)
    return _Call(registry.find_function(name, ctx.custom), args, kwargs)


def _old(ctx: Context, name: str, arguments: Mapping[str, Data]) -> _Call:
    kwargs = {key.removeprefix("m_"): value for key, value in arguments.items() if key not in _OWN}
    args = kwargs.pop("args", kwargs.pop("arg", ()))
    more = kwargs.pop("kwargs", None) or {}
    if not isinstance(more, Mapping):
        raise ArgumentError("module.run: kwargs must be a mapping")
    listed = args if isinstance(args, list | tuple) else [args]
    return _Call(registry.find_function(name, ctx.custom), listed, {**kwargs, **more})


def _action(ctx: Context, call: _Call) -> Action:
    def perform() -> Data:
        value = registry.invoke(call.function, ctx, call.args, call.kwargs)
        told = None if call.function.secret else value
        if value is False or (isinstance(value, Mapping) and _failed(value)):
            raise DeedError(f"{call.function.name} failed: {ctx.scrubber.data(told)}", told)
        return told

    return Action(Change("run", call.function.name), perform)


def _failed(value: Mapping[str, Data]) -> bool:
    return value.get("result") is False or value.get("retcode", 0) not in (0, None)
