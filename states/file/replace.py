"""The state that replaces what a regular expression finds in a file."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import reduce
from operator import or_

from protocol.errors import ArgumentError, Where
from states.context import Context
from states.contract import Plan
from states.file.lines import plain
from states.file.managed import keeps
from states.host.desired import Options
from states.host.edit import plan_edit
from states.registry import state


@state("file.replace")
def replace(
    ctx: Context,
    name: str,
    *,
    pattern: str,
    repl: str,
    count: int = 0,
    flags: int | str | list[str] = 8,
    append_if_not_found: bool = False,
    prepend_if_not_found: bool = False,
    not_found_content: str | None = None,
    show_changes: bool = True,
    backup: bool | str = False,
    ignore_if_missing: bool = False,
    backslash_literal: bool = False,
    bufsize: int | str = 1,
) -> Plan:
    """Replace in the file `name` what a regular expression finds.

    pattern: a Python regular expression
    repl: what comes instead; `\\1` is the first group
    count: how many are replaced; 0 is all
    flags: names of the `re` module (`IGNORECASE`, `MULTILINE`, …), or their sum; 8 is MULTILINE
    append_if_not_found, prepend_if_not_found: put the text at the end or beginning when nothing is found
    not_found_content: the text for that, when it is not `repl`
    ignore_if_missing: a file that is not there is all right
    backslash_literal: backslashes in `repl` mean themselves
    show_changes: False keeps the content out of the diff
    backup: keep the old content in the minion's folder (no copy is put beside the file)
    bufsize: taken for compatibility, without effect
    """
    expression = compiled(name, pattern, flags)
    text, instead = plain(repl), plain(not_found_content if not_found_content is not None else repl)

    def edit(old: str) -> str:
        new, found = _substitute(name, expression, text, old, count, backslash_literal)
        if found or not (append_if_not_found or prepend_if_not_found) or _has_line(old, instead):
            return new
        line = instead if instead.endswith("\n") else instead + "\n"
        if prepend_if_not_found:
            return line + old
        return old + ("" if not old or old.endswith("\n") else "\n") + line

    if ignore_if_missing and not ctx.path(name).exists():
        return Plan(comment=f"File {name} is not there")
    options = Options(show=show_changes, backup=keeps(backup))
    return plan_edit(ctx, name, edit, options=options)


def compiled(name: str, pattern: str, flags: int | str | Sequence[str] = 0) -> re.Pattern[str]:
    """The regular expression of an argument. Raises ArgumentError."""
    try:
        return re.compile(pattern, _flags(name, flags))
    except re.error as error:
        raise ArgumentError(f"{pattern!r} is not a regular expression: {error}", where=Where(name)) from error


def _flags(name: str, flags: int | str | Sequence[str]) -> int:
    if isinstance(flags, int):
        return flags
    if isinstance(flags, str) and flags.isdigit():
        return int(flags)
    names = [flags] if isinstance(flags, str) else flags
    try:
        return int(reduce(or_, (re.RegexFlag[str(each).upper()] for each in names), re.RegexFlag(0)))
    except KeyError as error:
        raise ArgumentError(
            f"{error.args[0]!r} is no flag of a regular expression",
            where=Where(name),
            help="use IGNORECASE, MULTILINE, DOTALL, VERBOSE or ASCII",
        ) from error


def _substitute(
    name: str, expression: re.Pattern[str], repl: str, old: str, count: int, literal: bool
) -> tuple[str, int]:
    try:
        return expression.subn((lambda _: repl) if literal else repl, old, count=count)
    except (re.error, IndexError) as error:
        raise ArgumentError(f"repl cannot be used: {error}", where=Where(name), help="set backslash_literal") from error


def _has_line(text: str, wanted: str) -> bool:
    return f"\n{wanted.strip(chr(10))}\n" in f"\n{text}\n"
