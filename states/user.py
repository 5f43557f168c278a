"""Users: the family `user`."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from protocol.data import Data
from protocol.errors import ArgumentError, StateError, Where
from protocol.results import Change
from protocol.secrets import Secret
from states.context import Context
from states.contract import Action, Plan
from states.host import shadow
from states.host.accounts import User, find_user, gid_of, groups, memberships, password_hash, users
from states.host.attributes import Wanted
from states.host.files import NOT_SHOWN
from states.host.folders import make_folder, parents
from states.registry import state

_HOME_MODE = 0o700
"""Permissions of a home that is made for a user who is there: as useradd's own on Debian 12."""


@dataclass(frozen=True, slots=True)
class _Wish:
    """What is wanted of a user; None and "" leave it."""

    name: str
    uid: int | None
    gid: int | None
    gecos: str | None
    home: str
    shell: str
    groups: frozenset[str] | None
    remove_groups: bool
    unique: bool

    @property
    def subject(self) -> str:
        return f"user {self.name}"


@state("user.present")
def present(
    ctx: Context,
    name: str,
    *,
    uid: int | None = None,
    gid: int | str | None = None,
    gid_from_name: bool = False,
    usergroup: bool | None = None,
    groups: list[str] | None = None,
    optional_groups: list[str] | None = None,
    remove_groups: bool = True,
    home: str = "",
    createhome: bool = True,
    shell: str = "",
    fullname: str | None = None,
    roomnumber: str | None = None,
    workphone: str | None = None,
    homephone: str | None = None,
    other: str | None = None,
    password: str | None = None,
    enforce_password: bool = True,
    empty_password: bool = False,
    password_lock: bool | None = None,
    system: bool = False,
    unique: bool = True,
    allow_uid_change: bool = False,
    allow_gid_change: bool = False,
) -> Plan:
    """See to it that the user `name` is there, as described; what is not given is left as it is.

    uid: the user's number
    gid: the primary group, a number or a name
    gid_from_name: the primary group is the one of the user's own name
    usergroup: make (or do not make) a group of the same name for a new user
    groups: further groups, which must be there
    optional_groups: further groups, where they are there
    remove_groups: take the user out of groups that are not named
    home, shell: absolute paths
    createhome: make the home directory of a new user, or the one that `home` names when it is not there
    fullname, roomnumber, workphone, homephone, other: the parts of the comment field
    password: the hash as in shadow(5); it is never shown
    enforce_password: False sets the password only where there is none
    empty_password: nobody is asked for a password
    password_lock: lock or unlock the password
    system: a new user gets a number of the range for the system
    unique: False lets the number be that of another user
    allow_uid_change, allow_gid_change: let the number of an existing user or his primary group be changed
    """
    shadow.check_name("user", name)
    now = find_user(ctx, name)
    wish = _Wish(
        name,
        uid,
        _primary(ctx, name, gid, gid_from_name),
        _gecos(name, now, (fullname, roomnumber, workphone, homephone, other)),
        _path(name, "home", home),
        _path(name, "shell", shell),
        _further(ctx, name, groups, optional_groups),
        remove_groups,
        unique,
    )
    _check_uid(ctx, wish, now, allow_uid_change)
    if now is None:
        actions = [_creation(ctx, wish, system, createhome, usergroup), *(_new_home(ctx, wish) if createhome else [])]
    else:
        if wish.gid is not None and wish.gid != now.gid and not allow_gid_change:
            raise StateError(
                f"the primary group stays: {now.gid}, not {wish.gid}",
                where=Where(wish.subject),
                help="set allow_gid_change: True, and see to the files of the old one",
            )
        actions = [*_differences(ctx, wish, now), *(_home(ctx, wish, now) if createhome and home else [])]
    actions += _password(ctx, wish, now, password, enforce_password, empty_password, password_lock)
    return Plan(actions, f"User {name} updated" if actions else f"User {name} is present and up to date")


@state("user.absent")
def absent(ctx: Context, name: str, *, purge: bool = False, force: bool = False) -> Plan:
    """See to it that there is no user `name`.

    purge: remove his home directory and mail too
    force: remove him while he is logged in, and files that are not his
    """
    shadow.check_name("user", name)
    now = users(ctx.root).get(name)
    if now is None:
        return Plan(comment=f"User {name} is not present")
    if now.uid == 0:
        raise StateError("the administrator is not removed", where=Where(f"user {name}"), help="name another user")
    options = [*(["--remove"] if purge else []), *(["--force"] if force else [])]
    change = Change("remove", f"user {name}", "account", {"uid": now.uid, "home": now.home if purge else None})
    return Plan([Action(change, lambda: shadow.userdel(ctx, name, options))], f"Removed user {name}")


def _creation(ctx: Context, wish: _Wish, system: bool, createhome: bool, usergroup: bool | None) -> Action:
    options = ["--system"] if system else []
    options += ["--create-home"] if createhome else ["--no-create-home"]
    options += ["--uid", str(wish.uid)] if wish.uid is not None else []
    options += ["--non-unique"] if not wish.unique else []
    if wish.gid is not None:
        options += ["--gid", str(wish.gid)]
    elif wish.name in groups(ctx.root) and usergroup is not False:
        options += ["--gid", wish.name]  # useradd refuses to make a group that is there
    elif usergroup is not None:
        options += ["--user-group" if usergroup else "--no-user-group"]
    options += ["--comment", wish.gecos] if wish.gecos is not None else []
    options += ["--home-dir", wish.home] if wish.home else []
    options += ["--shell", wish.shell] if wish.shell else []
    options += ["--groups", ",".join(sorted(wish.groups))] if wish.groups else []
    told: dict[str, Data] = {"uid": wish.uid, "gid": wish.gid, "home": wish.home, "shell": wish.shell}
    told |= {"fullname": wish.gecos, "groups": sorted(wish.groups or [])}
    new = {key: value for key, value in told.items() if value}
    return Action(Change("create", wish.subject, "account", new=new), lambda: shadow.useradd(ctx, wish.name, options))


def _new_home(ctx: Context, wish: _Wish) -> list[Action]:
    """The home of a new user, which useradd makes with the account: told, because later steps build on it."""
    home = wish.home
    if not home:
        try:
            defaults = ctx.path("/etc/default/useradd").read_text("utf-8", "replace")
        except OSError:
            defaults = ""
        base = re.search(r"^HOME=(/\S*)", defaults, re.MULTILINE)
        home = f"{base.group(1).rstrip('/') if base else '/home'}/{wish.name}"
    if ctx.path(home).is_dir():
        return []
    return [Action(Change("create", home, "directory", new={"user": wish.name}), lambda: None)]


def _differences(ctx: Context, wish: _Wish, now: User) -> list[Action]:
    found: list[tuple[str, Data, Data, list[str]]] = []
    if wish.uid is not None and wish.uid != now.uid:
        more = [] if wish.unique else ["--non-unique"]
        found.append(("uid", now.uid, wish.uid, ["--uid", str(wish.uid), *more]))
    if wish.gid is not None and wish.gid != now.gid:
        found.append(("gid", now.gid, wish.gid, ["--gid", str(wish.gid)]))
    if wish.home and wish.home != now.home:
        found.append(("home", now.home, wish.home, ["--home", wish.home]))
    if wish.shell and wish.shell != now.shell:
        found.append(("shell", now.shell, wish.shell, ["--shell", wish.shell]))
    if wish.gecos is not None and wish.gecos != now.gecos:
        found.append(("fullname", now.gecos, wish.gecos, ["--comment", wish.gecos]))
    have = memberships(groups(ctx.root), wish.name)
    if wish.groups is not None:
        kept = set() if wish.remove_groups else have
        primary = {group.name for group in groups(ctx.root).values() if group.gid in (wish.gid, now.gid)}
        wanted = (wish.groups - (primary - have)) | kept
        if wanted != have:
            found.append(("groups", sorted(have), sorted(wanted), ["--groups", ",".join(sorted(wanted))]))
    return [_change(ctx, wish, *each) for each in found]


def _change(ctx: Context, wish: _Wish, aspect: str, old: Data, new: Data, options: Sequence[str]) -> Action:
    change = Change("change", wish.subject, aspect, old, new)
    return Action(change, lambda: shadow.usermod(ctx, wish.name, options))


def _home(ctx: Context, wish: _Wish, now: User) -> list[Action]:
    """The actions that make the missing home of a user who is there."""
    home = wish.home or now.home
    if not home.startswith("/") or ctx.path(home).is_dir():
        return []
    uid, gid = wish.uid if wish.uid is not None else now.uid, wish.gid if wish.gid is not None else now.gid
    want = Wanted(wish.name, str(gid), uid, gid, _HOME_MODE)
    made = Action(Change("create", home, "directory", new=want.told()), lambda: make_folder(ctx.path(home), want))
    return [*parents(ctx, home, make=True, want=Wanted()), made]


def _password(
    ctx: Context,
    wish: _Wish,
    now: User | None,
    password: str | None,
    enforce: bool,
    empty: bool,
    lock: bool | None,
) -> list[Action]:
    """The action that changes the user's field in shadow, which is never shown."""
    if password is not None and empty:
        raise ArgumentError("password and empty_password exclude each other", where=Where(wish.subject))
    old = password_hash(ctx.root, wish.name) if now is not None else None
    have = old.reveal() if old is not None else "!"
    new = (have.lstrip("!") or have) if lock is False else have  # without the lock; no password stays none
    if empty:
        new = ""
    elif password is not None and (enforce or have in ("", "!", "!!", "*", "!*")):
        new = Secret(password).reveal()
        shadow.check_field(wish.name, "password", new)
    if lock:
        new = "!" + new.lstrip("!")
    if new == have:
        return []
    change = Change("change", wish.subject, "password", NOT_SHOWN, NOT_SHOWN)
    return [Action(change, lambda: shadow.set_password(ctx, wish.name, new))]


def _primary(ctx: Context, name: str, gid: int | str | None, gid_from_name: bool) -> int | None:
    if gid_from_name and gid is not None:
        raise ArgumentError("gid and gid_from_name exclude each other", where=Where(f"user {name}"))
    wanted = name if gid_from_name else gid
    return None if wanted is None else gid_of(ctx, str(wanted))


def _gecos(name: str, now: User | None, given: Sequence[str | None]) -> str | None:
    """The comment field with the given parts in their places (chfn(1)); None when none is given."""
    if all(part is None for part in given):
        return None
    for part in given:
        shadow.check_field(name, "fullname", part or "")
        if "," in (part or "") and part is not given[-1]:
            raise ArgumentError("a part of the comment field must not hold ','", where=Where(f"user {name}"))
    have = now.gecos if now is not None else ""
    parts = have.split(",", 4)
    parts += [""] * (5 - len(parts))
    merged = [part if wanted is None else wanted for part, wanted in zip(parts, given, strict=True)]
    wanted_field = ",".join(merged).rstrip(",")
    return have if wanted_field == have.rstrip(",") else wanted_field


def _path(name: str, what: str, path: str) -> str:
    shadow.check_field(name, what, path)
    if path and not path.startswith("/"):
        raise ArgumentError(f"{what} {path!r} is not an absolute path", where=Where(f"user {name}"))
    return path


def _further(
    ctx: Context, name: str, wanted: Sequence[str] | None, optional: Sequence[str] | None
) -> frozenset[str] | None:
    """The further groups of the user; None when nothing is said of them. Raises StateError for one that is missing."""
    if wanted is None and optional is None:
        return None
    known = groups(ctx.root).keys()
    missing = [group for group in wanted or [] if group not in known]
    if missing and not ctx.assumed():
        raise StateError(
            f"there is no group {missing[0]!r}",
            where=Where(f"user {name}"),
            help="declare it with group.present, or name it in optional_groups",
        )
    return frozenset([*(wanted or []), *(group for group in optional or [] if group in known)])


def _check_uid(ctx: Context, wish: _Wish, now: User | None, allowed: bool) -> None:
    if wish.uid is None:
        return
    if now is not None and now.uid != wish.uid and not allowed:
        raise StateError(
            f"the uid stays: {now.uid}, not {wish.uid}",
            where=Where(wish.subject),
            help="set allow_uid_change: True, and see to the files of the old one",
        )
    taken = [user.name for user in users(ctx.root).values() if user.uid == wish.uid and user.name != wish.name]
    if taken and wish.unique and not ctx.assumed():
        raise StateError(
            f"the uid {wish.uid} is that of the user {taken[0]}",
            where=Where(wish.subject),
            help="choose another, or set unique: False",
        )
