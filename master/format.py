"""SLS text in its canonical form: indentation, quotes, blank lines; comments and every value stay what they are."""

from __future__ import annotations

import re
from dataclasses import dataclass
from io import StringIO
from typing import Any, Final

import yaml
from ruamel.yaml import YAML
from ruamel.yaml.emitter import Emitter
from ruamel.yaml.error import YAMLError
from ruamel.yaml.representer import RoundTripRepresenter
from ruamel.yaml.resolver import VersionedResolver
from ruamel.yaml.scalarstring import DoubleQuotedScalarString

from master.compiler.yaml import load, plain
from protocol.errors import SlsError, Where
from protocol.yamlnodes import YamlError

_STR: Final = "tag:yaml.org,2002:str"
_ROUNDS: Final = 4
"""Times that a text is written anew until it stays as it is."""


@dataclass(frozen=True, slots=True)
class Formatted:
    """The text as it should be; `left` says why the text is left alone, when it is."""

    text: str
    left: str = ""


def formatted(text: str, file: str) -> Formatted:
    """`text` in canonical form. Raises SlsError when it is no YAML.

    Two spaces a level; a list stands two columns right of the line that names it; quotes stay where they are, as
    single ones where no escape needs double ones; one blank line between ids. Whatever would be read back with
    another value or another comment is left alone.
    """
    if any(mark in text for mark in ("{{", "{%", "{#")):
        return Formatted(text, "it holds Jinja")
    first = text.partition("\n")[0]
    if first.startswith("#!") and first[2:].strip() != "yaml":
        return Formatted(text, f"its renderer is {first[2:].strip()}")
    try:
        data = load(text, file)
    except YamlError as error:
        raise SlsError(
            error.message, where=Where(file, error.where.line, error.where.column), help=error.help
        ) from None
    if data is None:
        return Formatted(text, "" if not text.strip() else "it holds comments only")
    result = text
    for _ in range(_ROUNDS):
        try:
            again = _spaced(_written(result))
            if plain(load(again, file)) != plain(data) or _order(load(again, file)) != _order(data):
                return Formatted(text, "it would be read otherwise")
        except (YAMLError, YamlError, yaml.YAMLError, ValueError, TypeError, AttributeError, IndexError) as error:
            return Formatted(text, f"it cannot be written anew ({type(error).__name__})")
        if _comments(again) != _comments(text):
            return Formatted(text, "a comment would be lost")
        if again == result:
            return Formatted(again)
        result = again
    return Formatted(text, "its form does not settle")


class _Resolver(VersionedResolver):
    """Takes every plain scalar for text, so that `yes`, `0644` and `~` are written as they were read."""

    @property
    def versioned_resolver(self) -> Any:
        """Which first characters may make a plain scalar something else than text."""
        return {"<": [("tag:yaml.org,2002:merge", re.compile("^<<$"))]}


class _Representer(RoundTripRepresenter):
    def represent_double(self, data: str) -> Any:
        """Text that was in double quotes: in single ones, unless an escape is needed."""
        style = "'" if data.isprintable() else '"'
        return self.represent_scalar(_STR, str(data), style=style, anchor=getattr(data, "yaml_anchor", lambda: None)())


_Representer.add_representer(DoubleQuotedScalarString, _Representer.represent_double)


class _Emitter(Emitter):
    """Puts a list two columns right of the beginning of the line that names it, as Salt's own documentation does."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._offsets: list[int] = []

    def expect_block_sequence(self) -> None:
        values = self.indents.values
        in_item = self.mapping_context and len(values) > 1 and bool(values[-2][1])
        self._offsets.append(2 if self.mapping_context and not in_item else 0)
        super().expect_block_sequence()

    def expect_block_sequence_item(self, first: bool = False) -> None:
        ending = not first and type(self.event).__name__ == "SequenceEndEvent"
        self._use(self._offsets[-1])
        super().expect_block_sequence_item(first)
        if ending:
            self._offsets.pop()
            self._use(self._offsets[-1] if self._offsets else 0)

    def _use(self, offset: int) -> None:
        self.sequence_dash_offset = offset
        self.best_sequence_indent = offset + 2


def _written(text: str) -> str:
    writer = YAML(typ="rt", pure=True)
    writer.preserve_quotes = True
    writer.width = 100_000
    writer.Resolver = _Resolver
    writer.Representer = _Representer
    writer.Emitter = _Emitter
    writer.indent(mapping=2, sequence=2, offset=0)
    target = StringIO()
    writer.dump(writer.load(text), target)
    return target.getvalue()


# --- lines ----------------------------------------------------------------------------------------------------


def _spaced(text: str) -> str:
    """One blank line between top-level keys and never two; comments as far in as what they stand before."""
    lines = text.split("\n")
    inside = _scalar_lines(text)
    kept: list[tuple[str, bool]] = []
    for number, line in enumerate(lines):
        if number in inside:
            kept.append((line, True))
        elif line.strip() or (kept and kept[-1][0].strip()):
            kept.append((line.rstrip(), False))
    for number, (line, fixed) in enumerate(kept):
        if not fixed and line.lstrip().startswith("#"):
            kept[number] = " " * _column(kept, number) + line.lstrip(), False
        elif not fixed:
            kept[number] = _comment_near(line), False
    spaced: list[str] = []
    for number, (line, fixed) in enumerate(kept):
        if not fixed and spaced and _opens(kept, number) and spaced[-1].strip():
            spaced.append("")
        spaced.append(line)
    return "\n".join(spaced).strip("\n") + "\n"


def _column(lines: list[tuple[str, bool]], number: int) -> int:
    """Where a comment stands: as the next line that is none, or before a blank line as the one before."""
    for line, fixed in lines[number + 1 :]:
        if not line.strip():
            break
        if fixed or not line.lstrip().startswith("#"):
            return len(line) - len(line.lstrip())
    for line, fixed in reversed(lines[:number]):
        if line.strip() and not fixed and not line.lstrip().startswith("#"):
            own = len(lines[number][0]) - len(lines[number][0].lstrip())
            return len(line) - len(line.lstrip()) if own else 0
    return 0


def _comment_near(line: str) -> str:
    """`line` with two spaces before a comment that stands behind something."""
    comment = re.search(r"\S(\s+)#", _without_quoted(line))
    return line if comment is None else f"{line[: comment.start(1)]}  {line[comment.end(1) :]}"


def _opens(lines: list[tuple[str, bool]], number: int) -> bool:
    """Whether a top-level key, or the comment that stands before it, begins here."""
    line, fixed = lines[number]
    if fixed or not line or line[0] in " -" or (number and lines[number - 1][0].startswith("#")):
        return False
    if not line.startswith("#"):
        return True
    following = next((text for text, _ in lines[number:] if not text.startswith("#")), "")
    return bool(following.strip()) and following[0] not in " -"


def _scalar_lines(text: str) -> set[int]:
    """The lines that lie inside of block scalars and of quoted text over several lines."""
    inside: set[int] = set()
    for token in yaml.scan(text, Loader=yaml.SafeLoader):
        if isinstance(token, yaml.ScalarToken) and not token.plain:
            end = token.end_mark.line + (token.end_mark.column > 0)
            inside.update(range(token.start_mark.line + 1, end))
    return inside


def _comments(text: str) -> list[str]:
    """The comments of `text`, in order, without their indentation."""
    inside = _scalar_lines(text)
    found = []
    for number, line in enumerate(text.split("\n")):
        if number in inside:
            continue
        comment = re.search(r"(?:^|\s)(#.*)$", _without_quoted(line))
        if comment is not None:
            found.append(comment[1].rstrip())
    return found


def _without_quoted(line: str) -> str:
    return re.sub(r"'(?:[^']|'')*'|\"(?:[^\"\\]|\\.)*\"", lambda quoted: "x" * len(quoted[0]), line)


def _order(data: Any) -> Any:
    """The keys of every mapping in their order."""
    if isinstance(data, dict):
        return [(key, _order(value)) for key, value in data.items()]
    return [_order(value) for value in data] if isinstance(data, list) else None
