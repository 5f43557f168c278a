"""Unit files and drop-ins of the administrator, under /etc/systemd/system."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Final

from protocol.data import Data
from protocol.errors import ArgumentError, StateError
from protocol.results import Change
from protocol.secrets import reveal
from states.context import Context
from states.contract import Action, Plan
from states.host import files, process, units
from states.host.systemd import booted, systemd, unit_name
from states.registry import state

FOLDER: Final = "/etc/systemd/system"
_DROPIN: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,200}")
_SECTION: Final = re.compile(r"[A-Za-z][A-Za-z0-9-]*")
_NOT_YET: Final = ("is not executable", "not found", "No such file")
"""What systemd-analyze says of things outside the file, which may come later; a file is not refused for them."""


@state("systemd_unit.present")
def present(
    ctx: Context,
    name: str,
    *,
    contents: str | None = None,
    source: str | None = None,
    sections: Mapping[str, Data] | None = None,
    dropin: str | None = None,
    mode: str = "0644",
    enable: bool | None = None,
) -> Plan:
    """A unit file or drop-in of the administrator has this content, and systemd has read it.

    name: the unit, also a template (`worker@.service`)
    contents: the text of the file
    source: where the text is: salt://… or a path on the host
    sections: the text as a mapping of sections to mappings of settings; a list sets one several times
    dropin: write this drop-in of the unit instead of the unit itself
    mode: the permissions of the file, in octal
    enable: true also starts the unit at boot, false does not
    """
    unit = unit_name(name, template=True)
    path = _path(unit, dropin)
    text = _text(ctx, contents, source, sections)
    actions = _file_actions(ctx, unit, path, text.encode(), files.parse_mode(mode))
    warnings: tuple[str, ...] = ()
    if enable is not None:
        more, warnings = _enabling(ctx, unit, enable, written=bool(actions))
        actions += more
    return Plan(actions, comment=f"{path} is as wanted", warnings=warnings)


@state("systemd_unit.absent")
def absent(ctx: Context, name: str, *, dropin: str | None = None) -> Plan:
    """There is no unit file of the administrator for the unit (or no such drop-in); a unit that runs goes on.

    dropin: take away only this drop-in of the unit
    """
    unit = unit_name(name, template=True)
    path = _path(unit, dropin)
    place = ctx.path(path)
    if not place.is_symlink() and not place.exists():
        return Plan(comment=f"{path} is absent")
    actions = []
    warnings: tuple[str, ...] = ()
    if dropin is None and "@." not in unit and not place.is_symlink() and booted(ctx):
        manager = systemd(ctx)
        if units.enabled(ctx, manager, unit):
            actions.append(units.file_action(ctx, unit, "disable"))
        if manager.unit(unit).running:
            warnings = (f"{unit} runs on; use service.dead to stop it",)
    old = _read(place)
    diff = files.unified_diff(old, None, path) if old is not None else ""
    actions.append(Action(Change("remove", path, "file", diff=diff), partial(_remove, ctx, place)))
    return Plan(actions, comment=f"{path} is absent", warnings=warnings)


def _path(unit: str, dropin: str | None) -> str:
    if dropin is None:
        return f"{FOLDER}/{unit}"
    if _DROPIN.fullmatch(dropin) is None:
        raise ArgumentError(f"{dropin!r} is not the name of a drop-in", help="letters, digits, '.', '_' and '-'")
    return f"{FOLDER}/{unit}.d/{dropin.removesuffix('.conf')}.conf"


def _text(ctx: Context, contents: str | None, source: str | None, sections: Mapping[str, Data] | None) -> str:
    if sum(given is not None for given in (contents, source, sections)) != 1:
        raise ArgumentError("give one of contents, source and sections")
    if sections is not None:
        return "\n".join(_section(title, settings) for title, settings in sections.items())
    if source is not None:
        place = ctx.source(source) if source.startswith("salt://") else ctx.path(source)
        read = _read(place)
        if read is None:
            raise StateError(f"there is no file {source}")
        return read.decode("utf-8", "replace")
    text = str(reveal(contents)) if contents else ""
    return text if text.endswith("\n") else f"{text}\n"


def _section(title: str, settings: Data) -> str:
    """A section as text. Raises ArgumentError."""
    if _SECTION.fullmatch(title) is None or not isinstance(settings, Mapping):
        raise ArgumentError(f"{title!r} must be a section with a mapping of its settings")
    lines = [f"[{title}]"]
    for key, value in settings.items():
        for one in value if isinstance(value, Sequence) and not isinstance(value, str | bytes) else [value]:
            shown = ("yes" if one else "no") if isinstance(one, bool) else "" if one is None else str(reveal(one))
            if "\n" in shown or "\n" in key or "=" in key:
                raise ArgumentError(f"the setting {key} of [{title}] has a line break or '='")
            lines.append(f"{key}={shown}")
    return "".join(f"{line}\n" for line in lines)


def _file_actions(ctx: Context, unit: str, path: str, content: bytes, mode: int) -> list[Action]:
    place = ctx.path(path)
    if place.is_symlink():
        help = "service.unmasked takes a mask away" if str(place.readlink()) == "/dev/null" else "remove the link first"
        raise StateError(f"{path} is a symbolic link to {place.readlink()}", help=help)
    old = _read(place)
    deed = partial(_write, ctx, unit, place, content, mode)
    if old != content:
        diff = files.unified_diff(old, content, path)
        return [Action(Change("create" if old is None else "change", path, "content", diff=diff), deed)]
    now = place.stat().st_mode & 0o7777
    if now != mode:
        change = Change("change", path, "mode", old=files.show_mode(now), new=files.show_mode(mode))
        return [Action(change, partial(_set_mode, place, mode))]
    return []


def _enabling(ctx: Context, unit: str, enable: bool, *, written: bool) -> tuple[list[Action], tuple[str, ...]]:
    if "@." in unit:
        raise ArgumentError(f"{unit} is a template", help="enable its instances with service.enabled")
    manager = systemd(ctx)
    now = units.enabled(ctx, manager, unit) if manager.file_state(unit) else False
    if now is None and not written:
        return [], (f"{unit} is static: it has no [Install] section to enable",) if enable else ()
    return ([], ()) if bool(now) is enable else ([units.file_action(ctx, unit, "enable" if enable else "disable")], ())


def _write(ctx: Context, unit: str, place: Path, content: bytes, mode: int) -> Data:
    """Verify, write and let systemd read the file; gives what the check said."""
    said = _verify(ctx, unit, content) if place.parent.suffix != ".d" else []
    try:
        place.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
    except OSError as error:
        raise files.failure(place.parent, error, "make the directory") from error
    files.write_atomic(place, content, mode=mode)
    _reload(ctx)
    return {"verify": list(said)} if said else None


def _remove(ctx: Context, place: Path) -> None:
    try:
        place.unlink()
    except OSError as error:
        raise files.failure(place, error, "remove") from error
    _reload(ctx)


def _reload(ctx: Context) -> None:
    """Let systemd read its files again, where it runs the host."""
    if booted(ctx):
        systemd(ctx).reload_daemon()


def _set_mode(place: Path, mode: int) -> None:
    try:
        place.chmod(mode)
    except OSError as error:
        raise files.failure(place, error, "set the mode") from error


def _verify(ctx: Context, unit: str, content: bytes) -> list[str]:
    """What systemd-analyze says of the file, before it is put in place. Raises StateError when it cannot be loaded."""
    command = process.locate(ctx, "systemd-analyze")
    if command is None:
        return []
    with tempfile.TemporaryDirectory(prefix="stackmaster-") as folder:
        trial = Path(folder) / unit.replace("@.", "@verify.")
        files.write_atomic(trial, content, mode=0o600)
        done = process.run(ctx, [command, "verify", "--man=no", str(trial)], accept=None, deadline=60)
        told = ctx.scrubber.text(done.stderr).replace(f"{folder}/", "").splitlines()
    lines = [line for line in told if trial.name in line]
    faults = [line for line in lines if not any(later in line for later in _NOT_YET)]
    if done.status != 0 and faults:
        raise StateError("\n".join([f"systemd refuses {unit}:", *faults]), help="nothing was written")
    return lines


def _read(place: Path) -> bytes | None:
    try:
        return place.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise files.failure(place, error, "read") from error
