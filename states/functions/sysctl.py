"""Kernel parameters of a minion."""

from __future__ import annotations

from protocol.data import Data
from protocol.errors import StateError, Where
from states.context import Context
from states.host import sysctl
from states.registry import function


@function("sysctl.get", access="reads")
def get(ctx: Context, name: str) -> Data:
    """The value that the kernel parameter `name` has now. Raises StateError when there is none."""
    value = sysctl.current(ctx, name)
    if value is None:
        raise StateError("the kernel has no such parameter", where=Where(name))
    return value


@function("sysctl.assign", access="changes")
def assign(ctx: Context, name: str, value: str) -> Data:
    """Give the kernel parameter `name` a value until the next boot; gives name -> value. Raises StateError."""
    sysctl.assign(ctx, name, value)
    return {name: sysctl.plain(value)}
