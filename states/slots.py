"""Slots: arguments that are calls of functions, made when the state runs (`__slot__:salt:mod.fun(args).path ~ "x"`).

Salt's form and rules: https://docs.saltproject.io/en/latest/topics/slots/, confirmed by reading Salt 3008.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Mapping
from typing import Final

from protocol.data import Data
from protocol.errors import ArgumentError, StateError
from states import registry
from states.context import Context

MARK: Final = "__slot__:"
_FORM: Final = re.compile(
    r"__slot__:salt:(?P<name>\w+(?:\.\w+)+)\((?P<args>.*)\)\s*(?P<path>(?:\.[^~]*)?)(?:~(?P<rest>.*))?", re.S
)
_HELP: Final = "write __slot__:salt:module.function(arg, key=value).path ~ text"


def filled(ctx: Context, args: Mapping[str, Data]) -> dict[str, Data]:
    """`args` with every slot in them called: strings, those in lists, and those in mappings, one level deep each.

    Raises ArgumentError for one that cannot be read or names no function, StateError for one that changes the host
    in a dry run, and whatever the function raises.
    """
    return {name: _outer(ctx, value) for name, value in args.items()}


def _outer(ctx: Context, value: Data) -> Data:
    if isinstance(value, list | tuple):
        return [_inner(ctx, item) for item in value]
    return _inner(ctx, value)


def _inner(ctx: Context, value: Data) -> Data:
    if isinstance(value, Mapping):
        return {key: evaluated(ctx, item) for key, item in value.items()}
    return evaluated(ctx, value)


def evaluated(ctx: Context, value: Data) -> Data:
    """What the slot `value` gives; `value` itself when it is none. Errors as of `filled`."""
    if not isinstance(value, str) or not value[:].startswith(MARK):
        return value
    read = _FORM.fullmatch(value[:])
    if read is None:
        raise ArgumentError(f"the slot {value[:60]!r} cannot be read", help=_HELP)
    found = _called(ctx, read["name"], read["args"])
    for part in filter(None, (part.strip() for part in (read["path"] or "").split("."))):
        found = _inside(found, part)
    rest = read["rest"]
    if rest is None:
        return found
    if not isinstance(found, str):
        raise ArgumentError(f"the slot {value[:60]!r} gives no text that something could be added to", help=_HELP)
    return found + _unquoted(rest.strip())


def _called(ctx: Context, name: str, text: str) -> Data:
    function = registry.find_function(name)
    if ctx.test and function.access == "changes":
        raise StateError(f"{name} changes the host, so that a dry run cannot ask it", help="ask with one that reads")
    args, kwargs = _arguments(text)
    given = registry.by_name(name, function.signature, args, kwargs)
    return function.call(ctx, **registry.check_arguments(name, function.signature, given))


def _arguments(text: str) -> tuple[list[Data], dict[str, Data]]:
    """`a, "b c", key=1` as arguments; what is no Python literal is text."""
    args: list[Data] = []
    kwargs: dict[str, Data] = {}
    for part in _parted(text):
        key, equals, value = part.partition("=")
        if equals and key.strip().isidentifier():
            kwargs[key.strip()] = _literal(value)
        else:
            args.append(_literal(part))
    return args, kwargs


def _parted(text: str) -> list[str]:
    """`text` at the commas that stand in no quotes and no brackets."""
    parts, depth, quote = [""], 0, ""
    for mark in text:
        if quote:
            quote = "" if mark == quote else quote
        elif mark in "'\"":
            quote = mark
        elif mark in "([{":
            depth += 1
        elif mark in ")]}":
            depth -= 1
        if mark == "," and not quote and depth == 0:
            parts.append("")
        else:
            parts[-1] += mark
    return [part.strip() for part in parts if part.strip()]


def _literal(text: str) -> Data:
    text = text.strip()
    try:
        value: Data = ast.literal_eval(text)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return {"true": True, "false": False, "none": None}.get(text.lower(), text)
    return value


def _inside(value: Data, part: str) -> Data:
    if isinstance(value, Mapping):
        return value.get(part)
    if isinstance(value, list | tuple) and part.isdecimal() and int(part) < len(value):
        found: Data = value[int(part)]
        return found
    return None


def _unquoted(text: str) -> str:
    return text[1:-1] if len(text) >= 2 and text[0] == text[-1] and text[0] in "'\"" else text
