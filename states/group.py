"""Groups: the family `group`."""

from __future__ import annotations

from collections.abc import Sequence

from protocol.data import Data
from protocol.errors import ArgumentError, StateError, Where
from protocol.results import Change
from states.context import Context
from states.contract import Action, Plan
from states.host import shadow
from states.host.accounts import Group, groups, users
from states.registry import state


@state("group.present")
def present(
    ctx: Context,
    name: str,
    *,
    gid: int | None = None,
    system: bool = False,
    addusers: list[str] | None = None,
    delusers: list[str] | None = None,
    members: list[str] | None = None,
    non_unique: bool = False,
) -> Plan:
    """See to it that the group `name` is there.

    gid: its number
    system: a new group gets a number of the range for the system
    addusers, delusers: users who are, and are not, its members; others stay
    members: all its members
    non_unique: another group may have the same number
    """
    shadow.check_name("group", name)
    if members is not None and (addusers or delusers):
        raise ArgumentError("members excludes addusers and delusers", where=Where(f"group {name}"))
    both = set(addusers or []) & set(delusers or [])
    if both:
        raise ArgumentError(f"{sorted(both)[0]!r} is both in addusers and delusers", where=Where(f"group {name}"))
    subject = f"group {name}"
    now = groups(ctx.root).get(name)
    actions = []
    if now is None:
        _check_gid(ctx, name, gid, non_unique)
        options = [*(["--gid", str(gid)] if gid is not None else []), *(["--system"] if system else [])]
        options += ["--non-unique"] if non_unique else []
        change = Change("create", subject, "account", new={} if gid is None else {"gid": gid})
        actions.append(Action(change, lambda: shadow.groupadd(ctx, name, options)))
    elif gid is not None and now.gid != gid:
        _check_gid(ctx, name, gid, non_unique)
        options = ["--gid", str(gid), *(["--non-unique"] if non_unique else [])]
        change = Change("change", subject, "gid", now.gid, gid)
        actions.append(Action(change, lambda: shadow.groupmod(ctx, name, options)))
    actions += _membership(ctx, name, now, addusers, delusers, members)
    return Plan(actions, f"Group {name} updated" if actions else f"Group {name} is present and up to date")


@state("group.absent")
def absent(ctx: Context, name: str) -> Plan:
    """See to it that there is no group `name`."""
    shadow.check_name("group", name)
    now = groups(ctx.root).get(name)
    if now is None:
        return Plan(comment=f"Group {name} is not present")
    primary = [user.name for user in users(ctx.root).values() if user.gid == now.gid]
    if primary and not ctx.assumed():
        raise StateError(
            f"it is the primary group of {primary[0]}",
            where=Where(f"group {name}"),
            help="remove the user, or give him another group, first",
        )
    change = Change("remove", f"group {name}", "account", {"gid": now.gid})
    return Plan([Action(change, lambda: shadow.groupdel(ctx, name))], f"Removed group {name}")


def _check_gid(ctx: Context, name: str, gid: int | None, non_unique: bool) -> None:
    taken = [group.name for group in groups(ctx.root).values() if group.gid == gid and group.name != name]
    if taken and not non_unique and not ctx.assumed():
        raise StateError(
            f"the gid {gid} is that of the group {taken[0]}",
            where=Where(f"group {name}"),
            help="choose another, or set non_unique: True",
        )


def _membership(
    ctx: Context,
    name: str,
    now: Group | None,
    addusers: Sequence[str] | None,
    delusers: Sequence[str] | None,
    members: Sequence[str] | None,
) -> list[Action]:
    have = set(now.members) if now is not None else set()
    wanted = set(members) if members is not None else (have | set(addusers or [])) - set(delusers or [])
    if wanted == have:
        return []
    unknown = sorted(wanted - have - users(ctx.root).keys())
    if unknown and not ctx.assumed():
        raise StateError(
            f"there is no user {unknown[0]!r}", where=Where(f"group {name}"), help="declare it with user.present"
        )
    old: Data = sorted(have)
    change = Change("change", f"group {name}", "members", old, sorted(wanted))
    return [Action(change, lambda: shadow.set_members(ctx, name, wanted))]
