"""Monitors, managers, metadata servers and OSDs are made once, run, and are taken up again where they were cut."""

import json
from pathlib import Path

import pytest

from protocol.data import Data
from protocol.errors import ArgumentError
from protocol.secrets import UNKNOWN, Secret
from states.ceph import keys, monitor
from tests.unit.fake_ceph import FSID, KEYS, Host

MEMBERS: dict[str, Data] = {"mon1": "10.0.0.1", "mon2": "10.0.0.2", "mon3": "fd00::3"}
FOUNDING: dict[str, Data] = {name: Secret(key) for name, key in KEYS.items()}
MONITOR: dict[str, Data] = {"fsid": FSID, "members": MEMBERS, "keys": FOUNDING}
STORE = "/var/lib/ceph/mon/ceph-mon1"
OSD: dict[str, Data] = {"size": "4G"}
BOOTSTRAP = "/var/lib/ceph/bootstrap-osd/ceph.keyring"


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Host:
    made = Host(tmp_path, monkeypatch)
    made.configure()
    return made


def stop(host: Host, unit: str) -> None:
    host.load()["units"][unit]["active"] = "failed"
    host.save()


# --- monitors


def test_a_monitor_is_founded_with_all_members_and_keys_then_enabled_and_started(host: Host) -> None:
    made = host.settle("ceph.monitor", "mon1", MONITOR)
    assert [change.foretold() for change in made.changes] == [
        ("create", STORE, "monitor store"),
        ("change", "unit ceph-mon@mon1.service", "enabled"),
        ("change", "unit ceph-mon@mon1.service", "running"),
    ]
    assert host.get(f"{STORE}/map").split() == [
        *("--create", "--clobber", "--fsid", FSID),
        *("--addv", "mon1", "[v2:10.0.0.1:3300,v1:10.0.0.1:6789]"),
        *("--addv", "mon2", "[v2:10.0.0.2:3300,v1:10.0.0.2:6789]"),
        *("--addv", "mon3", "[v2:[fd00::3]:3300,v1:[fd00::3]:6789]"),
    ]
    held = keys.parse(host.get(f"{STORE}/held"))
    assert {entity: entry.key.reveal() for entity, entry in held.items()} == {
        "mon.": KEYS["mon"],
        "client.admin": KEYS["admin"],
        "client.bootstrap-osd": KEYS["bootstrap_osd"],
    }
    assert held["client.bootstrap-osd"].caps == {"mgr": "allow r", "mon": "profile bootstrap-osd"}


def test_nothing_of_the_founding_is_left_lying_about(host: Host) -> None:
    host.settle("ceph.monitor", "mon1", MONITOR)
    assert [path.name for path in (host.root / "var/lib/ceph/mon").iterdir()] == ["ceph-mon1"]
    assert list((host.root / "run").glob("stackmaster-*")) == []


def test_a_stopped_monitor_is_started_and_its_store_left_alone(host: Host) -> None:
    host.settle("ceph.monitor", "mon1", MONITOR)
    stop(host, "ceph-mon@mon1.service")
    mended = host.settle("ceph.monitor", "mon1", MONITOR)
    assert [change.aspect for change in mended.changes] == ["running"]
    assert "systemctl --quiet reset-failed" not in host.commands()


def test_a_founding_cut_short_leaves_no_store_and_the_next_try_makes_it(host: Host) -> None:
    host.cluster["fail"] = ["ceph-mon"]
    host.save()
    failed = host.apply("ceph.monitor", "mon1", MONITOR)
    assert failed.result is False
    assert "no space left" in failed.comment
    assert not host.exists(STORE)
    host.settle("ceph.monitor", "mon1", MONITOR)


def test_a_monitor_of_another_cluster_is_not_touched(host: Host) -> None:
    host.settle("ceph.monitor", "mon1", MONITOR)
    host.load()["fsid"] = "another"
    host.save()
    failed = host.apply("ceph.monitor", "mon1", MONITOR)
    assert failed.result is False
    assert "another" in failed.comment


def test_a_folder_that_is_no_store_is_not_touched(host: Host) -> None:
    host.put(f"{STORE}/precious", "data")
    failed = host.apply("ceph.monitor", "mon1", MONITOR)
    assert failed.result is False
    assert host.get(f"{STORE}/precious") == "data"


def test_without_keys_a_store_that_is_there_is_enough_and_a_new_one_is_refused(host: Host) -> None:
    bare: dict[str, Data] = {"fsid": FSID, "members": MEMBERS}
    refused = host.apply("ceph.monitor", "mon1", bare)
    assert refused.result is False
    assert "bootstrap_keys" in refused.comment
    host.settle("ceph.monitor", "mon1", MONITOR)
    assert host.settle("ceph.monitor", "mon1", bare).changes == ()


def test_keys_to_come_are_foretold_and_never_used(host: Host) -> None:
    args: dict[str, Data] = {"fsid": UNKNOWN, "members": MEMBERS, "keys": dict.fromkeys(KEYS, Secret(UNKNOWN))}
    foretold = host.apply("ceph.monitor", "mon1", args, test=True, pending=True)
    assert [change.aspect for change in foretold.changes] == ["monitor store", "enabled", "running"]
    assert host.apply("ceph.monitor", "mon1", args).result is False
    assert not host.exists(STORE)


@pytest.mark.parametrize(
    "args",
    [
        {"members": {"mon2": "10.0.0.2"}},
        {"members": {"mon1": "no address"}},
        {"keys": {"mon": "x"}},
        {"keys": {"mon": KEYS["mon"]}},
        {"fsid": "not a uuid"},
    ],
)
def test_what_cannot_found_a_monitor_is_refused(host: Host, args: dict[str, Data]) -> None:
    assert host.apply("ceph.monitor", "mon1", {**MONITOR, **args}).result is False
    assert not host.exists(STORE)


def test_an_address_vector_is_taken_as_it_is_and_options_are_no_names() -> None:
    assert monitor.address_vector("a", "[v2:10.0.0.1:13300]") == "[v2:10.0.0.1:13300]"
    with pytest.raises(ArgumentError):
        monitor.address_vector("--fsid", "10.0.0.1")


# --- managers and metadata servers


@pytest.mark.parametrize(("function", "kind"), [("ceph.manager", "mgr"), ("ceph.mds", "mds")])
def test_a_daemon_gets_its_key_and_runs(host: Host, function: str, kind: str) -> None:
    made = host.settle(function, "mon1")
    path = f"/var/lib/ceph/{kind}/ceph-mon1/keyring"
    assert [change.aspect for change in made.changes] == ["content", "enabled", "running"]
    assert (host.root / path.lstrip("/")).stat().st_mode & 0o777 == 0o600
    entity = host.load()["auth"][f"{kind}.mon1"]
    assert keys.parse(host.get(path))[f"{kind}.mon1"].key.reveal() == entity["key"]
    assert entity["caps"]["mon"] == f"allow profile {kind}"


def test_a_lost_or_revoked_key_is_renewed_and_the_daemon_restarted(host: Host) -> None:
    host.settle("ceph.mds", "mon1")
    (host.root / "var/lib/ceph/mds/ceph-mon1/keyring").unlink()
    lost = host.settle("ceph.mds", "mon1")
    assert [(change.kind, change.aspect) for change in lost.changes] == [("create", "content"), ("restart", "running")]
    del host.load()["auth"]["mds.mon1"]
    host.save()
    revoked = host.settle("ceph.mds", "mon1")
    assert [(change.kind, change.aspect) for change in revoked.changes] == [
        ("change", "content"),
        ("restart", "running"),
    ]


def test_drift_of_a_daemons_capabilities_is_repaired_without_a_restart(host: Host) -> None:
    host.settle("ceph.manager", "mon1")
    host.load()["auth"]["mgr.mon1"]["caps"] = {"mon": "allow r"}
    host.save()
    mended = host.settle("ceph.manager", "mon1")
    assert [(change.subject, change.aspect) for change in mended.changes] == [("ceph user mgr.mon1", "caps")]


def test_a_host_without_a_key_of_its_own_needs_one_once(host: Host) -> None:
    (host.root / "etc/ceph/ceph.client.admin.keyring").unlink()
    assert host.apply("ceph.mds", "mon1").result is False
    host.settle("ceph.mds", "mon1", {"admin_key": Secret(KEYS["admin"])})
    assert host.settle("ceph.mds", "mon1").changes == ()
    assert host.apply("ceph.mds", "mon1", {"admin_key": Secret(UNKNOWN)}, test=True).changes == ()


def test_before_its_packages_are_there_a_daemon_is_foretold(host: Host) -> None:
    for name in ("ceph", "systemctl"):
        (host.root / "usr/bin" / name).unlink()
    foretold = host.apply("ceph.manager", "mon1", test=True, pending=True)
    assert [change.aspect for change in foretold.changes] == ["content", "enabled", "running"]


# --- OSDs


@pytest.fixture
def osd_host(host: Host) -> Host:
    (host.root / "etc/ceph/ceph.client.admin.keyring").unlink()
    host.put(BOOTSTRAP, f"[client.bootstrap-osd]\n\tkey = {KEYS['bootstrap_osd']}\n", 0o600)
    return host


def label(host: Host, number: int) -> dict[str, Data]:
    held: dict[str, Data] = json.loads(host.get(f"/var/lib/ceph/osd/ceph-{number}/stackmaster.json"))
    return held


def test_an_osd_is_made_in_a_file_and_found_again_by_its_label(osd_host: Host) -> None:
    made = osd_host.settle("ceph.osd", "osd-a", OSD)
    assert [change.foretold() for change in made.changes] == [("create", "ceph osd osd-a", "")]
    assert made.changes[0].details == {"id": 0, "unit": "ceph-osd@0.service"}
    osd_host.settle("ceph.osd", "osd-b", OSD)
    assert (label(osd_host, 0)["name"], label(osd_host, 1)["name"]) == ("osd-a", "osd-b")
    assert "--bluestore-block-size=4294967296" in osd_host.get("/var/lib/ceph/osd/ceph-0/mkfs")
    assert osd_host.load()["osds"][0]["uuid"] == label(osd_host, 0)["uuid"]


def test_its_key_reaches_the_cluster_by_stdin_and_stays_in_its_folder_only(osd_host: Host) -> None:
    osd_host.settle("ceph.osd", "osd-a", {**OSD, "device_class": "ssd"})
    key = osd_host.load()["osds"][0]["key"]
    assert osd_host.cluster["osds"][0]["crush_device_class"] == "ssd"
    assert key not in "\n".join(osd_host.commands())
    assert keys.parse(osd_host.get("/var/lib/ceph/osd/ceph-0/keyring"))["osd.0"].key.reveal() == key
    assert [path for path in osd_host.state_dir.rglob("*") if path.is_file()] == []


def test_an_osd_cut_short_is_taken_up_under_the_same_number(osd_host: Host) -> None:
    osd_host.cluster["fail"] = ["ceph-osd"]
    osd_host.save()
    assert osd_host.apply("ceph.osd", "osd-a", OSD).result is False
    assert len(osd_host.load()["osds"]) == 1
    assert [path.name for path in (osd_host.root / "var/lib/ceph/osd").iterdir()] == []
    made = osd_host.settle("ceph.osd", "osd-a", OSD)
    assert made.changes[0].details == {"id": 0, "unit": "ceph-osd@0.service"}
    assert len(osd_host.load()["osds"]) == 1


def test_a_stopped_osd_is_started_and_one_that_is_not_enabled_enabled(osd_host: Host) -> None:
    osd_host.settle("ceph.osd", "osd-a", OSD)
    stop(osd_host, "ceph-osd@0.service")
    assert [c.aspect for c in osd_host.settle("ceph.osd", "osd-a", OSD).changes] == ["running"]
    osd_host.load()["units"]["ceph-osd@0.service"]["enabled"] = "disabled"
    osd_host.save()
    assert [c.aspect for c in osd_host.settle("ceph.osd", "osd-a", OSD).changes] == ["enabled"]


def test_an_osd_may_lie_in_a_file_elsewhere_that_is_empty(osd_host: Host) -> None:
    osd_host.settle("ceph.osd", "osd-a", {**OSD, "path": "/srv/osds/a.img"})
    image = osd_host.root / "srv/osds/a.img"
    assert (image.stat().st_size, image.stat().st_blocks) == (4 * 1024**3, 0)
    assert f"--bluestore-block-path={image}" in osd_host.get("/var/lib/ceph/osd/ceph-0/mkfs")


def test_a_file_with_something_in_it_is_not_touched(osd_host: Host) -> None:
    osd_host.put("/srv/a.img", "precious")
    failed = osd_host.apply("ceph.osd", "osd-a", {**OSD, "path": "/srv/a.img"})
    assert failed.result is False
    assert osd_host.get("/srv/a.img") == "precious"
    assert osd_host.load()["osds"] == []


def test_an_osd_of_another_cluster_is_not_started(osd_host: Host) -> None:
    osd_host.settle("ceph.osd", "osd-a", OSD)
    other = "11111111-2222-3333-4444-555555555555"
    osd_host.put("/etc/ceph/ceph.conf", osd_host.get("/etc/ceph/ceph.conf").replace(FSID, other))
    failed = osd_host.apply("ceph.osd", "osd-a", OSD)
    assert failed.result is False
    assert other in failed.comment


def test_the_folder_of_an_osd_that_was_not_made_here_is_not_overwritten(osd_host: Host) -> None:
    osd_host.put("/var/lib/ceph/osd/ceph-0/block", "precious")
    failed = osd_host.apply("ceph.osd", "osd-a", OSD)
    assert failed.result is False
    assert osd_host.get("/var/lib/ceph/osd/ceph-0/block") == "precious"


def test_an_osd_may_get_the_bootstrap_key_as_an_argument(osd_host: Host) -> None:
    (osd_host.root / BOOTSTRAP.lstrip("/")).unlink()
    assert osd_host.apply("ceph.osd", "osd-a", OSD).result is False
    osd_host.settle("ceph.osd", "osd-a", {**OSD, "bootstrap_key": Secret(KEYS["bootstrap_osd"])})


def test_an_osd_is_foretold_before_its_keyring_is_there(osd_host: Host) -> None:
    (osd_host.root / BOOTSTRAP.lstrip("/")).unlink()
    assert osd_host.apply("ceph.osd", "osd-a", OSD, test=True, pending=True).result is None
    args: dict[str, Data] = {**OSD, "bootstrap_key": Secret(UNKNOWN)}
    assert osd_host.apply("ceph.osd", "osd-a", args, test=True).result is None
    assert osd_host.apply("ceph.osd", "osd-a", args).result is False


@pytest.mark.parametrize(
    ("name", "args"),
    [
        ("../etc", OSD),
        ("osd-a", {}),
        ("osd-a", {"size": "4G", "device": "/dev/sdb"}),
        ("osd-a", {"device": "/dev/sdb", "path": "/srv/x"}),
        ("osd-a", {"size": "much"}),
        ("osd-a", {"size": "10M"}),
        ("osd-a", {"device": "/dev/nothing"}),
    ],
)
def test_what_cannot_be_an_osd_is_refused(osd_host: Host, name: str, args: dict[str, Data]) -> None:
    assert osd_host.apply("ceph.osd", name, args).result is False
    assert osd_host.load()["osds"] == []
