"""How the text of an existing file is changed in part: read whole, edited by a pure function, written atomically."""

from __future__ import annotations

from collections.abc import Callable

from protocol.errors import StateError, Where
from states.context import Context
from states.contract import Plan
from states.host.attributes import LEAVE
from states.host.content import Bytes
from states.host.desired import Options, plan_file, unknown
from states.host.files import failure
from states.host.walk import target

EDIT_LIMIT = 64 * 1024 * 1024
"""Bytes of a file that is edited in memory."""


def read_text(ctx: Context, name: str) -> str | None:
    """The text of the file `name`, or None when it is not there. Bytes that are no UTF-8 become surrogates.

    Raises StateError.
    """
    path = target(ctx.path(name))
    try:
        if not path.exists():
            return None
        if not path.is_file():
            raise StateError("is not a regular file", where=Where(name))
        if path.stat().st_size > EDIT_LIMIT:
            raise StateError(f"is too large to be edited (over {EDIT_LIMIT} bytes)", where=Where(name))
        return path.read_bytes().decode("utf-8", "surrogateescape")
    except OSError as error:
        raise failure(path, error, "read") from error


def plan_edit(
    ctx: Context,
    name: str,
    edit: Callable[[str], str],
    *,
    options: Options,
    missing: str | None = None,
) -> Plan:
    """The plan that replaces the text of `name` by `edit` of it; owner and mode stay.

    `missing` is the text that stands for a file that is not there; None makes that a StateError (in a dry run that
    foretells changes before: nothing). What `edit` raises is passed on.
    """
    old = read_text(ctx, name)
    if old is None:
        if name in ctx.made:
            return unknown(name, "content")
        if missing is None:
            if ctx.assumed():
                return Plan(comment=f"File {name} is not there yet; what an earlier state makes cannot be edited now")
            raise StateError("there is no such file", where=Where(name), help="make it first, with file.managed")
        old = missing
    new = edit(old)
    return plan_file(ctx, name, Bytes(new.encode("utf-8", "surrogateescape")), LEAVE, options)
