"""Pools, users, file systems and options are made, repaired and left alone, by commands that hold no key."""

from pathlib import Path

import pytest

from protocol.data import Data
from protocol.secrets import UNKNOWN, Secret
from states.ceph import keys, option
from tests.unit.fake_ceph import FSID, KEYS, Host

CINDER: dict[str, Data] = {
    "mon": "allow r",
    "osd": "allow class-read object_prefix rbd_children, allow rwx pool=volumes",
}


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Host:
    made = Host(tmp_path, monkeypatch)
    made.configure()
    return made


# --- pools


def test_a_pool_is_created_with_all_that_is_declared(host: Host) -> None:
    args: dict[str, Data] = {"pg_num": 16, "size": 2, "min_size": 1, "application": "rbd", "autoscale": "warn"}
    made = host.settle("ceph.pool", "volumes", args)
    assert [change.foretold() for change in made.changes] == [("create", "ceph pool volumes", "")]
    pool = host.load()["pools"]["volumes"]
    assert (pool["size"], pool["min_size"], pool["pg_num"], pool["applications"]) == (2, 1, 16, ["rbd"])
    assert "rbd pool init volumes" in host.commands()


def test_a_pool_without_settings_is_left_to_the_cluster(host: Host) -> None:
    host.settle("ceph.pool", "volumes")
    assert "ceph osd pool create volumes replicated" in host.commands()


def test_a_pool_of_one_copy_says_that_it_means_it(host: Host) -> None:
    host.settle("ceph.pool", "scratch", {"size": 1})
    assert host.load()["pools"]["scratch"]["size"] == 1


def test_drift_of_a_pool_is_repaired_and_only_that(host: Host) -> None:
    args: dict[str, Data] = {"pg_num": 8, "size": 3, "application": "rbd"}
    host.settle("ceph.pool", "volumes", args)
    host.load()["pools"]["volumes"] |= {"size": 2, "applications": []}
    host.save()
    mended = host.settle("ceph.pool", "volumes", args)
    assert [(c.aspect, c.old, c.new) for c in mended.changes] == [("size", 2, 3), ("application", [], "rbd")]


def test_the_number_of_placement_groups_is_not_fought_over_with_the_autoscaler(host: Host) -> None:
    host.settle("ceph.pool", "volumes", {"pg_num": 8, "autoscale": "on"})
    host.load()["pools"]["volumes"] |= {"pg_num": 32, "pg_num_target": 32}
    host.save()
    assert host.settle("ceph.pool", "volumes", {"pg_num": 8, "autoscale": "on"}).changes == ()
    host.settle("ceph.pool", "volumes", {"pg_num": 8, "autoscale": "off"})
    assert host.load()["pools"]["volumes"]["pg_num"] == 8


@pytest.mark.parametrize("args", [{"size": 0}, {"size": 2, "min_size": 3}, {"autoscale": "maybe"}])
def test_impossible_pools_are_refused_before_anything_is_asked(host: Host, args: dict[str, Data]) -> None:
    assert host.apply("ceph.pool", "volumes", args).result is False
    assert host.commands() == []


# --- users


def test_a_user_is_created_and_its_capabilities_repaired(host: Host) -> None:
    host.settle("ceph.auth", "client.cinder", {"caps": CINDER})
    key = host.load()["auth"]["client.cinder"]["key"]
    host.cluster["auth"]["client.cinder"]["caps"] = {"mon": "allow *"}
    host.save()
    mended = host.settle("ceph.auth", "client.cinder", {"caps": CINDER})
    assert [(c.aspect, c.old, c.new) for c in mended.changes] == [("caps", {"mon": "allow *"}, CINDER)]
    assert host.load()["auth"]["client.cinder"] == {"key": key, "caps": CINDER}


def test_a_user_gets_the_key_it_must_have_by_way_of_stdin(host: Host) -> None:
    key = keys.generate(5.0)
    host.settle("ceph.auth", "client.cinder", {"caps": CINDER, "key": key})
    assert host.load()["auth"]["client.cinder"] == {"key": key.reveal(), "caps": CINDER}
    assert "ceph auth import -i -" in host.commands()
    other = keys.generate(6.0)
    changed = host.settle("ceph.auth", "client.cinder", {"caps": CINDER, "key": other})
    assert [c.aspect for c in changed.changes] == ["key"]


@pytest.mark.parametrize("caps", [{"kernel": "allow r"}, {"mon": ""}])
def test_capabilities_that_cannot_be_are_refused(host: Host, caps: dict[str, Data]) -> None:
    assert host.apply("ceph.auth", "client.cinder", {"caps": caps}).result is False


# --- file systems


def test_a_file_system_is_created_on_its_pools_and_spread(host: Host) -> None:
    for pool in ("meta", "data"):
        host.settle("ceph.pool", pool)
    args: dict[str, Data] = {"metadata_pool": "meta", "data_pool": "data"}
    host.settle("ceph.filesystem", "cephfs", args)
    mended = host.settle("ceph.filesystem", "cephfs", {**args, "max_mds": 2})
    assert [(c.aspect, c.old, c.new) for c in mended.changes] == [("max_mds", 1, 2)]


def test_a_file_system_on_other_pools_is_an_error_that_changes_nothing(host: Host) -> None:
    for pool in ("meta", "data", "other"):
        host.settle("ceph.pool", pool)
    host.settle("ceph.filesystem", "cephfs", {"metadata_pool": "meta", "data_pool": "data"})
    wrong = host.apply("ceph.filesystem", "cephfs", {"metadata_pool": "meta", "data_pool": "other"})
    assert wrong.result is False
    assert "meta and data" in wrong.comment


def test_a_file_system_without_its_pools_fails_with_what_the_cluster_says(host: Host) -> None:
    failed = host.apply("ceph.filesystem", "cephfs", {"metadata_pool": "meta", "data_pool": "data"})
    assert failed.result is False
    assert "pool 'meta' does not exist" in failed.comment


# --- options


@pytest.mark.parametrize("value", [False, "no", "false"])
def test_an_option_is_set_once_whatever_way_its_value_is_written(host: Host, value: Data) -> None:
    host.settle("ceph.config_set", "mon/auth_allow_insecure_global_id_reclaim", {"value": value})
    assert host.settle("ceph.config_set", "mon/auth_allow_insecure_global_id_reclaim", {"value": False}).changes == ()


def test_an_option_with_a_mask_is_another_one(host: Host) -> None:
    host.settle("ceph.config_set", "osd/osd_max_backfills", {"value": 1})
    host.settle("ceph.config_set", "osd/class:ssd/osd_max_backfills", {"value": 2})
    assert {(row["mask"], row["value"]) for row in host.load()["config"]} == {("", "1"), ("class:ssd", "2")}


@pytest.mark.parametrize(
    ("one", "other"), [("4G", "4294967296"), ("4 GiB", "4294967296"), ("Yes", "true"), ("0.5", ".5")]
)
def test_values_are_compared_by_what_they_mean(one: str, other: str) -> None:
    assert option.same_value(one, other)


@pytest.mark.parametrize(("one", "other"), [("4G", "4M"), ("1", "true"), ("1/5", "1"), ("a", "b")])
def test_other_values_differ(one: str, other: str) -> None:
    assert not option.same_value(one, other)


def test_an_option_that_does_not_exist_fails_with_what_the_cluster_says(host: Host) -> None:
    failed = host.apply("ceph.config_set", "mon/nonsense", {"value": 1})
    assert failed.result is False
    assert "unrecognized config option" in failed.comment


# --- asking the cluster


def test_no_key_is_ever_on_a_command_line_or_left_in_a_file(host: Host) -> None:
    (host.root / "etc/ceph/ceph.client.admin.keyring").unlink()
    key = keys.generate(5.0)
    args: dict[str, Data] = {"caps": CINDER, "key": key, "admin_key": Secret(KEYS["admin"])}
    host.settle("ceph.auth", "client.cinder", args)
    told = "\n".join(host.commands())
    assert key.reveal() not in told
    assert KEYS["admin"] not in told
    assert [path for path in host.state_dir.rglob("*") if path.is_file()] == []


def test_a_monitors_host_asks_with_the_monitors_own_key(host: Host) -> None:
    (host.root / "etc/ceph/ceph.client.admin.keyring").unlink()
    host.put("/var/lib/ceph/mon/ceph-mon1/keyring", f"[mon.]\n\tkey = {KEYS['mon']}\n")
    host.settle("ceph.pool", "volumes")


def test_a_host_without_a_key_is_told_what_to_do(host: Host) -> None:
    (host.root / "etc/ceph/ceph.client.admin.keyring").unlink()
    failed = host.apply("ceph.pool", "volumes")
    assert failed.result is False
    assert "admin_key" in failed.comment


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda host: host.cluster.update(up=False), "systemctl status"),
        (lambda host: host.cluster["auth"]["client.admin"].update(key=KEYS["mon"]), "not one of this cluster"),
        (lambda host: (host.root / "etc/ceph/ceph.conf").unlink(), "declare it with ceph.conf"),
        (lambda host: (host.root / "usr/bin/ceph").unlink(), "install ceph-common"),
    ],
)
def test_a_cluster_that_cannot_be_asked_fails_with_help_and_without_the_librarys_log(
    host: Host, damage: object, said: str
) -> None:
    assert callable(damage)
    damage(host)
    host.save()
    failed = host.apply("ceph.pool", "volumes")
    assert failed.result is False
    assert said in failed.comment
    assert "AQnotforyoureyes" not in failed.comment


@pytest.mark.parametrize("missing", ["usr/bin/ceph", "etc/ceph/ceph.conf", "etc/ceph/ceph.client.admin.keyring"])
def test_a_dry_run_foretells_what_earlier_steps_make_possible(host: Host, missing: str) -> None:
    (host.root / missing).unlink()
    foretold = host.apply("ceph.pool", "volumes", {"size": 3}, test=True, pending=True)
    assert foretold.result is None
    assert [change.foretold() for change in foretold.changes] == [("create", "ceph pool volumes", "")]
    assert host.apply("ceph.pool", "volumes", {"size": 3}, test=True).result is False


def test_a_dry_run_with_a_key_to_come_foretells_too(host: Host) -> None:
    (host.root / "etc/ceph/ceph.client.admin.keyring").unlink()
    args: dict[str, Data] = {"admin_key": Secret(UNKNOWN)}
    assert host.apply("ceph.pool", "volumes", args, test=True).result is None
    assert host.apply("ceph.pool", "volumes", args).result is False


def test_the_states_of_one_run_ask_once_what_they_all_need(host: Host) -> None:
    context = host.context()
    from states.ceph import pool

    for name in ("a", "b", "c"):
        for action in pool.pool(context, name).actions:
            action.perform()
    for name in ("a", "b", "c"):
        assert pool.pool(context, name).actions == []
    asked = [line for line in host.commands() if line.startswith("ceph osd pool ls")]
    assert len(asked) == 2, "once before the first creation, and once after the last"
    assert FSID in host.get("/etc/ceph/ceph.conf")
