"""Who a local user is to the master: nobody, a reader, an operator or an administrator."""

from __future__ import annotations

import grp
import os
import pwd
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from protocol.errors import RefusedError

Access = Literal["read", "operate", "admin"]
RANK: Mapping[str, int] = {"": 0, "read": 1, "operate": 2, "admin": 3}


@dataclass(frozen=True, slots=True)
class Caller:
    """Who makes a call: a local user (by the socket's peer credentials) and what he may do."""

    user: str
    role: str

    def require(self, access: Access, call: str) -> None:
        """Raises RefusedError when the caller may not do this."""
        if RANK[self.role] < RANK[access]:
            role = self.role or "nothing here"
            raise RefusedError(
                f"{self.user} may not call {call}: it needs the role {access}, {self.user} has {role}",
                help="an administrator can give a role with 'roles' in master.yaml",
            )


def caller(uid: int, gid: int, socket_gid: int, roles: Mapping[str, str]) -> Caller:
    """The caller with these credentials.

    Root and the master's own user are admin. Others have the best of the roles given to them and their groups
    (`%group`); members of the socket's group, to whom none is given, are operators.
    """
    try:
        name = pwd.getpwuid(uid).pw_name
    except KeyError:
        name = str(uid)
    if uid in (0, os.geteuid()):
        return Caller(name, "admin")
    gids = _groups(name, gid)
    given = [roles[key] for key in (name, *(f"%{_group_name(each)}" for each in gids)) if key in roles]
    if not given and socket_gid in gids:
        return Caller(name, "operate")
    return Caller(name, max(given, key=RANK.__getitem__, default=""))


def _groups(name: str, gid: int) -> list[int]:
    try:
        return os.getgrouplist(name, gid)
    except OSError:
        return [gid]


def _group_name(gid: int) -> str:
    try:
        return grp.getgrgid(gid).gr_name
    except KeyError:
        return str(gid)
