"""ceph.conf: how it is read, changed line by line or written whole, and the state that keeps it so."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from protocol.data import Data
from protocol.errors import ArgumentError
from protocol.secrets import UNKNOWN
from states.ceph.place import File, plan_file, read_text
from states.context import Context
from states.contract import Plan
from states.registry import state

CONF: Final = "/etc/ceph/ceph.conf"

Sections = Mapping[str, Mapping[str, str]]
"""Section (`global`, `osd`, `client.nova`) -> option with underscores -> value as text."""

HEADER: Final = "# Managed by stackmaster: changes made here are overwritten.\n"

_SECTION = re.compile(r"\s*\[(?P<name>[^\]]+)\]\s*(?:[#;].*)?")
_OPTION = re.compile(r"\s*(?P<key>[^=#;\[\s][^=#;]*?)\s*=\s*(?P<value>.*?)\s*")


@state("ceph.conf")
def conf(
    ctx: Context,
    name: str,
    *,
    sections: Mapping[str, Data],
    exclusive: bool = True,
    user: str = "root",
    group: str = "root",
    mode: str = "0644",
) -> Plan:
    """The configuration file `name` (usually /etc/ceph/ceph.conf) says what `sections` says.

    sections: section -> option -> value; a list becomes a comma-separated value, a boolean `true` or `false`, null
    leaves the option out (and removes it from a file that is not exclusive). exclusive: the file holds nothing else;
    otherwise other lines, comments too, stay as they are. Raises ArgumentError for values that no line can hold,
    StateError when the file cannot be read or written.
    """
    wanted = normalise(sections)
    if exclusive:
        text = HEADER + render(wanted)
    else:
        text = merge(read_text(ctx, name) or "", wanted)
    return plan_file(ctx, File(name, text, user=user, group=group, mode=mode, unknown=UNKNOWN in text))


def normalise(sections: Mapping[str, Data]) -> dict[str, dict[str, str | None]]:
    """`sections` with option names in one spelling and values as text. Raises ArgumentError."""
    found: dict[str, dict[str, str | None]] = {}
    for section, options in sections.items():
        if not isinstance(options, Mapping):
            raise ArgumentError(f"the section {section!r} of ceph.conf must be a mapping of options")
        found[section] = {option_name(key): _value(key, value) for key, value in options.items()}
    return found


def option_name(name: str) -> str:
    """The one spelling of an option's name: `mon host`, `mon-host` and `mon_host` are the same to Ceph."""
    return re.sub(r"[\s_-]+", "_", name.strip())


def parse(text: str) -> dict[str, dict[str, str]]:
    """The options of a ceph.conf by section; lines before the first section belong to `global`, as Ceph reads them."""
    found: dict[str, dict[str, str]] = {}
    current = "global"
    for line in text.splitlines():
        if section := _SECTION.fullmatch(line):
            current = section["name"].strip()
        elif option := _OPTION.fullmatch(line):
            value = re.split(r"\s[#;]", option["value"], maxsplit=1)[0].strip().strip('"')
            found.setdefault(current, {})[option_name(option["key"])] = value
    return found


def render(sections: Mapping[str, Mapping[str, str | None]]) -> str:
    """The text of a ceph.conf: `global` first, then the other sections as given."""
    names = sorted(sections, key=lambda name: name != "global")
    return "\n".join(f"[{name}]\n{_lines(sections[name])}" for name in names)


def merge(text: str, sections: Mapping[str, Mapping[str, str | None]]) -> str:
    """`text` with the options of `sections` set; every other line stays as it is."""
    lines: list[str] = []
    left = {name: dict(options) for name, options in sections.items()}
    current = ""  # lines before the first section stay as they are
    for line in text.splitlines(keepends=True):
        if section := _SECTION.fullmatch(line.rstrip("\n")):
            _close(lines, left.get(current))
            current = section["name"].strip()
        elif (option := _OPTION.fullmatch(line.rstrip("\n"))) and current in sections:
            key = option_name(option["key"])
            if key in sections[current]:
                value = left[current].pop(key, None)
                if value is not None:
                    lines.append(line if parse(line) == {"global": {key: value}} else f"{key} = {value}\n")
                continue
        lines.append(line)
    _close(lines, left.get(current))
    rest = {name: options for name, options in left.items() if any(value is not None for value in options.values())}
    return "".join(lines) + ("\n" if lines and rest else "") + render(rest)


def _close(lines: list[str], options: dict[str, str | None] | None) -> None:
    """Append what is left of a section's options at its end, before the blank lines that part it from the next."""
    if not options:
        return
    if lines and not lines[-1].endswith("\n"):
        lines[-1] += "\n"
    end = len(lines)
    while end and not lines[end - 1].strip():
        end -= 1
    lines[end:end] = _lines(options).splitlines(keepends=True)
    options.clear()


def _lines(options: Mapping[str, str | None]) -> str:
    return "".join(f"{key} = {value}\n" for key, value in options.items() if value is not None)


def _value(key: str, value: Data) -> str | None:
    if value is None:
        return None
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list | tuple):
        return ", ".join(_value(key, item) or "" for item in value)
    if isinstance(value, Mapping | bytes):
        raise ArgumentError(f"the option {key!r} of ceph.conf cannot hold {type(value).__name__}")
    text = value[:] if isinstance(value, str) else str(value)
    if "\n" in text or "\r" in text:
        raise ArgumentError(f"the option {key!r} of ceph.conf must be one line")
    return text
