"""Names and signatures of states and functions: declared by decorator, found by name, checked before use.

A family is a module of `states/` (or a package whose modules make one family, like `states.ceph`); it is imported
when one of its names is first asked for. There is no lookup by attribute: what no decorator declared does not exist.
"""

from __future__ import annotations

import difflib
import functools
import importlib
import inspect
import pkgutil
import types
import typing
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar, Union, get_args, get_origin

import states
import states.functions
from protocol.data import Data
from protocol.errors import ArgumentError
from protocol.secrets import Secret
from states.contract import Access
from states.declarations import Custom, Function, FunctionCall, Parameter, Signature, State, StateCall

if TYPE_CHECKING:
    from states.context import Context

S = TypeVar("S", bound=StateCall)
F = TypeVar("F", bound=FunctionCall)

_NOT_FAMILIES = frozenset(
    {
        "calling",
        "conditions",
        "context",
        "contract",
        "custom",
        "declarations",
        "engine",
        "formulas",
        "functions",
        "host",
        "registry",
        "slots",
    }
)


_states: dict[str, State] = {}
_functions: dict[str, Function] = {}


def state(name: str, *, watch: StateCall | None = None) -> Callable[[S], S]:
    """Declare `def managed(ctx: Context, name: str, *, …) -> Plan` as the state `name` (`file.managed`).

    `watch` has the same arguments (those it does not take are left out) and plans what to do when a watched state
    changed and this one by itself did not.
    """

    def declare(call: S) -> S:
        _states[name] = State(name, _with_keywords(call), _signature(call, skip=2), watch, inspect.getdoc(call) or "")
        return call

    return declare


def function(name: str, *, access: Access, secret: bool = False, inline: bool = False) -> Callable[[F], F]:
    """Declare `def version(ctx: Context, name: str, …) -> Data` as the function `name` (`pkg.version`).

    `inline` ones are quick and touch nothing slow: the minion answers them without a process of their own.
    """

    def declare(call: F) -> F:
        doc = inspect.getdoc(call) or ""
        _functions[name] = Function(name, _with_keywords(call), _signature(call, skip=1), access, secret, inline, doc)
        return call

    return declare


def find_state(name: str, custom: Custom | None = None) -> State:
    """The state `name`, of ours or of `custom`. Raises ArgumentError with a suggestion when there is none."""
    own = None if custom is None else custom.state(name)
    if own is not None:
        return own
    _import_family(states, name.partition(".")[0], _NOT_FAMILIES)
    found = _states.get(name)
    if found is None:
        raise ArgumentError(f"there is no state {name!r}", help=_suggest(name, state_names()))
    return found


def watches(family: str) -> bool:
    """Whether a state of `family` does something when a watched state changed (Salt: the module has a mod_watch)."""
    _import_family(states, family, _NOT_FAMILIES)
    return any(found.watch is not None for name, found in _states.items() if name.partition(".")[0] == family)


def find_function(name: str, custom: Custom | None = None) -> Function:
    """The function `name`, of ours or of `custom`. Raises ArgumentError with a suggestion when there is none."""
    own = None if custom is None else custom.function(name)
    if own is not None:
        return own
    _import_family(states.functions, name.partition(".")[0], frozenset())
    found = _functions.get(name)
    if found is None:
        raise ArgumentError(f"there is no function {name!r}", help=_suggest(name, function_names()))
    return found


def state_names() -> list[str]:
    """The name of every state there is, sorted; imports all families."""
    for family in _families(states, _NOT_FAMILIES):
        _import_family(states, family, _NOT_FAMILIES)
    return sorted(_states)


def function_names() -> list[str]:
    """The name of every function there is, sorted; imports all families."""
    for family in _families(states.functions, frozenset()):
        _import_family(states.functions, family, frozenset())
    return sorted(_functions)


def check_arguments(what: str, signature: Signature, given: Mapping[str, Data]) -> dict[str, Data]:
    """`given` converted to the types that `signature` wants.

    Raises ArgumentError naming the first unknown, missing or wrongly typed argument of `what`.
    """
    checked: dict[str, Data] = {}
    for key, value in given.items():
        parameter = signature.parameters.get(key)
        if parameter is not None:
            checked[key] = _convert(what, key, parameter.type, value)
        elif signature.open:
            checked[key] = value
        else:
            help = _suggest(key, signature.parameters)
            raise ArgumentError(f"{what} has no argument {key!r}", help=help)
    missing = [p.name for p in signature.parameters.values() if p.required and p.name not in given]
    if missing:
        raise ArgumentError(f"{what} needs the argument {missing[0]!r}", help=_usage(what, signature))
    return checked


def by_name(what: str, signature: Signature, args: Sequence[Data], kwargs: Mapping[str, Data]) -> dict[str, Data]:
    """Positional and named arguments of a call as named ones.

    What is given beyond the last parameter is gathered into that one when it takes a list. Raises ArgumentError.
    """
    names = [name for name in signature.parameters if name not in kwargs]
    given: dict[str, Data] = dict(kwargs)
    rest = list(args)
    while names and rest:
        name = names.pop(0)
        last_list = not names and len(rest) > 1 and _takes_list(signature.parameters[name].type)
        given[name] = rest if last_list else rest.pop(0)
        if last_list:
            rest = []
    if rest:
        takes = ", ".join(signature.parameters) or "no arguments"
        raise ArgumentError(f"{what} was given {len(args)} positional arguments", help=f"it takes {takes}")
    return given


def invoke(function: Function, context: Context, args: Sequence[Data], kwargs: Mapping[str, Data]) -> Data:
    """What `function` gives for these arguments, which are checked first. Raises ArgumentError, and what it raises."""
    if function.signature.rest:
        return function.call(context, *args, **kwargs)
    given = by_name(function.name, function.signature, args, kwargs)
    return function.call(context, **check_arguments(function.name, function.signature, given))


def _takes_list(hint: Any) -> bool:
    choices = get_args(hint) if get_origin(hint) in (Union, types.UnionType) else (hint,)
    return any(get_origin(choice) in (list, Sequence, tuple) or choice in (list, tuple) for choice in choices)


def _with_keywords(call: Callable[..., Any]) -> Callable[..., Any]:
    """`call`, taking arguments whose Python names end in `_` (`from_`) by the names that users write (`from`)."""
    renamed = {name.removesuffix("_"): name for name in inspect.signature(call).parameters if name.endswith("_")}
    if not renamed:
        return call

    @functools.wraps(call)
    def renaming(*args: Any, **kwargs: Any) -> Any:
        return call(*args, **{renamed.get(key, key): value for key, value in kwargs.items()})

    return renaming


def _families(package: types.ModuleType, reserved: frozenset[str]) -> Iterable[str]:
    return (found.name for found in pkgutil.iter_modules(package.__path__) if found.name not in reserved)


def _import_family(package: types.ModuleType, family: str, reserved: frozenset[str]) -> None:
    if family in set(_families(package, reserved)):
        importlib.import_module(f"{package.__name__}.{family}")


def _suggest(name: str, known: Iterable[str]) -> str:
    close = difflib.get_close_matches(name, list(known), n=1)
    return f"did you mean {close[0]!r}?" if close else ""


def _usage(what: str, signature: Signature) -> str:
    required = [p.name for p in signature.parameters.values() if p.required]
    return f"{what} takes {', '.join(signature.parameters)}; required: {', '.join(required)}"


def _signature(call: Callable[..., Any], *, skip: int) -> Signature:
    """The arguments of `call` behind its first `skip` ones (context; for a state also the name)."""
    hints = typing.get_type_hints(call)
    parameters: dict[str, Parameter] = {}
    open = False
    for parameter in list(inspect.signature(call).parameters.values())[skip:]:
        if parameter.kind is inspect.Parameter.VAR_KEYWORD:
            open = True
            continue
        required = parameter.default is inspect.Parameter.empty
        default = None if required else parameter.default
        name = parameter.name.removesuffix("_")
        parameters[name] = Parameter(name, hints.get(parameter.name, Any), required, default)
    return Signature(parameters, open)


def _convert(what: str, key: str, hint: Any, value: Data) -> Data:
    """`value` as `hint` wants it: numbers become strings where a string is wanted, a string becomes a list of one."""
    for candidate in get_args(hint) if get_origin(hint) in (Union, types.UnionType) else (hint,):
        converted, fits = _try(candidate, value)
        if fits:
            return converted
    wanted = getattr(hint, "__name__", str(hint)).replace("typing.", "")
    raise ArgumentError(f"{what}: the argument {key!r} must be {wanted}, not {_told(value)}")


def _told(value: Data) -> str:
    """A value whole or not at all: a secret that is cut in two is not found by who hides it."""
    if isinstance(value, Secret):
        return "***"
    shown = repr(value)
    return shown if len(shown) <= 60 else f"{type(value).__name__} of {len(shown)} characters"


def _try(hint: Any, value: Data) -> tuple[Data, bool]:
    origin = get_origin(hint)
    if hint is type(None):
        return None, value is None
    if hint is Any or hint is Data:
        return value, True
    if origin is typing.Literal:
        return value, value in get_args(hint)
    if hint is bool:
        return value, isinstance(value, bool)
    if hint is int:
        return value, isinstance(value, int) and not isinstance(value, bool)
    if hint is float:
        return value, isinstance(value, int | float) and not isinstance(value, bool)
    if hint is str:
        if isinstance(value, int | float) and not isinstance(value, bool):
            return str(value), True
        return value, isinstance(value, str)
    if origin in (list, Sequence, tuple) or hint in (list, tuple):
        items = value if isinstance(value, list | tuple) else [value]
        return list(items), not isinstance(value, Mapping) and value is not None
    if origin in (dict, Mapping) or hint is dict:
        return value, isinstance(value, Mapping)
    return value, False
