"""Options and sections of INI files: the family `ini`."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from protocol.data import Data
from protocol.errors import ArgumentError, Where
from states.context import Context
from states.contract import Plan
from states.host.attributes import LEAVE
from states.host.content import Bytes
from states.host.desired import NEW_SECRET_MODE, Options, plan_file, unknown
from states.host.edit import read_text
from states.host.inifile import Ini
from states.registry import state


@state("ini.options_present")
def options_present(
    ctx: Context,
    name: str,
    *,
    sections: dict[str, Data],
    separator: str = "=",
    strict: bool = False,
    no_spaces: bool = False,
    encoding: str | None = None,
    show_changes: bool = True,
) -> Plan:
    """Give options of the INI file `name` their values; all else in it stays.

    sections: section -> option -> value; a list is one line for each value; an option beside the sections stands
        before the first of them; an empty value (null) is an option without `=`
    separator: what stands between option and value, `=` or `:`
    strict: take out the options of the named sections that are not named
    no_spaces: write `option=value` where a line is new
    show_changes: False keeps the content out of the diff
    encoding: taken for compatibility; bytes that are not touched stay as they are
    """
    wanted = _wanted(name, sections)

    def edit(ini: Ini) -> None:
        for section, options in wanted.items():
            if strict and section:
                for key in ini.keys(section):
                    if key not in options:
                        ini.unset(section, key)
            for key, values in options.items():
                ini.set(section, key, values, no_spaces=no_spaces)
            if section:
                ini.add_section(section)

    secret = any(_is_secret(ctx, value) for options in wanted.values() for each in options.values() for value in each)
    return _plan(ctx, name, edit, separator, show_changes, secret)


@state("ini.options_absent")
def options_absent(
    ctx: Context,
    name: str,
    *,
    sections: dict[str, Data],
    separator: str = "=",
    encoding: str | None = None,
    show_changes: bool = True,
) -> Plan:
    """Take options out of the INI file `name`.

    sections: section -> list of options; an option beside the sections stands before the first of them
    separator: what stands between option and value, `=` or `:`
    show_changes: False keeps the content out of the diff
    encoding: taken for compatibility
    """

    def edit(ini: Ini) -> None:
        for section, keys in sections.items():
            if isinstance(keys, Mapping):
                keys = list(keys)
            if not isinstance(keys, list | tuple):
                ini.unset("", section)
                continue
            for key in keys:
                ini.unset(section, str(key))

    return _plan(ctx, name, edit, separator, show_changes)


@state("ini.sections_present")
def sections_present(
    ctx: Context,
    name: str,
    *,
    sections: dict[str, Data] | list[str],
    separator: str = "=",
    encoding: str | None = None,
    show_changes: bool = True,
) -> Plan:
    """See to it that sections are in the INI file `name`.

    sections: a list of names; or section -> option -> value for sections that have just these options
    separator: what stands between option and value, `=` or `:`
    show_changes: False keeps the content out of the diff
    encoding: taken for compatibility
    """
    wanted: Mapping[str, Data] = sections if isinstance(sections, Mapping) else {str(each): {} for each in sections}
    options = _wanted(name, {section: values or {} for section, values in wanted.items()})

    def edit(ini: Ini) -> None:
        for section, values in options.items():
            for key in ini.keys(section) if values else []:
                if key not in values:
                    ini.unset(section, key)
            for key, each in values.items():
                ini.set(section, key, each)
            ini.add_section(section)

    return _plan(ctx, name, edit, separator, show_changes)


@state("ini.sections_absent")
def sections_absent(
    ctx: Context,
    name: str,
    *,
    sections: list[str],
    separator: str = "=",
    encoding: str | None = None,
    show_changes: bool = True,
) -> Plan:
    """Take sections out of the INI file `name`, with all options in them.

    sections: their names
    separator: what stands between option and value, `=` or `:`
    show_changes: False keeps the content out of the diff
    encoding: taken for compatibility
    """

    def edit(ini: Ini) -> None:
        for section in sections:
            ini.remove_section(str(section))

    return _plan(ctx, name, edit, separator, show_changes)


def _plan(
    ctx: Context,
    name: str,
    edit: Callable[[Ini], None],
    separator: str,
    show_changes: bool,
    secret: bool = False,
) -> Plan:
    """The plan that edits the file. A new file that gets secrets is for its owner only."""
    old = read_text(ctx, name)
    if old is None and name in ctx.made:
        return unknown(name, "content")
    ini = Ini(old or "", separator)
    edit(ini)
    if old is None and not ini.text():
        return Plan(comment=f"File {name} is not there")
    want = LEAVE.with_mode(NEW_SECRET_MODE) if secret and old is None else LEAVE
    content = Bytes(ini.text().encode("utf-8", "surrogateescape"))
    return plan_file(ctx, name, content, want, Options(show=show_changes))


def _wanted(name: str, sections: Mapping[str, Data]) -> dict[str, dict[str, list[str | None]]]:
    """Section -> option -> its lines; "" is the section before all headers. Raises ArgumentError."""
    wanted: dict[str, dict[str, list[str | None]]] = {}
    for section, options in sections.items():
        if isinstance(options, Mapping):
            for key, value in options.items():
                wanted.setdefault(section, {})[str(key)] = _lines(name, str(key), value)
            wanted.setdefault(section, {})
        else:
            wanted.setdefault("", {})[section] = _lines(name, section, options)
    return wanted


def _lines(name: str, key: str, value: Data) -> list[str | None]:
    if isinstance(value, list | tuple):
        return [_text(name, key, each) for each in value]
    return [_text(name, key, value)]


def _text(name: str, key: str, value: Data) -> str | None:
    if value is None:
        return None
    if isinstance(value, str):
        return value[:]  # the text itself, also of a secret
    if isinstance(value, int | float):
        return str(value)
    raise ArgumentError(f"the value of {key} must be text, a number or a list of them", where=Where(name))


def _is_secret(ctx: Context, value: str | None) -> bool:
    return value is not None and ctx.scrubber.text(value) != value
