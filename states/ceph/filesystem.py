"""CephFS file systems: which there are, and the state that creates one."""

from __future__ import annotations

from dataclasses import dataclass

from protocol.data import Data
from protocol.errors import StateError
from protocol.results import Change
from states.ceph import client
from states.ceph.client import Cluster
from states.context import Context
from states.contract import Action, Plan
from states.registry import state


@dataclass(frozen=True, slots=True)
class FileSystem:
    """A file system as the cluster has it; `max_mds` is how many active metadata servers it may have (0: not asked)."""

    metadata_pool: str
    data_pools: tuple[str, ...]
    max_mds: int


@state("ceph.filesystem")
def filesystem(
    ctx: Context,
    name: str,
    *,
    metadata_pool: str,
    data_pool: str,
    max_mds: int | None = None,
    admin_key: str | None = None,
) -> Plan:
    """The CephFS file system `name` exists on these two pools (which must exist, and a new one's must be empty).

    max_mds: active metadata servers. Raises StateError, also when it exists on other pools: nothing moves it.
    """
    found = client.look(ctx, admin_key, lambda cluster: read(cluster, name, limits=max_mds is not None))
    subject = f"ceph file system {name}"

    def create() -> Data:
        there = client.connect(ctx, admin_key)
        there.tell("fs", "new", name, metadata_pool, data_pool, about=[name, metadata_pool, data_pool])
        if max_mds is not None and max_mds != 1:
            there.tell("fs", "set", name, "max_mds", str(max_mds), about=[name])
        return None

    def spread() -> Data:
        client.connect(ctx, admin_key).tell("fs", "set", name, "max_mds", str(max_mds), about=[name])
        return None

    if found is None or name not in found:
        made: Data = {"metadata_pool": metadata_pool, "data_pool": data_pool}
        return Plan([Action(Change("create", subject, new=made), create)], f"the file system {name} was created")
    there = found[name]
    if there.metadata_pool != metadata_pool or data_pool not in there.data_pools:
        raise StateError(
            f"the file system {name} is on the pools {there.metadata_pool} and {', '.join(there.data_pools)}",
            help="declare those pools, or another name: a file system cannot be moved to other pools",
        )
    if max_mds is not None and there.max_mds != max_mds:
        change = Change("change", subject, "max_mds", old=there.max_mds, new=max_mds)
        return Plan([Action(change, spread)], f"the file system {name} was made as declared")
    return Plan((), f"the file system {name} is as declared")


def read(cluster: Cluster, about: str, *, limits: bool = True) -> dict[str, FileSystem]:
    """The file systems of the cluster by name; `about` is certainly up to date; `limits`: ask for max_mds too."""
    dump = cluster.ask("fs", "dump", about=about)["filesystems"] if limits else []
    most = {row["mdsmap"]["fs_name"]: int(row["mdsmap"]["max_mds"]) for row in dump}
    return {
        row["name"]: FileSystem(row["metadata_pool"], tuple(row["data_pools"]), most.get(row["name"], 0))
        for row in cluster.ask("fs", "ls", about=about)
    }
