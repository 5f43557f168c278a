"""INI text edited line by line: comments, order, spacing and repeated keys stay as they are."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from protocol.errors import ArgumentError

_HEADER = re.compile(r"\s*\[([^\]]+)\]\s*(?:[#;].*)?$")
_CONTROL = re.compile(r"[\x00-\x09\x0b-\x1f\x7f]")


@dataclass(slots=True)
class _Option:
    """An option at line `at`, with `more` continuation lines; `value` None is a bare key without separator."""

    at: int
    key: str
    value: str | None
    more: int = 0


@dataclass(slots=True)
class _Section:
    """A section whose header is at line `at` (-1: the lines before any header); it ends before line `end`."""

    name: str
    at: int
    end: int
    options: list[_Option]


def _same(key: str) -> str:
    return key


class Ini:
    """The text of an INI file, to be looked at and edited.

    A line that is indented deeper than the option before it continues its value (as Python's configparser and
    oslo.config have it). Lines that begin with `#` or `;` are comments. The section "" is what stands before any
    header. Sections that occur twice are one. `same` maps spellings of a key that mean the same to one.
    """

    def __init__(self, text: str, separator: str = "=", same: Callable[[str], str] = _same) -> None:
        self._mark = separator.strip()
        if self._mark not in ("=", ":"):
            raise ArgumentError(f"{separator!r} is no separator", help="use = or :")
        self._same = same
        self._text = text
        self._newline = "\r" if "\r\n" in text else ""
        self._lines = text.removesuffix("\n").split("\n") if text else []
        self._changed = False
        self._sections: list[_Section] = []
        self._parse()

    def text(self) -> str:
        """The text as edited; the very same when nothing changed."""
        if not self._changed:
            return self._text
        return "".join(f"{line}\n" for line in self._lines)

    def sections(self) -> list[str]:
        """The names of all sections with a header, in order."""
        return list(dict.fromkeys(section.name for section in self._sections if section.at >= 0))

    def keys(self, section: str) -> list[str]:
        """The keys of a section, in order, each once."""
        return list(dict.fromkeys(option.key for option in self._options(section)))

    def get(self, section: str, key: str) -> list[str | None]:
        """All values of a key; a value of several lines is joined by newlines; None is a key without value."""
        return [option.value for option in self._options(section) if self._same(option.key) == self._same(key)]

    def set(self, section: str, key: str, values: Sequence[str | None], *, no_spaces: bool = False) -> None:
        """Give a key just these values, one line each. Raises ArgumentError for what no INI line can hold."""
        _check_name("section", section, "]")
        _check_name("key", key, self._mark)
        wanted = [None if value is None else _clean(key, value) for value in values]
        if self.get(section, key) == wanted:
            return
        present = [option for option in self._options(section) if self._same(option.key) == self._same(key)]
        for option in reversed(present[len(wanted) :]):
            self._delete(option)
        self._parse()
        for count, value in enumerate(wanted):
            present = [option for option in self._options(section) if self._same(option.key) == self._same(key)]
            if count >= len(present):
                self._insert(section, key, value, no_spaces)
            elif present[count].value != value:
                self._rewrite(present[count], key, value, no_spaces)
            self._parse()

    def unset(self, section: str, key: str) -> None:
        """Take out all lines of a key."""
        for option in reversed(self._options(section)):
            if self._same(option.key) == self._same(key):
                self._delete(option)
        self._parse()

    def add_section(self, section: str) -> None:
        """Put an empty section at the end, when there is none of this name. Raises ArgumentError."""
        _check_name("section", section, "]")
        if section and section not in self.sections():
            if self._lines and self._lines[-1].strip():
                self._lines.append(self._newline)
            self._lines.append(f"[{section}]{self._newline}")
            self._edited()

    def remove_section(self, section: str) -> None:
        """Take out a section with its options; comments right above the next header stay with that."""
        for found in reversed(self._sections):
            if found.name != section:
                continue
            end = found.end
            if end < len(self._lines):
                while end - 1 > found.at and _is_comment(self._lines[end - 1]):
                    end -= 1
            del self._lines[max(found.at, 0) : end]
            self._edited()

    def _options(self, section: str) -> list[_Option]:
        return [option for found in self._sections if found.name == section for option in found.options]

    def _edited(self) -> None:
        self._changed = True
        self._parse()

    def _parse(self) -> None:
        """Read the lines into sections and options."""
        self._sections = [_Section("", -1, 0, [])]
        option: _Option | None = None
        depth = 0
        for at, raw in enumerate(self._lines):
            line = raw.rstrip()
            self._sections[-1].end = at + 1
            if not line or _is_comment(line):
                if not line:
                    option = None
                continue
            indent = len(_indent(line))
            if option is not None and indent > depth and option.at + option.more + 1 == at:
                option.more += 1
                option.value = f"{option.value or ''}\n{line.strip()}"
                continue
            header = _HEADER.match(line)
            if header is not None:
                self._sections[-1].end = at
                self._sections.append(_Section(header.group(1), at, at + 1, []))
                option = None
                continue
            depth = indent
            key, mark, value = line.strip().partition(self._mark)
            option = _Option(at, key.strip(), value.strip() if mark else None)
            self._sections[-1].options.append(option)

    def _delete(self, option: _Option) -> None:
        del self._lines[option.at : option.at + option.more + 1]
        self._changed = True

    def _rewrite(self, option: _Option, key: str, value: str | None, no_spaces: bool) -> None:
        """Another value on the line of an option; its indentation and spacing stay."""
        old = self._lines[option.at]
        spacing = re.match(rf"\s*[^{re.escape(self._mark)}]*?(\s*{re.escape(self._mark)}[ \t]*)", old)
        mark = spacing.group(1) if spacing and option.value else self._spaced(no_spaces)
        self._lines[option.at : option.at + option.more + 1] = self._render(_indent(old), option.key, mark, value)
        self._changed = True

    def _insert(self, section: str, key: str, value: str | None, no_spaces: bool) -> None:
        """A new line: behind the key's other lines, or its commented default, or the section's last option."""
        if section not in (found.name for found in self._sections):
            self.add_section(section)
        options = self._options(section)
        mine = [option for option in options if self._same(option.key) == self._same(key)]
        comment = None if mine else self._commented(section, key)
        indent, at = "", next(found.at for found in self._sections if found.name == section) + 1
        if options:
            last = (mine or options)[-1]
            indent, at = _indent(self._lines[last.at]), last.at + last.more + 1
        if comment is not None:
            at = comment + 1
        following = self._lines[at] if at < len(self._lines) else ""
        if following.strip() and not _is_comment(following):
            indent = max(indent, _indent(following), key=len)  # else it would continue the new value
        self._lines[at:at] = self._render(indent, key, self._spaced(no_spaces), value)
        self._edited()

    def _commented(self, section: str, key: str) -> int | None:
        """The last line of the section that is the key commented out (`#key = default`)."""
        pattern = re.compile(rf"\s*[#;]\s*{re.escape(key)}\s*{re.escape(self._mark)}")
        places = [
            at
            for found in self._sections
            if found.name == section
            for at in range(found.at + 1, found.end)
            if self._lines[at].lstrip()[:1] in ("#", ";") and pattern.match(self._lines[at])
        ]
        return places[-1] if places else None

    def _spaced(self, no_spaces: bool) -> str:
        return self._mark if no_spaces else f" {self._mark} "

    def _render(self, indent: str, key: str, mark: str, value: str | None) -> list[str]:
        if value is None:
            return [f"{indent}{key}{self._newline}"]
        first, *more = value.split("\n")
        lines = [f"{indent}{key}{mark}{first}".rstrip(), *(f"{indent}    {line}" for line in more)]
        return [line + self._newline for line in lines]


def _indent(line: str) -> str:
    return line[: len(line) - len(line.lstrip())]


def _is_comment(line: str) -> bool:
    return line.lstrip()[:1] in ("#", ";")


def _check_name(what: str, name: str, forbidden: str) -> None:
    if _CONTROL.search(name) or "\n" in name or forbidden in name or name != name.strip():
        raise ArgumentError(f"{name!r} is no name of a {what}", help="without line breaks, brackets and separators")
    if what == "key" and (not name or name[0] in "#;["):
        raise ArgumentError(f"{name!r} is no name of a key", help="it must not begin with #, ; or [")


def _clean(key: str, value: str) -> str:
    lines = [line.strip() for line in value.strip().split("\n")]
    if any(not line or _is_comment(line) for line in lines[1:]) or _CONTROL.search(value.replace("\t", " ")):
        raise ArgumentError(
            f"the value of {key} cannot stand in an INI file",
            help="without empty lines, lines that begin with # or ;, and control characters",
        )
    return "\n".join(lines)
