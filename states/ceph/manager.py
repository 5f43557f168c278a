"""The manager daemon (ceph-mgr): the state that gives a host one."""

from __future__ import annotations

from types import MappingProxyType
from typing import Final

from states.ceph.daemon import Daemon, plan_daemon
from states.ceph.keys import Caps
from states.context import Context
from states.contract import Plan
from states.registry import state

CAPS: Final[Caps] = MappingProxyType({"mon": "allow profile mgr", "osd": "allow *", "mds": "allow *"})
"""What a manager may do (docs.ceph.com, ceph-mgr administrator's guide)."""


@state("ceph.manager")
def manager(ctx: Context, name: str, *, admin_key: str | None = None) -> Plan:
    """A manager daemon with the id `name` runs on this host and starts at boot; it has its key.

    admin_key: the key of client.admin, for hosts that hold no key to ask the cluster with. Raises StateError.
    """
    return plan_daemon(ctx, Daemon("mgr", name), CAPS, admin_key)
