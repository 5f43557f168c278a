"""Mount points: mounted now and at boot, or not."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from functools import partial
from typing import Final

from protocol.data import Data
from protocol.errors import StateError
from protocol.results import Change
from states.context import Context
from states.contract import Action, Plan
from states.host import files, mount_options, mounting, mounts
from states.host.mounting import FSTAB
from states.host.mounts import Entry, Fstab, Mount
from states.host.systemd import booted, systemd
from states.registry import state

ANSWER_DEADLINE: Final = 5.0
"""Seconds a mounted network file system has to answer; a server that died says so at once."""


def _remount_on_change(
    ctx: Context,
    name: str,
    *,
    device: str,
    fstype: str,
    opts: str | Sequence[str] = "defaults",
    config: str = FSTAB,
    persist: bool = True,
    mount: bool = True,
) -> Plan:
    """What a change of a watched state brings: a remount, or a new mount where options are read only then."""
    if not mount:
        return Plan(comment=f"{name} is not to be mounted now")
    wanted = _wanted(ctx, name, device, fstype, opts, 0, 0, config, persist)
    in_place = mount_options.remountable(fstype)
    change = Change("restart", wanted.point, "remount" if in_place else "mount", old=str(wanted), new=str(wanted))
    perform = partial(mounting.remount if in_place else mounting.mount_anew, ctx, wanted)
    return Plan([Action(change, perform)], comment=f"{wanted.point}: mounted again")


@state("mount.mounted", watch=_remount_on_change)
def mounted(
    ctx: Context,
    name: str,
    *,
    device: str,
    fstype: str,
    mkmnt: bool = False,
    opts: str | Sequence[str] = "defaults",
    dump: int = 0,
    pass_num: int = 0,
    config: str = FSTAB,
    persist: bool = True,
    mount: bool = True,
    user: str = "",
    match_on: str = "auto",
    device_name_regex: str | Sequence[str] = (),
    extra_mount_invisible_options: str | Sequence[str] = (),
    extra_mount_invisible_keys: str | Sequence[str] = (),
    extra_mount_ignore_fs_keys: Data = None,
    extra_mount_translate_options: Data = None,
    hidden_opts: str | Sequence[str] = (),
) -> Plan:
    """A file system is mounted at `name`, and is again after a boot.

    device: what is mounted: a device, UUID=…, host:/volume, or none for a FUSE helper
    fstype: the type as in fstab: ext4, nfs, fuse.ceph, glusterfs, …
    mkmnt: make the mount point if it is missing
    opts: the options, as a list or with commas
    dump: the fifth field of fstab
    pass_num: the sixth field of fstab
    config: the file that is fstab
    persist: also keep the entry in fstab; false leaves fstab alone
    mount: also mount it now; false only keeps the entry
    user: accepted for Salt's sake
    match_on: accepted for Salt's sake; entries are found by their mount point
    device_name_regex: patterns of further names that the device may show when it is mounted
    extra_mount_invisible_options: options whose change needs no new mount
    extra_mount_invisible_keys: the same for options with a value, by their key
    extra_mount_ignore_fs_keys: accepted for Salt's sake
    extra_mount_translate_options: accepted for Salt's sake
    hidden_opts: options whose change needs no new mount
    """
    wanted = _wanted(ctx, name, device, fstype, opts, dump, pass_num, config, persist)
    fstab = mounts.read_fstab(ctx, config)
    before = fstab.find(wanted.point)
    actions = _fstab_actions(ctx, wanted, fstab) if persist else []
    live = mounts.mounted_at(ctx, wanted.point)
    warnings: tuple[str, ...] = ()
    if mount and live is None:
        actions = [*_folder_actions(ctx, wanted.point, mkmnt), *actions, _mount_action(ctx, wanted)]
    elif mount and live is not None:
        other = _replace_reason(ctx, wanted, live, _texts(device_name_regex))
        silence = None if other else _silence(ctx, live)
        if silence is not None and silence.gone:
            other = f"{live.source} ({live.fstype}): {silence.reason}"
        if other:
            change = Change("change", wanted.point, "mounted", old=other, new=str(wanted))
            actions.append(Action(change, partial(mounting.mount_anew, ctx, wanted)))
        else:
            ignored = {
                *_texts(extra_mount_invisible_options),
                *_texts(extra_mount_invisible_keys),
                *_texts(hidden_opts),
            }
            more, warnings = _option_actions(ctx, wanted, live, before if persist else None, ignored)
            actions += more
            if silence is not None:
                warnings += (f"{wanted.point}: {silence.reason}",)
    return Plan(
        actions, comment=f"{wanted.point}: {wanted} is mounted" if mount else f"{config} is right", warnings=warnings
    )


@state("mount.unmounted")
def unmounted(
    ctx: Context, name: str, *, device: str = "", config: str = FSTAB, persist: bool = False, user: str = ""
) -> Plan:
    """Nothing is mounted at `name`.

    device: only if this is what is mounted there
    config: the file that is fstab
    persist: also take the entry out of fstab
    user: accepted for Salt's sake
    """
    point = mounts.check_point(name)
    here = [mount for mount in mounts.mounts(ctx) if mount.point == point]
    if device and here and not mounts.same_device(ctx, Entry(device, point, here[-1].fstype), here[-1]):
        return Plan(comment=f"{point}: {here[-1].source} is mounted, not {device}")
    actions = []
    if here:
        change = Change("remove", point, "mounted", old=f"{here[-1].source} ({here[-1].fstype})")
        actions.append(Action(change, partial(mounting.unmount, ctx, point)))
    fstab = mounts.read_fstab(ctx, config)
    if persist and fstab.find(point) is not None:
        actions.append(_fstab_action(ctx, config, point, fstab, lambda table: table.drop(point), "remove"))
    return Plan(actions, comment=f"{point}: nothing is mounted")


def _wanted(
    ctx: Context,
    name: str,
    device: str,
    fstype: str,
    opts: str | Sequence[str],
    dump: int,
    pass_num: int,
    config: str,
    persist: bool,
) -> mounting.Wanted:
    point = mounts.check_point(name)
    entry = Entry(device, point, fstype, mount_options.parse(opts), dump, pass_num)
    if any(not word or "\n" in word for word in (device, fstype, *entry.options)):
        raise StateError(f"the entry of {point} has an empty word or a line break", help="see fstab(5)")
    return mounting.Wanted(entry, config, persist and config == FSTAB and booted(ctx))


def _texts(value: str | Sequence[str]) -> list[str]:
    return [value] if isinstance(value, str) else list(value)


# --- what differs ---------------------------------------------------------------------------------------------


def _fstab_actions(ctx: Context, wanted: mounting.Wanted, fstab: Fstab) -> list[Action]:
    before, entry = fstab.find(wanted.point), wanted.entry
    if before is not None and _key(before) == _key(entry):
        return []
    kind = "create" if before is None else "change"
    return [_fstab_action(ctx, wanted.config, wanted.point, fstab, lambda table: table.put(entry), kind)]


def _key(entry: Entry) -> tuple[str, str, frozenset[str], int, int]:
    return entry.device, entry.fstype, frozenset(entry.options), entry.dump, entry.passno


def _fstab_action(
    ctx: Context, config: str, point: str, fstab: Fstab, edit: Callable[[Fstab], None], kind: str
) -> Action:
    """Edit fstab; the table on disk is read again when it is done, so that nothing of others is lost."""
    after = Fstab(list(fstab.lines))
    edit(after)
    old, new = fstab.find(point), after.find(point)
    diff = files.unified_diff(fstab.text().encode(), after.text().encode(), config)
    change = Change(
        "create" if kind == "create" else "remove" if kind == "remove" else "change",
        config,
        f"entry {point}",
        old=old.line() if old else None,
        new=new.line() if new else None,
        diff=diff,
    )

    def perform() -> None:
        table = mounts.read_fstab(ctx, config)
        edit(table)
        mounts.write_fstab(ctx, config, table)
        if config == FSTAB and booted(ctx):
            systemd(ctx).reload_daemon()

    return Action(change, perform)


def _folder_actions(ctx: Context, point: str, mkmnt: bool) -> list[Action]:
    path = ctx.path(point)
    if path.is_dir():
        return []
    if path.exists():
        raise StateError(f"{point} is not a directory, so nothing can be mounted there")
    if not mkmnt:
        if ctx.assumed():
            return []
        raise StateError(f"the mount point {point} does not exist", help="give mkmnt: True, or declare file.directory")
    change = Change("create", point, "directory", new="0755")
    return [Action(change, partial(mounting.make_folder, ctx, point))]


def _replace_reason(ctx: Context, wanted: mounting.Wanted, live: Mount, patterns: Sequence[str]) -> str:
    """What is mounted instead of what is wanted; empty when it is as wanted."""
    shown = f"{live.source} ({live.fstype})"
    known = any(re.fullmatch(pattern, live.source) for pattern in patterns)
    if not mounts.same_type(wanted.entry.fstype, live.fstype):
        return shown
    if not known and not mounts.same_device(ctx, wanted.entry, live):
        return shown
    return ""


def _silence(ctx: Context, live: Mount) -> mounts.Silence | None:
    """Why what a helper process serves does not answer; others are not asked, they may block."""
    return mounts.silence(ctx.path(live.point), ANSWER_DEADLINE) if live.fstype.startswith("fuse.") else None


def _option_actions(
    ctx: Context, wanted: mounting.Wanted, live: Mount, before: Entry | None, ignored: set[str]
) -> tuple[list[Action], tuple[str, ...]]:
    """What brings the options of what is mounted to those wanted, or a warning where that needs a new mount."""
    now = mount_options.for_kernel(wanted.entry.options, ignored)
    differing = set(mount_options.differing(sorted(now), live))
    if before is not None:
        differing |= now ^ mount_options.for_kernel(before.options, ignored)
    if not differing:
        return [], ()
    if not mount_options.remountable(live.fstype):
        told = f"{wanted.point}: {', '.join(sorted(differing))} takes effect when it is mounted again"
        return [], (told,)
    old = ",".join((*live.options, *live.super_options))
    change = Change("change", wanted.point, "options", old=old, new=",".join(wanted.entry.options))
    return [Action(change, partial(mounting.remount, ctx, wanted))], ()


def _mount_action(ctx: Context, wanted: mounting.Wanted) -> Action:
    return Action(Change("create", wanted.point, "mounted", new=str(wanted)), partial(mounting.mount, ctx, wanted))
