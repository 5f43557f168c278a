"""The lab's Ceph layouts as pillar of the formula."""

from __future__ import annotations

from typing import Any

from tests.lab.harness import Lab, settings

ONE_MONITOR_HOSTS = ("mon1", "osd1", "osd2", "osd3", "compute1")
THREE_MONITOR_HOSTS = ("node1", "node2", "node3", "compute1")

_FAST = {
    "osd_pool_default_size": 3,
    "osd_pool_default_min_size": 2,
    "osd_pool_default_pg_num": 8,
    "osd_pool_default_pgp_num": 8,
    "osd_crush_chooseleaf_type": 1,
    "mon_data_avail_warn": 2,
    "mon_data_avail_crit": 1,
    "mon_allow_pool_delete": "true",
    "osd_pool_default_pg_autoscale_mode": "off",
    "paxos_propose_interval": 0.1,
    "mon_osd_adjust_heartbeat_grace": "false",
    "mon_osd_down_out_interval": 30,
    "osd_heartbeat_interval": 1,
    "osd_heartbeat_grace": 6,
    "osd_memory_target": 939524096,
    "osd_mon_heartbeat_interval": 5,
    "osd_mon_report_interval": 1,
    "mgr_stats_period": 1,
    "mgr_tick_period": 1,
}
"""What makes a cluster in a lab form and heal in seconds."""


def _pillar(lab: Lab, monitors: tuple[str, ...], osds: tuple[str, ...], computes: tuple[str, ...]) -> dict[str, Any]:
    return {
        "ceph": {
            "public_network": f"{settings.NETWORK}.0/24",
            "repo": {"name": "deb [trusted=yes] file:/repo ./", "file": "/etc/apt/sources.list.d/ceph.list"},
            "monitors": {name: lab[name].address for name in monitors},
            "managers": list(monitors),
            "mds": list(monitors),
            "osds": {name: {"osd-a": {"size": "4G"}} for name in osds},
            "admins": list(monitors[:1]),
            "clients": {name: {"user": "nova", "mount": "/var/lib/nova/instances"} for name in computes},
            "conf": {"global": _FAST},
        }
    }


def one_monitor_pillar(lab: Lab) -> dict[str, Any]:
    """One monitor host, three OSD hosts, one compute host."""
    return _pillar(lab, ("mon1",), ("osd1", "osd2", "osd3"), ("compute1",))


def three_monitor_pillar(lab: Lab) -> dict[str, Any]:
    """Three hosts with monitor, manager, metadata server and OSD each, one compute host."""
    nodes = ("node1", "node2", "node3")
    return _pillar(lab, nodes, nodes, ("compute1",))
