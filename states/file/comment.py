"""The states that comment lines of a file out, and in again."""

from __future__ import annotations

import re
from collections.abc import Callable

from protocol.errors import StateError, Where
from states.context import Context
from states.contract import Plan
from states.file.managed import keeps
from states.file.replace import compiled
from states.host.desired import Options
from states.host.edit import plan_edit
from states.registry import state


@state("file.comment")
def comment(
    ctx: Context,
    name: str,
    *,
    regex: str,
    char: str = "#",
    backup: bool | str = False,
    ignore_missing: bool = False,
    show_changes: bool = True,
) -> Plan:
    """Comment out the lines of the file `name` that fit a regular expression.

    regex: what such a line holds; `^` and `$` are its begin (after white space) and end
    char: what makes a line a comment
    ignore_missing: it is all right when no line fits, commented or not
    backup: keep the old content in the minion's folder
    show_changes: False keeps the content out of the diff
    """

    def edit(line: str) -> str | None:
        if line.lstrip().startswith(char):
            return line if _fits(expression, _bare(line, char)) else None
        return char + line if _fits(expression, line) else None

    expression = compiled(name, regex)
    return _plan(ctx, name, edit, regex, ignore_missing, backup, show_changes)


@state("file.uncomment")
def uncomment(
    ctx: Context,
    name: str,
    *,
    regex: str,
    char: str = "#",
    backup: bool | str = False,
    show_changes: bool = True,
) -> Plan:
    """Take the comment sign off the lines of the file `name` that fit a regular expression.

    regex: what the line holds behind the comment sign; `^` and `$` are begin (after white space) and end of that
    char: what makes a line a comment
    backup: keep the old content in the minion's folder
    show_changes: False keeps the content out of the diff
    """

    def edit(line: str) -> str | None:
        if not line.lstrip().startswith(char):
            return line if _fits(expression, line) else None
        bare = _bare(line, char)
        return bare if not bare.lstrip().startswith(char) and _fits(expression, bare) else None

    expression = compiled(name, regex)
    return _plan(ctx, name, edit, regex, False, backup, show_changes)


def _bare(line: str, char: str) -> str:
    """`line` without its first comment sign and the white space behind it; the indentation stays."""
    indent = line[: len(line) - len(line.lstrip())]
    rest = line[len(indent) + len(char) :]
    return indent + rest.lstrip(" \t")


def _fits(expression: re.Pattern[str], line: str) -> bool:
    return expression.search(line.strip()) is not None


def _plan(
    ctx: Context,
    name: str,
    edit: Callable[[str], str | None],
    regex: str,
    ignore_missing: bool,
    backup: bool | str,
    show_changes: bool,
) -> Plan:
    """The plan that edits each line; `edit` gives None for one that does not fit."""

    def whole(old: str) -> str:
        lines = old.split("\n")
        edited = [edit(line) for line in lines]
        if not ignore_missing and all(line is None for line in edited):
            raise StateError(f"no line fits {regex!r}", where=Where(name), help="correct the pattern")
        return "\n".join(line if new is None else new for line, new in zip(lines, edited, strict=True))

    return plan_edit(ctx, name, whole, options=Options(show=show_changes, backup=keeps(backup)))
