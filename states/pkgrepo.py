"""Package repositories of apt: entries, their keys, and lists that are fetched when they change."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Final

from protocol.data import Data
from protocol.errors import ArgumentError, StateError
from protocol.results import Change
from protocol.secrets import reveal
from states.context import Context
from states.contract import Action, DeedError, Plan
from states.host import apt, apt_keys, apt_sources, files
from states.host.apt_sources import Line
from states.registry import state

KEYRINGS: Final = "/etc/apt/keyrings"
_SOURCES: Final = re.compile(r"/etc/apt/(?:sources\.list|sources\.list\.d/[A-Za-z0-9_.-]+\.(?:list|sources))")
_FIELDS: Final = {"arch": "Architectures", "lang": "Languages", "target": "Targets", "signed-by": "Signed-By"}
"""Options of one-line entries that deb822 calls otherwise than by their capitals."""


@dataclass(frozen=True, slots=True)
class _Repository:
    """One repository as it is wanted: a line for each type, address and suite, and where they are to be."""

    lines: tuple[Line, ...]
    path: str
    deb822: bool
    label: str = ""

    def put(self, content: str, *, clean: bool) -> str:
        if self.deb822:
            return apt_sources.put_stanza(content, self.fields(), clean=clean)
        for line in self.lines:
            content = apt_sources.put_line(content, line, clean=clean)
            clean = False
        return content

    def fields(self) -> dict[str, Sequence[str]]:
        """The stanza of it."""
        first = self.lines[0]
        fields: dict[str, Sequence[str]] = {
            "X-Repolib-Name": self.label.split(),
            "Enabled": [] if first.enabled else ["no"],
            "Types": tuple(dict.fromkeys(line.type for line in self.lines)),
            "URIs": tuple(dict.fromkeys(line.uri for line in self.lines)),
            "Suites": tuple(dict.fromkeys(line.suite for line in self.lines)),
            "Components": first.components,
        }
        for key, value in first.options.items():
            fields[_FIELDS.get(key, "-".join(part.capitalize() for part in key.split("-")))] = value.split(",")
        return fields


@state("pkgrepo.managed")
def managed(
    ctx: Context,
    name: str,
    *,
    humanname: str = "",
    file: str = "",
    format: str = "",
    dist: str = "",
    comps: str | Sequence[str] = (),
    types: str | Sequence[str] = "deb",
    uris: str | Sequence[str] = (),
    suites: str | Sequence[str] = (),
    components: str | Sequence[str] = (),
    architectures: str | Sequence[str] = (),
    signedby: str = "",
    signed_by: str = "",
    key_url: str = "",
    key_text: str = "",
    key_hash: str = "",
    keyid: str | Sequence[str] = (),
    keyserver: str = "",
    aptkey: bool = False,
    gpgcheck: bool | int = True,
    disabled: bool = False,
    enabled: bool = True,
    clean_file: bool = False,
    refresh: bool = True,
    refresh_db: bool = True,
    consolidate: bool = False,
) -> Plan:
    """A package repository is configured, its key in place and its lists fetched.

    name: the entry (`deb http://host/debian bookworm main`), or with uris and suites only a label
    humanname: what the repository is called, for file names and deb822
    file: the file of the entry; by default the one that has it, or a new one in /etc/apt/sources.list.d
    format: oneline or deb822; by the suffix of file when not given
    dist: the suite, in place of the one in name
    comps: the components, in place of those in name
    types: deb, deb-src or both, with uris
    uris: the addresses, with suites in place of an entry in name
    suites: the suites, with uris
    components: the components, with uris
    architectures: only these architectures
    signedby: the key ring that proves the repository; with a key, by default one in /etc/apt/keyrings
    signed_by: the same, as deb822 calls it
    key_url: the key: salt://…, a path on the host, or https://… together with key_hash or keyid
    key_text: the key itself, armoured
    key_hash: the SHA-256 of the file behind key_url
    keyid: ids or fingerprints that must be among the keys, 16 hex digits at least
    keyserver: a key server that gives the key keyid by https
    aptkey: accepted for Salt's sake; keys go to key rings of their own
    gpgcheck: accepted for Salt's sake; apt always checks, unless the entry says trusted=yes
    disabled: the entry is there and switched off
    enabled: false is the same as disabled
    clean_file: nothing else is in the file
    refresh: fetch the package lists when the repository changed, or has none
    refresh_db: the same, by its old name
    consolidate: accepted for Salt's sake
    """
    keys = apt_keys.wish(key_url, str(reveal(key_text)), _words(keyid), key_hash, keyserver)
    lines = _lines(
        str(reveal(name)), dist, _words(comps), _words(types), _words(uris), _words(suites), _words(components)
    )
    keyring = signedby or signed_by or lines[0].options.get("signed-by", "")
    label = humanname or (name if uris else "")
    stem = apt_sources.file_name(humanname or (name if uris else _stem(lines[0])))
    if keys is not None and not keyring:
        keyring = f"{KEYRINGS}/{stem}.gpg"
    lines = tuple(_completed(line, keyring, _words(architectures), enabled and not disabled) for line in lines)
    wanted = _placed(ctx, lines, file, format, bool(uris), stem, label)
    key_action = apt_keys.plan(ctx, keys, keyring) if keys is not None else None
    actions = [key_action] if key_action is not None else []
    old = apt_sources.read(ctx, wanted.path)
    new = wanted.put(old or "", clean=clean_file)
    if new != (old or ""):
        edit = partial(wanted.put, clean=clean_file)
        actions.append(_entry_action(ctx, wanted.path, old, new, edit, "create" if old is None else "change"))
    fetching = refresh and refresh_db and enabled and not disabled
    actions = _with_fetch(ctx, actions, lines, wanted.path) if fetching else actions
    return Plan(actions, comment=f"{lines[0].uri} {lines[0].suite} is configured", warnings=_doubles(ctx, wanted))


@state("pkgrepo.absent")
def absent(
    ctx: Context, name: str, *, file: str = "", keyid: str = "", keyserver: str = "", refresh: bool = True
) -> Plan:
    """A package repository is not configured; its key ring stays.

    name: the entry, or the label or file name that pkgrepo.managed gave it
    file: look only in this file
    keyid: accepted for Salt's sake; a key in a key ring of its own proves nothing without an entry
    keyserver: accepted for Salt's sake
    refresh: fetch the package lists when something was taken away
    """
    line = apt_sources.parse_line(str(reveal(name)))
    actions = []
    for path in [_checked_file(file)] if file else apt_sources.places(ctx):
        old = apt_sources.read(ctx, path)
        drop = partial(_without, path, line, name)
        if old is not None and (new := drop(old)) != old:
            actions.append(_entry_action(ctx, path, old, new, drop, "remove"))
    if actions and refresh:
        actions[-1] = Action(actions[-1].change, partial(_performed_and_fetched, ctx, actions[-1], False))
    return Plan(actions, comment=f"{name} is not configured")


def _lines(
    name: str,
    dist: str,
    comps: Sequence[str],
    types: Sequence[str],
    uris: Sequence[str],
    suites: Sequence[str],
    components: Sequence[str],
) -> tuple[Line, ...]:
    """The entries that the arguments describe. Raises ArgumentError."""
    if uris:
        if not suites:
            raise ArgumentError("uris needs suites", help="like suites: bookworm")
        found = [Line(kind, uri, suite, tuple(components)) for kind in types for uri in uris for suite in suites]
    else:
        first = apt_sources.parse_line(name) or apt_sources.required_line(name)
        own = tuple(comps) or tuple(components) or first.components
        found = [replace(first, suite=dist or first.suite, components=own)]
        apt_sources.required_line(found[0].text())
    if any(re.search(r"[\s\[\]#]", word) for line in found for word in (line.uri, line.suite, *line.components)):
        raise ArgumentError("an address, suite or component has a space, '#' or a bracket")
    return tuple(found)


def _completed(line: Line, keyring: str, architectures: Sequence[str], enabled: bool) -> Line:
    options = dict(line.options)
    if architectures:
        options["arch"] = ",".join(architectures)
    if keyring:
        options["signed-by"] = keyring
    return replace(line, options=options, enabled=enabled and line.enabled)


def _placed(
    ctx: Context, lines: tuple[Line, ...], file: str, format: str, deb822: bool, stem: str, label: str
) -> _Repository:
    """Where the entries are to be, and in which form. Raises ArgumentError."""
    if format not in ("", "oneline", "deb822"):
        raise ArgumentError(f"{format!r} is not a format of entries", help="oneline or deb822")
    if file:
        path = _checked_file(file)
        deb822 = path.endswith(".sources")
        if format and (format == "deb822") is not deb822:
            raise ArgumentError(f"{path} is not for {format} entries", help=".sources for deb822, .list for oneline")
        return _Repository(lines, path, deb822, label)
    if not deb822 and format != "deb822":
        holding = [path for path in apt_sources.places(ctx) if _holds_line(ctx, path, lines[0])]
        path = holding[0] if holding else f"{apt_sources.SOURCES_PARTS}/{stem}.list"
        return _Repository(lines, path, False, label)
    deb822 = format != "oneline"
    return _Repository(lines, f"{apt_sources.SOURCES_PARTS}/{stem}.{'sources' if deb822 else 'list'}", deb822, label)


def _checked_file(file: str) -> str:
    if _SOURCES.fullmatch(file) is None:
        raise ArgumentError(f"apt reads no entries from {file!r}", help="like /etc/apt/sources.list.d/ceph.list")
    return file


def _holds_line(ctx: Context, path: str, wanted: Line) -> bool:
    if path.endswith(".sources"):
        return False
    parsed = map(apt_sources.parse_line, (apt_sources.read(ctx, path) or "").splitlines())
    return any(line is not None and line.key == wanted.key for line in parsed)


def _doubles(ctx: Context, wanted: _Repository) -> tuple[str, ...]:
    """A warning of other files that have the same entry."""
    others = [
        path for path in apt_sources.places(ctx) if path != wanted.path and _holds_line(ctx, path, wanted.lines[0])
    ]
    return (f"the same repository is also in {', '.join(others)}",) if others else ()


def _stem(line: Line) -> str:
    address = re.sub(r"^[a-z+]+:/*|^.*@", "", line.uri).strip("/")
    return f"{address}-{line.suite.strip('./')}".strip("-")


def _words(value: str | Sequence[str]) -> list[str]:
    """Words given as a list, or with spaces or commas."""
    return [word for one in ([value] if isinstance(value, str) else value) for word in re.split(r"[\s,]+", one) if word]


def _entry_action(ctx: Context, path: str, old: str | None, new: str, edit: Callable[[str], str], kind: str) -> Action:
    """Edit a file of entries; it is read again when that is done. A file with nothing left in it is removed."""
    gone = kind == "remove" and path != apt_sources.SOURCES_LIST
    gone = gone and not apt_sources.has_entries(new, deb822=path.endswith(".sources"))
    diff = files.unified_diff(_bytes(old), None if gone else _bytes(new), path)
    change = Change("create" if kind == "create" else "remove" if gone else "change", path, "entry", diff=diff)

    def perform() -> None:
        content = edit(apt_sources.read(ctx, path) or "")
        apt_sources.write(ctx, path, None if gone else content)

    return Action(change, perform)


def _bytes(text: str | None) -> bytes | None:
    return None if text is None else text.encode("utf-8", "surrogateescape")


def _without(path: str, line: Line | None, name: str, content: str) -> str:
    """`content` of the file `path` without the repository."""
    deb822 = path.endswith(".sources")
    if line is not None:
        return apt_sources.drop_stanzas(content, [line.key]) if deb822 else apt_sources.drop_lines(content, line.key)
    return "" if path.rpartition("/")[2].rpartition(".")[0] == apt_sources.file_name(name) else content


def _with_fetch(ctx: Context, actions: list[Action], lines: Sequence[Line], path: str) -> list[Action]:
    """The actions with the lists fetched after the last; without any, a fetch when the lists were never there."""
    if actions:
        return [*actions[:-1], Action(actions[-1].change, partial(_performed_and_fetched, ctx, actions[-1], True))]
    prefixes = [apt_sources.lists_prefix(line) for line in lines if line.type == "deb"]
    lists = ctx.path(apt.LISTS)
    names = [found.name for found in lists.iterdir()] if lists.is_dir() else []
    if all(not prefix or any(name.startswith(prefix) for name in names) for prefix in prefixes):
        return []
    change = Change("create", path, "package lists", new="fetched")
    return [Action(change, partial(_fetch, ctx, strict=True))]


def _performed_and_fetched(ctx: Context, action: Action, strict: bool) -> Data:
    """Do `action`, then fetch the lists; that they cannot be fetched is an error of a change that was made."""
    action.perform()
    try:
        return _fetch(ctx, strict=strict)
    except StateError as error:
        raise DeedError(f"{action.change.subject} is written, and {error.message}", help=error.help) from None


def _fetch(ctx: Context, *, strict: bool) -> Mapping[str, Data] | None:
    warnings = apt.manager(ctx).refresh(strict=strict)
    return {"warnings": list(warnings)} if warnings else None
