"""What goes to standard output (data) and what to standard error (talk), in which format and with which colours."""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal, TextIO

Format = Literal["table", "wide", "json", "ndjson", "yaml"]
FORMATS: Final = ("table", "wide", "json", "ndjson", "yaml")
Role = Literal["good", "bad", "changed", "warn", "dim", "head"]

_CODES: Final[Mapping[str, str]] = {
    "good": "32", "bad": "31;1", "changed": "36", "warn": "33", "dim": "2", "head": "1",
}  # fmt: skip


@dataclass(slots=True)
class Screen:
    """Where a command writes. `colour` of None decides by the terminal, NO_COLOR and TERM (no-color.org)."""

    format: Format = "table"
    quiet: bool = False
    verbose: int = 0
    colour: bool | None = None

    @property
    def machine(self) -> bool:
        """Whether standard output is for a program."""
        return self.format in ("json", "ndjson", "yaml")

    @property
    def live(self) -> bool:
        """Whether progress may be redrawn in place."""
        return sys.stderr.isatty() and not self.quiet and not self.machine and os.environ.get("TERM") != "dumb"

    def style(self, text: str, role: Role, stream: TextIO | None = None) -> str:
        """`text` in the colour of `role`, or as it is where colours are off."""
        return f"\033[{_CODES[role]}m{text}\033[0m" if self._coloured(stream or sys.stdout) else text

    def _coloured(self, stream: TextIO) -> bool:
        if self.colour is not None:
            return self.colour
        if os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb":
            return False
        return stream.isatty()

    def width(self) -> int:
        """Columns to fill; wide output and pipes are not cut."""
        if self.format == "wide" or not sys.stdout.isatty():
            return 10_000
        return shutil.get_terminal_size((100, 40)).columns

    def data(self, text: str) -> None:
        """A line of the answer."""
        print(visible(text), file=sys.stdout)

    def talk(self, text: str, role: Role | None = None) -> None:
        """A line about the answer; silent with --quiet."""
        if not self.quiet:
            text = visible(text)
            sys.stdout.flush()
            print(self.style(text, role, sys.stderr) if role else text, file=sys.stderr, flush=True)

    def document(self, schema: str, content: Mapping[str, Any]) -> None:
        """One document for a program: `schema` first, then `content`."""
        whole = {"schema": schema, **content}
        if self.format == "yaml":
            import yaml

            print(yaml.safe_dump(json.loads(as_json(whole)), sort_keys=False, allow_unicode=True), end="")
        elif self.format == "ndjson":
            self.record(whole)
        else:
            print(as_json(whole, indent=2))

    def records(self, schema: str, key: str, items: Sequence[Mapping[str, Any]]) -> None:
        """Many things for a program: one document, or in ndjson one line each."""
        if self.format == "ndjson":
            for item in items:
                self.record({"schema": schema, **item})
        else:
            self.document(schema, {key: list(items)})

    def record(self, content: Mapping[str, Any]) -> None:
        """One line of JSON, written through at once."""
        print(as_json(content), flush=True)

    def table(self, heads: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        """Columns under headings; the last column is cut at the terminal's edge."""
        cells = [[visible(cell) for cell in row] for row in rows]
        widths = [max(len(row[at]) for row in [list(heads), *cells]) for at in range(len(heads))]
        limit = self.width()
        for number, row in enumerate([list(heads), *cells]):
            line = "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
            line = line if len(line) <= limit else line[: limit - 1] + "…"
            print(self.style(line, "head") if number == 0 else line)


def as_json(value: Any, indent: int | None = None) -> str:
    """`value` as JSON; bytes as text with what is not UTF-8 replaced."""
    return json.dumps(value, indent=indent, ensure_ascii=False, default=_foreign)


def _foreign(value: object) -> object:
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, tuple | set | frozenset):
        return list(value)
    return str(value)


def visible(text: str) -> str:
    """`text` with control characters that a peer could use against a terminal made visible (colours are ours)."""
    if text.isprintable():
        return text
    kept = []
    at = 0
    while at < len(text):
        end = _colour_end(text, at)
        if end:
            kept.append(text[at:end])
            at = end
            continue
        char = text[at]
        kept.append(char if char in "\n\t" or ord(char) >= 160 or 32 <= ord(char) < 127 else f"\\x{ord(char):02x}")
        at += 1
    return "".join(kept)


def _colour_end(text: str, at: int) -> int:
    """The end of one of our own colour sequences that begins at `at`, or 0."""
    if not text.startswith("\033[", at):
        return 0
    end = text.find("m", at + 2, at + 8)
    if end < 0 or text[at + 2 : end] not in {*_CODES.values(), "0"}:
        return 0
    return end + 1
