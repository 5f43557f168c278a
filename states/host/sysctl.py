"""Kernel parameters: their names, their files in /proc/sys, and the lines of sysctl.d(5)."""

from __future__ import annotations

import re
from pathlib import Path

from protocol.errors import ArgumentError, StateError, Where
from states.context import Context
from states.host.files import failure

_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.:*-]*(?:/[A-Za-z0-9_.:*-]+)*")
_LINE = re.compile(r"\s*-?\s*([^#;=\s][^=]*?)\s*=\s*(.*?)\s*")


def location(ctx: Context, name: str) -> Path:
    """The file of the parameter `net.ipv4.ip_forward` (or `net/ipv4/conf/eth0.1/forwarding`). Raises ArgumentError.

    Dots are slashes unless the first separator is a slash (sysctl.d(5)).
    """
    return ctx.path("/proc/sys/" + _path(name))


def current(ctx: Context, name: str) -> str | None:
    """The value that the kernel has now, with single spaces; None when it has no such parameter. Raises StateError."""
    path = location(ctx, name)
    try:
        return plain(path.read_text())
    except FileNotFoundError:
        return None
    except OSError as error:
        raise failure(path, error, "read") from error


def assign(ctx: Context, name: str, value: str) -> None:
    """Give the kernel parameter a value. Raises StateError when the kernel does not take it."""
    path = location(ctx, name)
    try:
        with path.open("r+") as parameter:
            parameter.write(value + "\n")
    except OSError as error:
        raise failure(path, error, f"set it to {value!r}") from error
    now = current(ctx, name)
    if now != plain(value):
        raise StateError(
            f"the kernel made {now!r} of {value!r}", where=Where(str(path)), help="give the value that it takes"
        )


def plain(value: str) -> str:
    """A value with single spaces: the kernel parts several by tabs."""
    return " ".join(value.split())


def written(text: str, name: str) -> str | None:
    """The value that the last line for the parameter in the text of a sysctl.d file gives; None without one."""
    value = None
    for line in text.split("\n"):
        found = _LINE.fullmatch(line)
        if found is not None and _same(found.group(1), name):
            value = found.group(2)
    return value


def with_line(text: str, name: str, value: str) -> str:
    """The text of a sysctl.d file with one line for the parameter, in the place of the first that was there."""
    lines = text.removesuffix("\n").split("\n") if text else []
    places = [at for at, line in enumerate(lines) if (found := _LINE.fullmatch(line)) and _same(found.group(1), name)]
    line = f"{name} = {value}"
    if places:
        lines[places[0]] = line
        for at in reversed(places[1:]):
            del lines[at]
    else:
        lines.append(line)
    return "".join(f"{each}\n" for each in lines)


def _path(name: str) -> str:
    if _NAME.fullmatch(name) is None or ".." in name:
        raise ArgumentError(f"{name!r} is no kernel parameter", help="like net.ipv4.ip_forward")
    first = next((character for character in name if character in "./"), ".")
    return name if first == "/" else name.translate(str.maketrans("./", "/."))


def _same(written_name: str, name: str) -> bool:
    try:
        return _path(written_name) == _path(name)
    except ArgumentError:
        return False
