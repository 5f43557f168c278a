"""Who has an account on a minion."""

from __future__ import annotations

from protocol.data import Data
from states.context import Context
from states.host.accounts import find_user, groups, memberships, users
from states.registry import function


@function("user.info", access="reads")
def info(ctx: Context, name: str) -> Data:
    """name, uid, gid, fullname, home, shell, groups of the user; empty when there is none."""
    found = find_user(ctx, name)
    if found is None:
        return {}
    known = groups(ctx.root)
    primary = {group.name for group in known.values() if group.gid == found.gid}
    return {
        "name": found.name,
        "uid": found.uid,
        "gid": found.gid,
        "fullname": found.gecos.split(",")[0],
        "home": found.home,
        "shell": found.shell,
        "groups": sorted(memberships(known, name) | primary),
    }


def _list(ctx: Context) -> Data:
    """The names of all users in /etc/passwd, sorted."""
    return sorted(users(ctx.root))


for _name in ("user.list", "user.list_users"):
    function(_name, access="reads")(_list)
