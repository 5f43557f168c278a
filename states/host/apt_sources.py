"""Entries of apt's sources.list(5): one line each, or deb822 stanzas; read and edited so that the rest stays."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from protocol.errors import ArgumentError, StateError
from states.context import Context
from states.host import files

SOURCES_LIST: Final = "/etc/apt/sources.list"
SOURCES_PARTS: Final = "/etc/apt/sources.list.d"
_LINE: Final = re.compile(
    r"^(?P<off>#\s*)?(?P<type>deb|deb-src)\s+(?:\[(?P<options>[^\]]*)\]\s*)?(?P<uri>\S+)\s+(?P<suite>\S+)(?P<rest>[^#]*)"
)
_QUOTED: Final = frozenset('\\|{}[]<>"^~_=!@#$%&*')
_FIELD: Final = re.compile(r"^([A-Za-z][A-Za-z0-9-]*):\s*(.*)$")


@dataclass(frozen=True, slots=True)
class Line:
    """An entry of one line. `options` as they are written in the brackets, by key."""

    type: str
    uri: str
    suite: str
    components: tuple[str, ...] = ()
    options: Mapping[str, str] = field(default_factory=dict)
    enabled: bool = True

    @property
    def key(self) -> tuple[str, str, str]:
        """What tells one repository from another."""
        return self.type, self.uri.rstrip("/"), self.suite.rstrip("/")

    def text(self) -> str:
        """The entry as a line."""
        options = " ".join(f"{key}={value}" for key, value in self.options.items())
        words = [self.type, *([f"[{options}]"] if options else []), self.uri, self.suite, *self.components]
        return ("" if self.enabled else "# ") + " ".join(words)

    def same(self, other: Line) -> bool:
        """Whether both mean the same; the order of components and options does not matter."""
        return (self.key, set(self.components), dict(self.options), self.enabled) == (
            other.key,
            set(other.components),
            dict(other.options),
            other.enabled,
        )


def parse_line(text: str) -> Line | None:
    """The entry in a line of sources.list, switched off ones (`# deb …`) too; None for any other line."""
    found = _LINE.match(text.strip())
    if found is None or (found["off"] and "://" not in found["uri"] and ":/" not in found["uri"]):
        return None
    options = dict(pair.partition("=")[::2] for pair in (found["options"] or "").split() if "=" in pair)
    return Line(found["type"], found["uri"], found["suite"], tuple(found["rest"].split()), options, not found["off"])


def required_line(text: str) -> Line:
    """The entry in `text`. Raises ArgumentError when it is none."""
    line = parse_line(text)
    if line is None or not (line.components or line.suite.endswith("/")):
        raise ArgumentError(
            f"{text[:120]!r} is not an entry of sources.list", help="like 'deb http://host/debian bookworm main'"
        )
    return line


def put_line(content: str, wanted: Line, *, clean: bool = False) -> str:
    """`content` with the entry `wanted` in the place of the present one or at the end; alone when `clean`."""
    lines = [] if clean else content.splitlines()
    done, kept = False, []
    for text in lines:
        present = parse_line(text)
        if present is None or present.key != wanted.key:
            kept.append(text)
        elif not done:
            kept.append(text if present.same(wanted) else wanted.text())
            done = True
    if not done:
        kept.append(wanted.text())
    return "".join(f"{text}\n" for text in kept)


def drop_lines(content: str, key: tuple[str, str, str]) -> str:
    """`content` without the entries of the repository `key`, switched off ones too."""
    kept = [text for text in content.splitlines() if (line := parse_line(text)) is None or line.key != key]
    return "".join(f"{text}\n" for text in kept)


def stanza_text(fields: Mapping[str, Sequence[str]]) -> str:
    """A deb822 stanza as text, without the empty line that ends it."""
    return "".join(f"{key}: {' '.join(values)}\n" for key, values in fields.items() if values)


def parse_stanza(text: str) -> dict[str, tuple[str, ...]]:
    """The fields of a deb822 stanza as words; names of fields in capitals as apt writes them."""
    fields: dict[str, list[str]] = {}
    current = ""
    for line in text.splitlines():
        found = _FIELD.match(line)
        if line.startswith("#"):
            continue
        if found:
            current = "-".join(part.capitalize() for part in found[1].split("-"))
            current = {"Uris": "URIs"}.get(current, current)
            fields[current] = found[2].split()
        elif current and line[:1] in " \t":
            fields[current] += line.split()
    return {key: tuple(values) for key, values in fields.items()}


def stanza_key(fields: Mapping[str, Sequence[str]]) -> tuple[frozenset[str], frozenset[str], frozenset[str]]:
    """What tells one repository of deb822 from another: types, addresses, suites."""
    uris = frozenset(uri.rstrip("/") for uri in fields.get("URIs", ()))
    return frozenset(fields.get("Types", ())), uris, frozenset(fields.get("Suites", ()))


def put_stanza(content: str, wanted: Mapping[str, Sequence[str]], *, clean: bool = False) -> str:
    """`content` with the stanza in the place of the present one or at the end; alone when `clean`.

    A present stanza that means the same stays as it is written.
    """
    stanzas = [] if clean else _stanzas(content)
    done = False
    for at, text in enumerate(stanzas):
        present = parse_stanza(text)
        if present and stanza_key(present) == stanza_key(wanted):
            if not _same_stanza(present, wanted):
                stanzas[at] = _comments(text) + stanza_text(wanted)
            done = True
            break
    if not done:
        stanzas.append(stanza_text(wanted))
    return "\n".join(stanzas)


def drop_stanzas(content: str, keys: Iterable[tuple[str, str, str]]) -> str:
    """`content` without the stanzas whose type, address and suite are all among `keys`."""
    unwanted = set(keys)
    kept = [text for text in _stanzas(content) if not _covered(parse_stanza(text), unwanted)]
    return "\n".join(kept)


def has_entries(content: str, *, deb822: bool) -> bool:
    """Whether anything but comments is left."""
    if deb822:
        return any(parse_stanza(text) for text in _stanzas(content))
    return any(line.strip() and not line.strip().startswith("#") for line in content.splitlines())


def places(ctx: Context) -> list[str]:
    """The files apt reads entries from, as they are on the host now."""
    parts = ctx.path(SOURCES_PARTS)
    names = sorted(place.name for place in parts.glob("*") if place.suffix in (".list", ".sources") and place.is_file())
    first = [SOURCES_LIST] if ctx.path(SOURCES_LIST).is_file() else []
    return [*first, *(f"{SOURCES_PARTS}/{name}" for name in names)]


def read(ctx: Context, path: str) -> str | None:
    """The text of a file of entries; None when there is none. Raises StateError."""
    place: Path = ctx.path(path)
    try:
        return place.read_text("utf-8", "surrogateescape")
    except FileNotFoundError:
        return None
    except OSError as error:
        raise files.failure(place, error, "read") from error


def write(ctx: Context, path: str, content: str | None) -> None:
    """Replace a file of entries (mode 0644), or remove it when `content` is None. Raises StateError."""
    place = ctx.path(path)
    try:
        if content is None:
            place.unlink(missing_ok=True)
            return
        place.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
        mode = place.stat().st_mode & 0o777 if place.exists() else 0o644
    except OSError as error:
        raise files.failure(place, error) from error
    files.write_atomic(place, content.encode("utf-8", "surrogateescape"), mode=mode)


def lists_prefix(line: Line) -> str:
    """How the names of the fetched lists of a repository begin (apt's URItoFileName); empty for exotic addresses."""
    scheme, _, rest = line.uri.partition(":")
    if scheme not in ("http", "https", "file"):
        return ""
    rest = rest.removeprefix("//").rpartition("@")[2] if scheme != "file" else rest.removeprefix("//")
    path = f"{rest.rstrip('/')}/{'' if line.suite.endswith('/') else 'dists/'}{line.suite.rstrip('/')}/"
    return "".join(f"%{ord(char):02x}" if char in _QUOTED else char for char in path).replace("/", "_")


def file_name(label: str) -> str:
    """A name for a file of entries that apt reads: letters, digits, '-', '_' and '.'. Raises StateError."""
    name = re.sub(r"[^A-Za-z0-9_.-]+", "-", label).strip("-.")
    if not name:
        raise StateError(f"{label!r} gives no file name", help="give file: /etc/apt/sources.list.d/NAME.list")
    return name[:100]


def _stanzas(content: str) -> list[str]:
    return [part.strip("\n") + "\n" for part in re.split(r"\n[ \t]*\n", content.strip("\n")) if part.strip()]


def _comments(text: str) -> str:
    return "".join(f"{line}\n" for line in text.splitlines() if line.startswith("#"))


def _same_stanza(present: Mapping[str, Sequence[str]], wanted: Mapping[str, Sequence[str]]) -> bool:
    ordered = ("X-Repolib-Name",)
    left = {key: list(value) if key in ordered else sorted(value) for key, value in present.items() if value}
    right = {key: list(value) if key in ordered else sorted(value) for key, value in wanted.items() if value}
    return left == right


def _covered(fields: Mapping[str, Sequence[str]], unwanted: set[tuple[str, str, str]]) -> bool:
    types, uris, suites = stanza_key(fields)
    keys = {(kind, uri, suite.rstrip("/")) for kind in types for uri in uris for suite in suites}
    return bool(keys) and keys <= unwanted
