"""The main job: one `stackmaster run ceph.deploy` turns bare hosts into a healthy Ceph that Nova can mount."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from tests.lab import leaks
from tests.lab.ceph_site import ONE_MONITOR_HOSTS, THREE_MONITOR_HOSTS, one_monitor_pillar, three_monitor_pillar
from tests.lab.ceph_status import status, wait_whole
from tests.lab.harness import Host, Lab
from tests.lab.harness.machine import wait_until
from tests.lab.outcome import told, touched
from tests.lab.site import LabSite

INSTANCES = "/var/lib/nova/instances"


@dataclass
class Story:
    """The first run on bare hosts: what the dry run foretold before it and what it then told."""

    site: LabSite
    foretold: Any
    made: Any
    processes: leaks.ProcessList


def deploy(site: LabSite) -> Any:
    """`stackmaster run ceph.deploy`, which must succeed; its JSON."""
    return site.json("run", "ceph.deploy")


def untouched(lab: Lab, folders: str = "/etc /var/lib/ceph /var/lib/nova") -> dict[str, str]:
    """A digest of the files in `folders` on each host; below /var/lib/ceph they are at rest on bare hosts only."""
    script = f"find {folders} -xdev -type f -printf '%p %s %T@ %m\\n' 2>/dev/null | sort | sha256sum"
    return lab.each(lambda host: host.shell(script, check=False))


@pytest.fixture(scope="module")
def story() -> Iterator[Story]:
    """One monitor host, three OSD hosts, one compute host: dry run, then the real one."""
    with (
        Lab(ONE_MONITOR_HOSTS, apt_source=False) as lab,
        LabSite(lab, one_monitor_pillar(lab)) as site,
        leaks.ProcessList() as processes,
    ):
        before = untouched(lab)
        foretold = site.json("run", "ceph.deploy", "--dry-run")
        assert untouched(lab) == before, "the dry run touched a host"
        yield Story(site, foretold, deploy(site), processes)


def test_the_cluster_is_healthy(story: Story) -> None:
    found = status(story.site.lab["mon1"])
    assert found.is_whole(osds=3, mds=1), found


def test_the_dry_run_on_bare_hosts_listed_what_the_run_did(story: Story) -> None:
    foretold, made = told(story.foretold), told(story.made)
    unforeseen = made - foretold
    undone = foretold - made
    assert not unforeseen, f"done but not foretold: {sorted(unforeseen)}"
    assert not undone, f"foretold but not done: {sorted(undone)}"


def test_a_file_written_on_compute_is_read_on_another_host(story: Story) -> None:
    lab = story.site.lab
    assert lab["compute1"].shell(f"findmnt -no FSTYPE {INSTANCES}").startswith("fuse.ceph")
    lab["compute1"].shell(f"dd if=/dev/urandom of={INSTANCES}/disk bs=1M count=16 conv=fsync status=none")
    written = lab["compute1"].shell(f"sha256sum < {INSTANCES}/disk")
    lab["mon1"].shell(
        "apt-get -qy install ceph-fuse >/dev/null && mkdir -p /mnt/fs && ceph-fuse --id admin /mnt/fs", timeout=120
    )
    read = lab["mon1"].shell("sha256sum < /mnt/fs/disk; umount /mnt/fs")
    assert read == written
    assert len(written.split()[0]) == hashlib.sha256().digest_size * 2


def test_the_pools_users_and_caps_are_those_of_the_seeds(story: Story) -> None:
    mon = story.site.lab["mon1"]
    pools = mon.shell("ceph osd pool ls").split()
    assert {"volumes", "images", "backups", "vms"} <= set(pools)
    caps = json.loads(mon.shell("ceph auth get client.cinder -f json"))[0]["caps"]
    assert caps["mon"] == "allow r"
    assert "allow rwx pool=volumes" in caps["osd"]
    assert "allow rx pool=images" in caps["osd"]


def test_the_same_run_again_changes_nothing(story: Story) -> None:
    assert told(deploy(story.site)) == set()


def damage_keyring(lab: Lab) -> set[tuple[str, str]]:
    """A keyring is deleted on compute."""
    lab["compute1"].shell("rm /etc/ceph/ceph.client.nova.keyring")
    return {("compute1", "/etc/ceph/ceph.client.nova.keyring")}


def damage_osd(lab: Lab) -> set[tuple[str, str]]:
    """An OSD is stopped."""
    unit = lab["osd2"].shell("systemctl list-units --plain --no-legend 'ceph-osd@*' | cut -d' ' -f1").strip()
    lab["osd2"].shell(f"systemctl stop {unit}")
    return {("osd2", f"unit {unit}")}


def damage_conf(lab: Lab) -> set[tuple[str, str]]:
    """A line of ceph.conf is changed."""
    lab["osd3"].shell("sed -i 's/^osd_heartbeat_grace = .*/osd_heartbeat_grace = 99/' /etc/ceph/ceph.conf")
    assert "= 99" in lab["osd3"].get("/etc/ceph/ceph.conf")
    return {("osd3", "/etc/ceph/ceph.conf")}


@pytest.mark.parametrize("damage", [damage_keyring, damage_osd, damage_conf])
def test_damage_is_repaired_and_only_that_is_told(story: Story, damage: Callable[[Lab], set[tuple[str, str]]]) -> None:
    expected = damage(story.site.lab)
    repaired = deploy(story.site)
    assert touched(repaired) == expected
    assert told(deploy(story.site)) == set()
    wait_whole(story.site.lab["mon1"], osds=3, mds=1)


def test_a_reboot_of_compute_brings_the_mount_back(story: Story) -> None:
    compute: Host = story.site.lab["compute1"]
    before = compute.shell(f"sha256sum < {INSTANCES}/disk")
    compute.reboot()
    wait_until(
        lambda: compute.run(["mountpoint", "-q", INSTANCES], check=False).returncode == 0, 60, "the mount to be back"
    )
    assert compute.shell(f"sha256sum < {INSTANCES}/disk") == before
    story.site.wait_connected()
    assert told(deploy(story.site)) == set()


def test_a_mistake_in_the_formula_s_pillar_changes_nothing(story: Story) -> None:
    site = story.site
    good = one_monitor_pillar(site.lab)
    before = untouched(site.lab, "/etc")
    site.set_pillar({"ceph": {**good["ceph"], "monitors": {"mon1": "not an address"}}})
    try:
        done = site.run("run", "ceph.deploy")
    finally:
        site.set_pillar(good)
    assert done.returncode != 0
    assert "not an address" in done.stdout + done.stderr
    assert untouched(site.lab, "/etc") == before


def test_no_key_is_shown_anywhere(story: Story) -> None:
    keys = leaks.keys(story.site.lab)
    assert len(keys) >= 8, "the cluster's keys were not found, so nothing was looked for"
    assert leaks.leaks(keys, leaks.shown(story.site, story.processes)) == {}


def test_three_monitors_on_hosts_with_every_role() -> None:
    with (
        Lab(THREE_MONITOR_HOSTS, apt_source=False) as lab,
        LabSite(lab, three_monitor_pillar(lab)) as site,
        leaks.ProcessList() as processes,
    ):
        foretold = told(site.json("run", "ceph.deploy", "--dry-run"))
        made = told(deploy(site))
        assert made == foretold
        found = wait_whole(lab["node1"], osds=3, mds=1)
        assert found.is_whole(osds=3, mds=1), found
        quorum = json.loads(lab["node1"].shell("ceph quorum_status -f json"))["quorum_names"]
        assert sorted(quorum) == ["node1", "node2", "node3"]
        assert lab["compute1"].shell(f"findmnt -no FSTYPE {INSTANCES}").startswith("fuse.ceph")
        assert told(deploy(site)) == set()
        assert leaks.leaks(leaks.keys(lab), leaks.shown(site, processes)) == {}
