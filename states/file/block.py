"""The state that keeps a block of lines between two markers."""

from __future__ import annotations

from protocol.data import Data
from protocol.errors import ArgumentError, StateError, Where
from states.context import Context
from states.contract import Plan
from states.file.lines import plain
from states.file.managed import keeps
from states.file.replace import compiled
from states.host.desired import Options
from states.host.edit import plan_edit
from states.registry import state


@state("file.blockreplace")
def blockreplace(
    ctx: Context,
    name: str,
    *,
    marker_start: str = "#-- start managed zone --",
    marker_end: str = "#-- end managed zone --",
    content: str = "",
    source: str | None = None,
    template: str | None = None,
    context: Data = None,
    defaults: Data = None,
    append_if_not_found: bool = False,
    prepend_if_not_found: bool = False,
    insert_before_match: str | None = None,
    insert_after_match: str | None = None,
    append_newline: bool | None = None,
    backup: bool | str = False,
    show_changes: bool = True,
) -> Plan:
    """Keep lines of the file `name` between two markers as they should be.

    marker_start, marker_end: what the line before and the line after the block hold
    content: the lines of the block
    source: a file (`salt://…`) that holds them instead
    append_if_not_found, prepend_if_not_found: put markers and block at the end or beginning when there are none
    insert_before_match, insert_after_match: put them before or after the first line that this regular expression finds
    append_newline: taken for compatibility; the end marker always has a line of its own
    backup: keep the old content in the minion's folder (no copy is put beside the file)
    show_changes: False keeps the content out of the diff
    template, context, defaults: how the master renders the source
    """
    text = plain(content)
    if source is not None:
        if content:
            raise ArgumentError("content and source exclude each other", where=Where(name), help="give one of them")
        text = ctx.source(source).read_text("utf-8", "surrogateescape")
    if not marker_start.strip() or not marker_end.strip() or "\n" in marker_start + marker_end:
        raise ArgumentError("a marker must be one line that is not empty", where=Where(name))
    if marker_start in text or marker_end in text:
        raise ArgumentError("the block holds a marker itself", where=Where(name), help="choose other markers")
    places = [append_if_not_found, prepend_if_not_found, bool(insert_before_match), bool(insert_after_match)]
    if sum(places) > 1:
        raise ArgumentError("only one place for a block that is missing can be given", where=Where(name))
    block = text.removesuffix("\n").split("\n") if text else []

    def edit(old: str) -> str:
        lines = old.split("\n")
        found = _find(name, lines, marker_start, marker_end)
        if found is not None:
            start, end = found
            return "\n".join([*lines[: start + 1], *block, *lines[end:]])
        whole = [marker_start, *block, marker_end]
        match = insert_before_match or insert_after_match
        if match:
            at = _matching(name, lines, match) + (0 if insert_before_match else 1)
            return "\n".join([*lines[:at], *whole, *lines[at:]])
        if prepend_if_not_found:
            return "\n".join([*whole, *lines])
        if append_if_not_found:
            return "\n".join([*(lines[:-1] if lines[-1] == "" else lines), *whole, ""])
        raise StateError(
            "the markers are not there",
            where=Where(name),
            help="put them there, or set append_if_not_found or prepend_if_not_found",
        )

    return plan_edit(ctx, name, edit, options=Options(show=show_changes, backup=keeps(backup)))


def _find(name: str, lines: list[str], marker_start: str, marker_end: str) -> tuple[int, int] | None:
    """The positions of the two marker lines. Raises StateError when only one is there."""
    start = next((at for at, line in enumerate(lines) if marker_start in line), None)
    if start is None:
        return None
    end = next((at for at, line in enumerate(lines) if at > start and marker_end in line), None)
    if end is None:
        raise StateError(f"the block has no end: no {marker_end!r} after {marker_start!r}", where=Where(name))
    return start, end


def _matching(name: str, lines: list[str], pattern: str) -> int:
    expression = compiled(name, pattern)
    for at, line in enumerate(lines):
        if expression.search(line):
            return at
    raise StateError(f"no line fits {pattern!r}, where the block would go", where=Where(name))
