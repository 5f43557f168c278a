"""What a cluster says of itself, as plain numbers that a gate can be held against."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from protocol.data import Data


def summary(status: Mapping[str, Any]) -> dict[str, Data]:
    """The answer of `ceph status --format json` in one level of names.

    health             HEALTH_OK, HEALTH_WARN or HEALTH_ERR
    checks             health check -> its one-line summary, muted ones left out
    fsid               the cluster's id
    quorum, quorum_size, monitors    names of the monitors in quorum, how many, how many there are to be
    mgr_available, mgr_standbys      whether a manager is active, how many stand by
    osds_total, osds_up, osds_in, osds_down, osds_out
    pools, objects, bytes_used, bytes_avail, bytes_total
    pgs_total, pgs_active_clean, pgs_by_state    placement groups; active and clean ones may also be scrubbing
    degraded_objects, misplaced_objects          copies that are missing, copies in the wrong place
    filesystems_up, mds_active, mds_standby      ranks with an active metadata server; servers that stand by
    """
    health = status["health"]
    pgs = {row["state_name"]: int(row["count"]) for row in status["pgmap"].get("pgs_by_state", [])}
    quorum = [str(name) for name in status.get("quorum_names", [])]
    managers = status.get("mgrmap", {})
    return {
        "health": health["status"],
        "checks": checks(health),
        "fsid": status["fsid"],
        "quorum": quorum,
        "quorum_size": len(quorum),
        "monitors": int(status["monmap"]["num_mons"]),
        "mgr_available": bool(managers.get("available", False)),
        "mgr_standbys": int(managers.get("num_standbys", 0)),
        **_osds(status["osdmap"]),
        **_capacity(status["pgmap"]),
        "pgs_total": int(status["pgmap"]["num_pgs"]),
        "pgs_active_clean": sum(count for state, count in pgs.items() if {"active", "clean"} <= set(state.split("+"))),
        "pgs_by_state": dict(pgs),
        "degraded_objects": int(status["pgmap"].get("degraded_objects", 0)),
        "misplaced_objects": int(status["pgmap"].get("misplaced_objects", 0)),
        **_metadata_servers(status.get("fsmap", {})),
    }


def checks(health: Mapping[str, Any]) -> dict[str, Data]:
    """Health check -> its one-line summary, muted ones left out."""
    found = health.get("checks", {})
    return {code: str(check["summary"]["message"]) for code, check in found.items() if not check.get("muted", False)}


def quorum(monitor: Mapping[str, Any]) -> dict[str, Data]:
    """Who is in quorum: of `mon_status` of a monitor's socket, or of `quorum_status` of the cluster.

    quorum, quorum_size, monitors (how many there are to be), missing (names outside), leader ("" when unknown),
    state (of the monitor asked: leader, peon, probing, electing, synchronizing; "" when the cluster was asked).
    """
    names = {int(row["rank"]): str(row["name"]) for row in monitor["monmap"]["mons"]}
    inside = [names[rank] for rank in monitor["quorum"] if rank in names]
    return {
        "quorum": inside,
        "quorum_size": len(inside),
        "monitors": len(names),
        "missing": sorted(set(names.values()) - set(inside)),
        "leader": str(monitor.get("quorum_leader_name", inside[0] if inside else "")),
        "state": str(monitor.get("state", "")),
    }


def _osds(osdmap: Mapping[str, Any]) -> dict[str, Data]:
    osdmap = osdmap.get("osdmap", osdmap)  # one level deeper before Octopus
    total, up, inside = (int(osdmap[key]) for key in ("num_osds", "num_up_osds", "num_in_osds"))
    return {
        "osds_total": total,
        "osds_up": up,
        "osds_in": inside,
        "osds_down": total - up,
        "osds_out": total - inside,
    }


def _capacity(pgmap: Mapping[str, Any]) -> dict[str, Data]:
    return {
        "pools": int(pgmap.get("num_pools", 0)),
        "objects": int(pgmap.get("num_objects", 0)),
        "bytes_used": int(pgmap.get("bytes_used", 0)),
        "bytes_avail": int(pgmap.get("bytes_avail", 0)),
        "bytes_total": int(pgmap.get("bytes_total", 0)),
    }


def _metadata_servers(fsmap: Mapping[str, Any]) -> dict[str, Data]:
    active = [row for row in fsmap.get("by_rank", []) if row.get("status") == "up:active"]
    return {
        "filesystems_up": len({row.get("filesystem_id") for row in active}),
        "mds_active": len(active),
        "mds_standby": int(fsmap.get("up:standby", 0)),
    }
