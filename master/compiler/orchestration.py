"""The states of an orchestration, which run on the master: their signatures, and references to what steps gave."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from protocol.data import Data
from protocol.errors import ArgumentError
from states.declarations import Parameter, Signature

Text = str | None
Texts = str | list[str] | None


def _signature(*parameters: Parameter, open: bool = False) -> Signature:
    return Signature({parameter.name: parameter for parameter in parameters}, open)


def _needed(name: str, type: Any) -> Parameter:
    return Parameter(name, type, True, None)


def _optional(name: str, type: Any, default: Any = None) -> Parameter:
    return Parameter(name, type, False, default)


_TARGET: Final = (_needed("tgt", str | list[str]), _optional("tgt_type", str, "compound"))
_ALWAYS: Final = (_optional("cleanup", bool, False), _optional("on_failure", Texts))
"""What every step takes; they become options of its chunk."""

_BATCH: Final = (_optional("batch", int | str | None), _optional("max_failures", int | str | dict[str, Data] | None))
_SAMPLED: Final = (
    _needed("function", str),
    _optional("arg", Data),
    _optional("kwarg", dict[str, Data] | None),
    _optional("samples", int, 1),
    _optional("hold", float, 0.0),
    _optional("interval", float, 1.0),
    _optional("timeout", float, 300.0),
)
_EXPECTATIONS: Final = (
    _optional("expect_minions", bool | int, True),
    _optional("allow_fail", int, 0),
    _optional("fail_minions", Texts),
    _optional("timeout", float | None),
)

ORCHESTRATION: Final[Mapping[str, Signature]] = {
    "salt.state": _signature(
        *_TARGET,
        _optional("sls", Texts),
        _optional("highstate", bool, False),
        _optional("pillar", dict[str, Data] | None),
        _optional("saltenv", str, "base"),
        _optional("test", bool | None),
        *_BATCH,
        _optional("subset", int | str | None),
        _optional("concurrent", bool, False),
        *_EXPECTATIONS,
        *_ALWAYS,
    ),
    "salt.function": _signature(
        *_TARGET,
        _optional("arg", Data),
        _optional("kwarg", dict[str, Data] | None),
        *_BATCH,
        *_EXPECTATIONS,
        *_ALWAYS,
    ),
    "salt.runner": _signature(_optional("arg", Data), _optional("kwarg", dict[str, Data] | None), *_ALWAYS, open=True),
    "salt.parallel_runners": _signature(_needed("runners", dict[str, Data] | list[Data]), *_ALWAYS),
    "salt.wait_for_event": _signature(
        _needed("id_list", str | list[str]),
        _optional("event_id", str, "id"),
        _optional("timeout", float, 300.0),
        *_ALWAYS,
    ),
    "gate.until": _signature(
        *_TARGET, _needed("condition", Data), _optional("any_minion", bool, False), *_SAMPLED, *_ALWAYS
    ),
    "gate.baseline": _signature(
        *_TARGET,
        _optional("not_less", Texts),
        _optional("not_more", Texts),
        _optional("same", Texts),
        _optional("conditions", Texts),
        *_SAMPLED,
        *_ALWAYS,
    ),
    "approve.wait": _signature(
        _optional("message", str | None), _optional("by", Texts), _optional("timeout", float, 86_400.0), *_ALWAYS
    ),
}
"""Every state of an orchestration by its name."""


def step_options(args: dict[str, Data]) -> dict[str, Data]:
    """Take what every step takes out of its arguments."""
    names = [parameter.name for parameter in _ALWAYS if parameter.name in args]
    return {name: args.pop(name) for name in names}


def failing(options: Mapping[str, Data]) -> tuple[str, ...]:
    """The ids of the steps on whose failure a step runs."""
    given = options.get("on_failure")
    if isinstance(given, str):
        return tuple(name.strip() for name in given.split(",") if name.strip())
    return tuple(map(str, given)) if isinstance(given, list | tuple) else ()


_STEP = re.compile(r"\$\{steps\.([^{}]+)\}")


def check_step(function: str, args: Mapping[str, Data]) -> None:
    """Check what a signature cannot say. Raises ArgumentError."""
    if function == "salt.state" and bool(args.get("sls")) == bool(args.get("highstate")):
        raise ArgumentError("salt.state needs either 'sls' or 'highstate: true'", help="say which states to apply")


def steps_used(value: Any, ids: Iterable[str]) -> Iterator[str]:
    """The ids of the steps whose outputs `value` refers to by `${steps.<id>.<minion or *>.<path>}`.

    Raises ArgumentError for an id that is not among `ids`, and for a reference that is a part of a string only.
    """
    known = sorted(ids, key=len, reverse=True)
    for text in _strings(value):
        if "${steps." not in text:
            continue
        found = _STEP.fullmatch(text)
        if found is None:
            help = "the whole value must be '${steps.<id>.<minion or *>.<path>}'"
            raise ArgumentError(f"{text[:80]!r} mixes text and a step's output", help=help)
        step = next((name for name in known if found[1].startswith(f"{name}.")), None)
        if step is None:
            help = "there is " + ", ".join(sorted(known)[:8])
            raise ArgumentError(f"{text[:80]!r} names no step of this orchestration", help=help)
        yield step


def _strings(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from _strings(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _strings(item)
