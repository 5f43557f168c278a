"""The metadata server of CephFS (ceph-mds): the state that gives a host one."""

from __future__ import annotations

from types import MappingProxyType
from typing import Final

from states.ceph.daemon import Daemon, plan_daemon
from states.ceph.keys import Caps
from states.context import Context
from states.contract import Plan
from states.registry import state

CAPS: Final[Caps] = MappingProxyType(
    {"mon": "allow profile mds", "mgr": "allow profile mds", "mds": "allow *", "osd": "allow *"}
)
"""What a metadata server may do (docs.ceph.com, deploying metadata servers)."""


@state("ceph.mds")
def mds(ctx: Context, name: str, *, admin_key: str | None = None) -> Plan:
    """A metadata server with the id `name` runs on this host and starts at boot; it has its key.

    admin_key: the key of client.admin, for hosts that hold no key to ask the cluster with. Raises StateError.
    """
    return plan_daemon(ctx, Daemon("mds", name), CAPS, admin_key)
