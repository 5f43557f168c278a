"""A call's arguments checked against the signature of its state, and parted from the options that every state takes."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from master.compiler.high import suggestion
from master.compiler.low import Low
from master.compiler.orchestration import ORCHESTRATION
from master.compiler.several import raise_all
from master.compiler.words import OPTIONS
from protocol.data import Data
from protocol.errors import ArgumentError, SlsError, Where
from states.declarations import Signature
from states.registry import check_arguments, find_state, state_names, watches
from states.slots import MARK as SLOT


@dataclass(frozen=True, slots=True)
class Known:
    """A state as the compiler knows it: its arguments, and whether its family acts on a watched change."""

    signature: Signature
    watches: bool


Lookup = Callable[[str], Known]
"""Finds a state by its name. Raises ArgumentError when there is none."""


@cache
def on_minion(name: str) -> Known:
    """A state that minions run. Raises ArgumentError."""
    if name in ORCHESTRATION:
        raise ArgumentError(f"{name!r} is a step of an orchestration", help="start it with `stackmaster run`")
    return Known(find_state(name).signature, watches(name.partition(".")[0]))


def on_master(name: str) -> Known:
    """A state of an orchestration. Raises ArgumentError."""
    signature = ORCHESTRATION.get(name)
    if signature is None:
        close = difflib.get_close_matches(name, ORCHESTRATION, n=1)
        help = f"did you mean {close[0]!r}?" if close else "there is " + ", ".join(ORCHESTRATION)
        if name in state_names():
            help = "minions run it: put it into an SLS file that a salt.state step applies"
        raise ArgumentError(f"there is no orchestration state {name!r}", help=help)
    return Known(signature, False)


def known_state(low: Low, lookup: Lookup) -> Known:
    """The state that `low` calls. Raises SlsError with the place of the declaration."""
    declaration = low.declaration
    try:
        return lookup(f"{declaration.state}.{declaration.fun}")
    except ArgumentError as error:
        raise _at(error, declaration.where, declaration.id) from None


def parted(low: Low, known: Known, values: Mapping[str, Data]) -> tuple[dict[str, Data], dict[str, Data]]:
    """The state's own arguments, converted to the types it wants, and the options. Raises SlsError.

    An argument that the signature has is the state's own; else one of OPTIONS is an option.
    """
    args: dict[str, Data] = {}
    options: dict[str, Data] = {}
    function = f"{low.declaration.state}.{low.declaration.fun}"
    errors: list[SlsError] = []
    for name, value in values.items():
        try:
            if name not in known.signature.parameters and name in OPTIONS:
                _check_option(low, name, value)
                options[name] = value
            else:
                args |= _checked(low, function, known.signature, name, value)
        except SlsError as error:
            errors.append(error)
    errors += _missing(low, function, known.signature, values)
    raise_all(errors)
    return args, options


def _missing(low: Low, function: str, signature: Signature, values: Mapping[str, Data]) -> Iterator[SlsError]:
    for parameter in signature.parameters.values():
        if parameter.required and parameter.name not in values:
            message = f"{function} needs the argument {parameter.name!r}"
            help = "it takes " + ", ".join(signature.parameters)
            yield SlsError(f"{message} (id {low.declaration.id!r})", where=low.declaration.where, help=help)


def _checked(low: Low, function: str, signature: Signature, name: str, value: Data) -> dict[str, Data]:
    where = low.arguments[name].where if name in low.arguments else low.declaration.where
    parameter = signature.parameters.get(name)
    if parameter is None:
        if signature.open:
            return {name: value}
        message = f"{function} has no argument {name!r} (id {low.declaration.id!r})"
        raise SlsError(message, where=where, help=suggestion(name, signature.parameters))
    if isinstance(value, str) and value[:].startswith(SLOT):
        return {name: value}  # what it gives is checked when the state runs
    try:
        return check_arguments(function, Signature({name: parameter}), {name: value})
    except ArgumentError as error:
        raise _at(error, where, low.declaration.id) from None


def _check_option(low: Low, name: str, value: Any) -> None:
    """Refuse an option whose type can mean nothing."""
    wanted: dict[str, tuple[tuple[type, ...], str]] = {
        "failhard": ((bool,), "true or false"),
        "parallel": ((bool,), "true or false"),
        "retry": ((bool, dict), "true or a mapping of attempts, until, interval and splay"),
        "unless": ((str, list, bool, dict), "a command, or a list of commands"),
        "onlyif": ((str, list, bool, dict), "a command, or a list of commands"),
        "creates": ((str, list), "a path, or a list of paths"),
        "check_cmd": ((str, list), "a command, or a list of commands"),
        "fire_event": ((bool, str), "true or a tag"),
        "timeout": ((int, float, str), "a number of seconds"),
    }
    types, told = wanted.get(name, ((object,), ""))
    if not isinstance(value, types):
        message = f"{name!r} of {low.declaration.label} must be {told}"
        raise SlsError(message, where=low.arguments[name].where)
    if name == "retry" and isinstance(value, dict):
        step = f"{low.declaration.state}.{low.declaration.fun}" in ORCHESTRATION
        known = ("attempts", "interval", "splay", *(("backoff", "max_interval") if step else ("until", "deadline")))
        for key in value:
            if key not in known:
                message = f"'retry' of {low.declaration.label} has no {key!r}"
                raise SlsError(message, where=low.arguments[name].where, help=f"it takes {', '.join(known)}")


def _at(error: ArgumentError, where: Where, identifier: str) -> SlsError:
    help = f"id {identifier!r}" + (f"; {error.help}" if error.help else "")
    return SlsError(error.message, where=where, help=help)
