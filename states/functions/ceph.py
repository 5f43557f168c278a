"""Questions about a Ceph cluster: its health and quorum as numbers for gates, and its keys for later steps."""

from __future__ import annotations

import errno
from collections.abc import Mapping, Sequence

from protocol.data import Data
from protocol.errors import ArgumentError, StateError
from protocol.secrets import Secret
from states.ceph import asok, auth, client, founding, keys
from states.ceph import status as reading
from states.ceph.client import CephError
from states.ceph.monitor import address_vector
from states.context import Context
from states.registry import function

_PATIENCE = 10.0


@function("ceph.status", access="reads")
def status(ctx: Context, timeout: float = _PATIENCE) -> Data:
    """What the cluster says of itself, as numbers on one level; `timeout` in seconds for a monitor to answer.

    health, checks, fsid, quorum, quorum_size, monitors, mgr_available, mgr_standbys, osds_total, osds_up, osds_in,
    osds_down, osds_out, pools, objects, bytes_used, bytes_avail, bytes_total, pgs_total, pgs_active_clean,
    pgs_by_state, degraded_objects, misplaced_objects, filesystems_up, mds_active, mds_standby. Raises StateError.
    """
    return reading.summary(client.connect(ctx, timeout=timeout).ask("status"))


@function("ceph.health", access="reads")
def health(ctx: Context, timeout: float = _PATIENCE) -> Data:
    """health (HEALTH_OK, HEALTH_WARN, HEALTH_ERR) and checks (code -> summary, without muted). Raises StateError."""
    found = client.connect(ctx, timeout=timeout).ask("health")
    return {"health": found["status"], "checks": reading.checks(found)}


@function("ceph.quorum", access="reads")
def quorum(ctx: Context, timeout: float = _PATIENCE) -> Data:
    """quorum (names), quorum_size, monitors (how many there are to be), missing, leader, state. Raises StateError.

    On a monitor's host its own socket is asked, which answers also while there is no quorum.
    """
    said = asok.own_monitor(ctx)
    return reading.quorum(said if said is not None else client.connect(ctx, timeout=timeout).ask("quorum_status"))


@function("ceph.ok_to_stop", access="reads")
def ok_to_stop(ctx: Context, osds: Sequence[int | str], timeout: float = _PATIENCE) -> Data:
    """Whether all of `osds` (numbers) can stop together and every placement group still serve.

    ok, and reason (what the cluster says when it is not). Raises ArgumentError, StateError.
    """
    numbers = [str(number).removeprefix("osd.") for number in osds]
    if not numbers or not all(number.isdigit() for number in numbers):
        raise ArgumentError("ceph.ok_to_stop needs the numbers of OSDs", help="like osds=0,3")
    try:
        client.connect(ctx, timeout=timeout).tell("osd", "ok-to-stop", *numbers, about=[])
    except CephError as error:
        if error.errno in (errno.EBUSY, errno.EAGAIN):
            return {"ok": False, "reason": error.message}
        raise
    return {"ok": True, "reason": ""}


@function("ceph.keyring_get", access="reads", secret=True)
def keyring_get(ctx: Context, entities: Sequence[str]) -> Data:
    """The keys of `entities` (`client.nova`, or `nova` for short): name without `client.` -> key.

    Raises StateError when the cluster lacks one of them.
    """
    cluster = client.connect(ctx)
    found: dict[str, Data] = {}
    for given in entities:
        entity = given if "." in given else f"client.{given}"
        entry = auth.read(cluster, keys.check_entity(entity))
        if entry is None:
            raise StateError(f"the cluster has no {entity}", help="declare it with ceph.auth")
        found[entity.removeprefix("client.")] = entry.key
    return found


@function("ceph.bootstrap_keys", access="reads", secret=True)
def bootstrap_keys(ctx: Context, fsid: str | None = None, monitors: Mapping[str, str] | None = None) -> Data:
    """`fsid` and the keys that a cluster begins with: `mon`, `admin`, `bootstrap_osd`. For the first monitor's host.

    Those of a cluster that exists are found; those of a new one follow from this host's own identity, so that every
    call gives the same. fsid: the one a new cluster shall have. monitors: id -> address of all; if one answers that
    this host has no keys of, it is refused. Raises ArgumentError, StateError, RefusedError.
    """
    for member, address in (monitors or {}).items():
        address_vector(member, str(address))
    found = founding.obtain(ctx, fsid, monitors or {})
    return {name: value if name == "fsid" else Secret(value) for name, value in found.items()}
