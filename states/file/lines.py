"""The states that see to it that a file has some lines: append and prepend."""

from __future__ import annotations

from collections.abc import Sequence

from protocol.data import Data
from protocol.errors import ArgumentError, Where
from states.context import Context
from states.contract import Plan
from states.host.attributes import LEAVE
from states.host.desired import Options
from states.host.edit import plan_edit
from states.registry import state


@state("file.append")
def append(
    ctx: Context,
    name: str,
    *,
    text: str | list[str] | None = None,
    source: str | None = None,
    sources: list[str] | None = None,
    makedirs: bool = False,
    template: str | None = None,
    context: Data = None,
    defaults: Data = None,
    ignore_whitespace: bool = True,
    backup: bool | str = False,
    show_changes: bool = True,
) -> Plan:
    """See to it that the file `name` has some text, at its end where it is missing.

    text: the text, or a list of texts; each is looked for as a run of whole lines
    source, sources: files (`salt://…`) whose text is meant
    makedirs: make the missing directories above
    ignore_whitespace: lines that differ in white space only are the same
    backup: "minion" keeps the old content in the minion's folder
    show_changes: False keeps the content out of the diff
    template, context, defaults: how the master renders the sources
    """
    texts = _texts(ctx, name, text, source, sources)
    options = Options(show=show_changes, backup=bool(backup), makedirs=makedirs, folders=LEAVE)
    return plan_edit(
        ctx, name, lambda old: appended(old, texts, ignore_whitespace=ignore_whitespace), options=options, missing=""
    )


@state("file.prepend")
def prepend(
    ctx: Context,
    name: str,
    *,
    text: str | list[str] | None = None,
    source: str | None = None,
    sources: list[str] | None = None,
    makedirs: bool = False,
    template: str | None = None,
    context: Data = None,
    defaults: Data = None,
    header: bool = False,
    backup: bool | str = False,
    show_changes: bool = True,
) -> Plan:
    """See to it that the file `name` has some text, at its beginning where it is missing.

    text: the text, or a list of texts; each is looked for as a run of whole lines
    source, sources: files (`salt://…`) whose text is meant
    header: the file must begin with the text, also when it has it elsewhere
    makedirs: make the missing directories above
    backup: "minion" keeps the old content in the minion's folder
    show_changes: False keeps the content out of the diff
    template, context, defaults: how the master renders the sources
    """
    texts = _texts(ctx, name, text, source, sources)
    options = Options(show=show_changes, backup=bool(backup), makedirs=makedirs, folders=LEAVE)
    return plan_edit(ctx, name, lambda old: prepended(old, texts, header=header), options=options, missing="")


def appended(old: str, texts: Sequence[str], *, ignore_whitespace: bool = True) -> str:
    """`old` with each text that it does not have at its end."""
    for text in texts:
        lines = _lines(text)
        if lines and not _has(_lines(old), lines, ignore_whitespace):
            old = old + ("" if not old or old.endswith("\n") else "\n") + "\n".join(lines) + "\n"
    return old


def prepended(old: str, texts: Sequence[str], *, header: bool = False) -> str:
    """`old` with the texts that it does not have before it; with `header` all of them, when they are not there."""
    if header:
        lines = [line for text in texts for line in _lines(text)]
        return old if _lines(old)[: len(lines)] == lines else "\n".join(lines) + "\n" + old
    missing = [line for text in texts if not _has(_lines(old), _lines(text), True) for line in _lines(text)]
    return "\n".join(missing) + "\n" + old if missing else old


def _lines(text: str) -> list[str]:
    """The lines of `text`; a newline at the end begins no further line."""
    return text.removesuffix("\n").split("\n") if text else []


def _has(lines: list[str], wanted: list[str], ignore_whitespace: bool) -> bool:
    """Whether `wanted` is a run of `lines`."""
    if ignore_whitespace:
        lines, wanted = [" ".join(line.split()) for line in lines], [" ".join(line.split()) for line in wanted]
    size = len(wanted)
    return any(lines[start : start + size] == wanted for start in range(len(lines) - size + 1))


def _texts(
    ctx: Context, name: str, text: str | Sequence[str] | None, source: str | None, sources: Sequence[str] | None
) -> list[str]:
    from_files = [*([source] if source else []), *(sources or [])]
    if text is not None and from_files:
        raise ArgumentError("text and source exclude each other", where=Where(name), help="give one of them")
    if text is None and not from_files:
        raise ArgumentError("text is missing", where=Where(name), help="give text, source or sources")
    if from_files:
        return [ctx.source(each).read_text("utf-8", "surrogateescape") for each in from_files]
    return [plain(text)] if isinstance(text, str) else [plain(each) for each in text or []]


def plain(value: object) -> str:
    """`value` as the text it stands for; a secret is revealed, because it goes into a file."""
    return value[:] if isinstance(value, str) else str(value)
