"""Ceph's states on real hosts: a healthy cluster, nothing to do the second time, and repair of what was damaged."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from tests.lab.apply_states import Declared, apply, call, command, settle
from tests.lab.ceph_status import status, wait_whole
from tests.lab.conftest import MakeLab
from tests.lab.harness import Host, Lab, settings
from tests.lab.harness.errors import CommandFailed
from tests.lab.harness.machine import wait_until

CONF = "/etc/ceph/ceph.conf"
ADMIN_KEYRING = "/etc/ceph/ceph.client.admin.keyring"
BOOTSTRAP_KEYRING = "/var/lib/ceph/bootstrap-osd/ceph.keyring"
NOVA_KEYRING = "/etc/ceph/ceph.client.nova.keyring"
MOUNT = "/var/lib/nova/instances"

TUNED = {
    "osd_pool_default_size": 3,
    "osd_pool_default_min_size": 2,
    "osd_pool_default_pg_num": 8,
    "osd_pool_default_pgp_num": 8,
    "osd_pool_default_pg_autoscale_mode": "off",
    "mon_data_avail_warn": 2,
    "mon_data_avail_crit": 1,
    "paxos_propose_interval": 0.1,
    "osd_memory_target": 939524096,
    "mgr_stats_period": 1,
    "mgr_tick_period": 1,
}
OSD: Declared = ("ceph.osd", "osd-a", {"size": "4G"})
POOLS: list[Declared] = [
    *(
        ("ceph.pool", name, {"pg_num": 8, "size": 3})
        for name in ("cephfs_data", "cephfs_metadata", "volumes", "images")
    ),
    ("ceph.filesystem", "cephfs", {"metadata_pool": "cephfs_metadata", "data_pool": "cephfs_data"}),
]
RBD: list[Declared] = [("ceph.pool", name, {"application": "rbd"}) for name in ("volumes", "images")]
CINDER = {"mon": "allow r", "osd": "allow class-read object_prefix rbd_children, allow rwx pool=volumes"}
NOVA = {"mon": "allow r fsname=cephfs", "mds": "allow rw fsname=cephfs", "osd": "allow rw tag cephfs data=cephfs"}
USERS: list[Declared] = [
    ("ceph.auth", "client.cinder", {"caps": CINDER}),
    ("ceph.auth", "client.nova", {"caps": NOVA}),
    ("ceph.config_set", "osd/osd_max_backfills", {"value": 2}),
]


def configuration(lab: Lab, monitors: Sequence[str], fsid: str) -> Declared:
    vectors = [f"[v2:{lab[name].address}:3300/0,v1:{lab[name].address}:6789/0]" for name in monitors]
    options = {
        "fsid": fsid,
        "mon_initial_members": list(monitors),
        "mon_host": vectors,
        "public_network": f"{settings.NETWORK}.0/24",
        "auth_allow_insecure_global_id_reclaim": False,
        **TUNED,
    }
    return "ceph.conf", CONF, {"sections": {"global": options}}


def monitor(lab: Lab, monitors: Sequence[str], name: str, keys: Mapping[str, str]) -> Declared:
    members = {each: lab[each].address for each in monitors}
    founding = {short: keys[short] for short in ("mon", "admin", "bootstrap_osd")}
    return "ceph.monitor", name, {"fsid": keys["fsid"], "members": members, "keys": founding}


def admin_keyring(keys: Mapping[str, str]) -> Declared:
    return "ceph.keyring", ADMIN_KEYRING, {"entity": "client.admin", "key": keys["admin"]}


def osd_states(keys: Mapping[str, str]) -> list[Declared]:
    keyring = {"entity": "client.bootstrap-osd", "key": keys["bootstrap_osd"], "user": "ceph", "group": "ceph"}
    return [("ceph.keyring", BOOTSTRAP_KEYRING, keyring), OSD]


def join(host: Host) -> None:
    """Give the host an identity, as `stackminion join` would."""
    host.put("/var/lib/stackmaster/minion/identity", f"of {host.name}, for this test only", mode=0o600)


class Cluster:
    """A cluster of one monitor and three OSD hosts, made by states alone."""

    def __init__(self, lab: Lab) -> None:
        self.lab = lab
        self.mon = lab["mon1"]
        self.osds = [lab["osd1"], lab["osd2"], lab["osd3"]]
        self.compute = lab["compute1"]
        join(self.mon)
        self.keys: dict[str, str] = call(self.mon, "ceph.bootstrap_keys")
        self.conf = configuration(lab, ["mon1"], self.keys["fsid"])

    def found(self) -> None:
        self.lab.each(lambda host: settle(host, [self.conf]))
        settle(self.mon, [admin_keyring(self.keys), monitor(self.lab, ["mon1"], "mon1", self.keys)])
        settle(self.mon, self.services)
        self.lab.each(lambda host: settle(host, osd_states(self.keys)), [host.name for host in self.osds])
        settle(self.mon, [*POOLS, *USERS])
        settle(self.mon, RBD)

    @property
    def services(self) -> list[Declared]:
        return [("ceph.manager", "mon1", {}), ("ceph.mds", "mon1", {})]


@pytest.fixture(scope="module")
def cluster(make_lab: MakeLab) -> Cluster:
    made = Cluster(make_lab(["mon1", "osd1", "osd2", "osd3", "compute1"], layer="ceph"))
    made.found()
    return made


def whole(cluster: Cluster) -> None:
    wait_whole(cluster.mon, osds=3, mds=1)


def test_states_alone_make_a_healthy_cluster(cluster: Cluster) -> None:
    whole(cluster)
    told = call(cluster.mon, "ceph.status")
    assert (told["health"], told["checks"], told["mgr_available"]) == ("HEALTH_OK", {}, True)
    assert (told["osds_up"], told["pgs_active_clean"]) == (3, told["pgs_total"])
    assert call(cluster.mon, "ceph.quorum")["quorum"] == ["mon1"]
    assert call(cluster.mon, "ceph.bootstrap_keys") == cluster.keys


def test_a_compute_host_mounts_the_file_system_with_its_own_key(cluster: Cluster) -> None:
    whole(cluster)
    key = call(cluster.mon, "ceph.keyring_get", entities=["nova"])["nova"]
    mount = {"device": "none", "fstype": "fuse.ceph", "opts": "ceph.id=nova,_netdev,defaults", "mkmnt": True}
    keyring: Declared = ("ceph.keyring", NOVA_KEYRING, {"entity": "client.nova", "key": key})
    settle(cluster.compute, [keyring])
    settle(cluster.compute, [("mount.mounted", MOUNT, mount)])
    cluster.compute.put(f"{MOUNT}/disk", "kept in the cluster")
    assert "fuse.ceph-fuse" in cluster.compute.run(["findmnt", MOUNT]).stdout
    assert key not in cluster.compute.run(["sh", "-c", "cat /proc/*/cmdline"], check=False).stdout


def test_stopped_and_disabled_osds_are_started_and_nothing_else_is_changed(cluster: Cluster) -> None:
    host = cluster.osds[0]
    host.shell("systemctl disable -q --now $(basename /etc/systemd/system/ceph-osd.target.wants/ceph-osd@*)")
    mended = settle(host, osd_states(cluster.keys))
    assert [aspect for _, _, aspect in mended.changes] == ["enabled", "running"]
    whole(cluster)


def test_drift_is_repaired_and_only_drift_is_told(cluster: Cluster) -> None:
    cluster.mon.shell(
        "ceph auth caps client.cinder mon 'allow r'; ceph osd pool set volumes size 2;"
        "ceph osd pool application disable images rbd --yes-i-really-mean-it;"
        "ceph config set osd osd_max_backfills 7; chmod 644 /etc/ceph/ceph.client.admin.keyring;"
        "echo 'mon_allow_pool_delete = true' >> /etc/ceph/ceph.conf; rm /var/lib/ceph/mds/ceph-mon1/keyring"
    )
    everything = [cluster.conf, admin_keyring(cluster.keys), *cluster.services, *POOLS, *USERS, *RBD]
    mended = settle(cluster.mon, everything)
    assert set(mended.changes) == {
        ("change", CONF, "content"),
        ("change", ADMIN_KEYRING, "mode"),
        ("create", "/var/lib/ceph/mds/ceph-mon1/keyring", "content"),
        ("restart", "unit ceph-mds@mon1.service", "running"),
        ("change", "ceph pool volumes", "size"),
        ("change", "ceph user client.cinder", "caps"),
        ("change", "ceph option osd/osd_max_backfills", "value"),
        ("change", "ceph pool images", "application"),
    }
    whole(cluster)


def test_an_osd_whose_making_is_killed_is_made_by_the_next_run_without_a_leftover(cluster: Cluster) -> None:
    host = cluster.osds[1]
    another: Declared = ("ceph.osd", "osd-b", {"size": "4G"})
    argv, job = command(host, [another])
    process = host.start(argv)
    assert process.stdin is not None
    process.stdin.write(job)
    process.stdin.close()
    wait_until(lambda: "--mkfs" in _commands(host), 30, "the store being made")
    host.run(["pkill", "-KILL", "-f", "python3 -I -c"])
    host.run(["pkill", "-KILL", "-f", "ceph-osd --mkfs"], check=False)
    process.wait(30)
    if process.stdout is not None:
        process.stdout.close()
    settle(host, [another])
    wait_whole(cluster.mon, osds=4, mds=1)
    assert json.loads(cluster.mon.run(["ceph", "osd", "ls", "--format=json"]).stdout) == [0, 1, 2, 3]
    assert host.shell("ls -A /var/lib/ceph/osd | grep -c '^[.]' || true").strip() == "0"


def test_nothing_is_left_readable_that_holds_a_key(cluster: Cluster) -> None:
    for host in cluster.lab:
        found = host.shell(
            r"grep -rlE 'AQ[A-Za-z0-9+/]{36}==' /etc/ceph /run /tmp /var/lib/ceph /var/lib/stackmaster /var/log"
            r" --exclude-dir=store.db --exclude=block 2>/dev/null | xargs -r stat -c '%a %n' | grep -v '^600' || true"
        )
        assert found == "", host.name


@pytest.fixture(scope="module")
def trio(make_lab: MakeLab) -> Lab:
    return make_lab(["node1", "node2", "node3"], layer="ceph")


def test_three_monitors_found_one_cluster_and_a_lost_one_joins_again(trio: Lab) -> None:
    nodes = ["node1", "node2", "node3"]
    members = {name: trio[name].address for name in nodes}
    join(trio["node1"])
    keys = call(trio["node1"], "ceph.bootstrap_keys", monitors=members)

    def found(host: Host) -> Any:
        states = [configuration(trio, nodes, keys["fsid"]), admin_keyring(keys), monitor(trio, nodes, host.name, keys)]
        return apply(host, states)

    assert all(made.good for made in trio.each(found).values())
    wait_until(lambda: call(trio["node1"], "ceph.quorum")["quorum_size"] == 3, 60, "three monitors in quorum")
    lost = trio["node3"]
    lost.shell("systemctl stop ceph-mon@node3; rm -r /var/lib/ceph/mon/ceph-node3")
    wait_until(lambda: call(trio["node1"], "ceph.quorum")["missing"] == ["node3"], 60, "a monitor missing")
    assert ("create", "/var/lib/ceph/mon/ceph-node3", "monitor store") in found(lost).changes
    wait_until(lambda: call(trio["node1"], "ceph.quorum")["quorum_size"] == 3, 60, "the lost monitor back")
    assert status(trio["node1"]).health in ("HEALTH_OK", "HEALTH_WARN")


def test_a_host_that_lost_everything_does_not_begin_a_second_cluster(trio: Lab) -> None:
    members = {name: trio[name].address for name in ("node1", "node2", "node3")}
    first = trio["node1"]
    first.shell("systemctl stop ceph-mon@node1; rm -r /var/lib/ceph/mon/ceph-node1 /etc/ceph/ceph.*")
    with pytest.raises(CommandFailed, match="would make a second cluster"):
        call(first, "ceph.bootstrap_keys", monitors=members)


def _commands(host: Host) -> str:
    return host.run(["sh", "-c", "cat /proc/[0-9]*/cmdline | tr '\\0' ' '"], check=False).stdout
