"""Functions for trying out that a minion answers."""

from __future__ import annotations

import time

import protocol
from protocol.data import Data
from protocol.errors import ArgumentError, StateError
from states.context import Context
from states.registry import function


@function("test.ping", access="reads", inline=True)
def ping(ctx: Context) -> Data:
    """True: the minion is there and answers."""
    return True


@function("test.version", access="reads", inline=True)
def version(ctx: Context) -> Data:
    """The version of stackmaster that the minion runs."""
    return protocol.__version__


@function("test.echo", access="reads", inline=True)
def echo(ctx: Context, text: Data) -> Data:
    """`text` as it came."""
    return text


@function("test.true", access="reads", inline=True)
def true(ctx: Context) -> Data:
    """True."""
    return True


@function("test.false", access="reads", inline=True)
def false(ctx: Context) -> Data:
    """False."""
    return False


@function("test.sleep", access="reads")
def sleep(ctx: Context, length: float) -> Data:
    """True, after `length` seconds. Raises ArgumentError when that is longer than the command may take."""
    if not 0 <= length <= ctx.deadline:
        raise ArgumentError(f"length must be between 0 and {ctx.deadline:g} seconds, not {length:g}")
    time.sleep(length)
    return True


@function("test.fail", access="reads", inline=True)
def fail(ctx: Context, message: str = "Failure!") -> Data:
    """Fail with `message`."""
    raise StateError(message)
