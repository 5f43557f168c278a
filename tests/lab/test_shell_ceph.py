"""The baseline makes a cluster that is whole and works, so that comparing with it means something."""

import pytest

from tests.lab.ceph_status import status
from tests.lab.conftest import MakeLab
from tests.lab.harness import Lab
from tests.lab.shell_ceph import ONE_MONITOR, deploy_by_shell, power_off_cluster, power_on_cluster


@pytest.fixture(scope="module")
def cluster(make_lab: MakeLab) -> Lab:
    lab = make_lab(ONE_MONITOR.hosts, layer="ceph")
    deploy_by_shell(lab)
    return lab


def test_the_cluster_is_whole(cluster: Lab) -> None:
    seen = status(cluster["mon1"])
    assert seen.is_whole(osds=3, mds=1)
    assert seen.checks == ()


def test_the_compute_host_writes_to_the_file_system(cluster: Lab) -> None:
    cluster["compute1"].put("/var/lib/nova/instances/disk", "kept in the cluster")
    assert cluster["compute1"].get("/var/lib/nova/instances/disk") == "kept in the cluster"
    assert "fuse.ceph-fuse" in cluster["compute1"].run(["findmnt", "/var/lib/nova/instances"]).stdout


def test_users_may_do_what_they_are_for_and_no_more(cluster: Lab) -> None:
    compute = cluster["compute1"]
    compute.run(["rbd", "--id", "cinder", "create", "volumes/disk", "--size", "64"])
    assert compute.run(["rbd", "--id", "cinder", "ls", "volumes"]).stdout == "disk\n"
    refused = compute.run(["rbd", "--id", "cinder", "create", "images/x", "--size", "1"], check=False)
    assert refused.returncode != 0
    assert "not permitted" in refused.stderr


def test_the_cluster_comes_back_from_a_snapshot(cluster: Lab) -> None:
    power_off_cluster(cluster)
    saved = cluster.snapshot()
    cluster.restore(saved)
    power_on_cluster(cluster)
    assert cluster["compute1"].get("/var/lib/nova/instances/disk") == "kept in the cluster"
