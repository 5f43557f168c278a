"""What a minion knows of itself."""

from __future__ import annotations

from collections.abc import Mapping

from protocol.data import Data
from states.context import Context
from states.registry import function


@function("grains.items", access="reads", inline=True)
def items(ctx: Context) -> Data:
    """All grains."""
    return dict(ctx.grains)


@function("grains.get", access="reads", inline=True)
def get(ctx: Context, key: str, default: Data = "", delimiter: str = ":") -> Data:
    """One grain; `a:b` is the entry `b` of the grain `a` (or its element number b).

    default: what is given when there is none
    delimiter: what parts the steps of the key
    """
    return _walk(ctx.grains, key, default, delimiter)


@function("grains.item", access="reads", inline=True)
def item(ctx: Context, keys: list[str]) -> Data:
    """Several grains: name -> value. Those that there are not are empty."""
    return {key: _walk(ctx.grains, key, "", ":") for key in keys}


@function("grains.ls", access="reads", inline=True)
def ls(ctx: Context) -> Data:
    """The names of all grains, sorted."""
    return sorted(ctx.grains)


def _walk(value: Data, key: str, default: Data, delimiter: str) -> Data:
    for step in key.split(delimiter):
        if isinstance(value, Mapping) and step in value:
            value = value[step]
        elif isinstance(value, list | tuple) and step.isdigit() and int(step) < len(value):
            value = value[int(step)]
        else:
            return default
    return value
