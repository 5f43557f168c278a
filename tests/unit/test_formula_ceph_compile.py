"""The Ceph formula compiles for every role, gives each host what its roles need, and no host a key it does not need."""

from collections.abc import Mapping
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import yaml

import states
from master.compiler.compile import Compiled, Request, Roots, compile_assignment
from master.compiler.request import Level
from protocol import expression
from protocol.errors import SlsError
from protocol.secrets import Secret, literals
from tests.unit.fake_ceph import FSID, KEYS

FORMULA = Path(next(iter(states.__path__))) / "formulas/ceph"
NOVA = "AQCtaXJlAAAAABAAbm92YW5vdmFub3Zhbm92YW=="
GIVEN = {"ceph": {"fsid": FSID, "keys": {**{name: Secret(key) for name, key in KEYS.items()}, "users": {"nova": NOVA}}}}


@pytest.fixture
def pillar() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((FORMULA / "pillar.example").read_text())
    return found


@pytest.fixture
def hyperconverged(pillar: dict[str, Any]) -> dict[str, Any]:
    nodes = [f"node{number}" for number in (1, 2, 3)]
    del pillar["ceph"]["managers"], pillar["ceph"]["admins"], pillar["ceph"]["fsid"]
    pillar["ceph"] |= {
        "monitors": {node: f"10.231.0.1{number}" for number, node in enumerate(nodes)},
        "mds": nodes,
        "osds": {node: {"osd-a": {"size": "4G"}} for node in nodes},
    }
    return pillar


class Site:
    """Compiles the formula with one pillar for all."""

    def __init__(self, folder: Path, pillar: Mapping[str, Any]) -> None:
        folder.mkdir(exist_ok=True)
        (folder / "top.sls").write_text("base:\n  '*': [site]\n")
        (folder / "site.sls").write_text(yaml.safe_dump(dict(pillar)))
        self._roots = Roots(states={"base": ()}, pillar={"base": (folder,)})

    def compiled(self, minion: str, sls: str, given: Mapping[str, Any] | None = None) -> Compiled:
        level: Level = "master" if minion == "master" else "minion"
        grains = {"os": "Debian", "os_family": "Debian"}
        request = Request(minion, grains, self._roots, sls=(sls,), pillar_override=given or {}, states=level)
        return compile_assignment(request)

    def states(self, minion: str, sls: str, given: Mapping[str, Any] | None = None) -> dict[str, list[str]]:
        found: dict[str, list[str]] = {}
        for chunk in self.compiled(minion, sls, given).assignment.chunks:
            found.setdefault(chunk.function, []).append(chunk.name)
        return found


def steps(site: Site) -> dict[str, Any]:
    """The orchestration: step -> its chunk."""
    return {chunk.id: chunk for chunk in site.compiled("master", "ceph.deploy").assignment.chunks}


def needs(site: Site) -> dict[str, set[str]]:
    chunks = site.compiled("master", "ceph.deploy").assignment.chunks
    return {c.id: {chunks[target].id for r in c.requisites for target in r.targets} for c in chunks}


def test_each_host_becomes_what_its_roles_say(tmp_path: Path, pillar: dict[str, Any]) -> None:
    site = Site(tmp_path, pillar)
    monitor = site.states("mon1", "ceph", GIVEN)
    assert (monitor["ceph.monitor"], monitor["ceph.manager"], monitor["ceph.mds"]) == (["mon1"], ["mon1"], ["mon1"])
    assert "ceph.osd" not in monitor
    osd = site.states("osd1", "ceph", GIVEN)
    assert set(osd) == {"pkg.installed", "ceph.conf", "ceph.keyring", "ceph.osd"}
    compute = site.states("compute1", "ceph", GIVEN)
    assert set(compute) == {"pkg.installed", "ceph.conf", "ceph.keyring", "mount.mounted"}


def test_a_host_holds_only_the_keys_of_its_roles(tmp_path: Path, pillar: dict[str, Any]) -> None:
    site = Site(tmp_path, pillar)

    def held(minion: str, sls: str) -> set[str]:
        assignment = site.compiled(minion, sls, GIVEN).assignment
        assert set().union(*(literals(chunk.args) for chunk in assignment.chunks)) <= set(assignment.secrets)
        return {name for name, key in {**KEYS, "nova": NOVA}.items() if key in assignment.secrets}

    assert held("mon1", "ceph.founder") == {"mon", "admin", "bootstrap_osd"}
    assert held("osd1", "ceph.services") == {"bootstrap_osd"}
    assert held("compute1", "ceph.client") == {"nova"}
    assert held("compute1", "ceph.conf") == set()


def test_a_metadata_server_elsewhere_is_lent_the_admin_key(tmp_path: Path, pillar: dict[str, Any]) -> None:
    pillar["ceph"]["mds"] = ["mds1"]
    chunk = Site(tmp_path, pillar).compiled("mds1", "ceph.mds", GIVEN).assignment.chunks[-1]
    assert (chunk.function, chunk.name, chunk.args["admin_key"]) == ("ceph.mds", "mds1", KEYS["admin"])


def test_ceph_conf_follows_from_the_pillar_and_is_the_same_everywhere(tmp_path: Path, hyperconverged: Any) -> None:
    hyperconverged["ceph"]["conf"] = {"global": {"mon_allow_pool_delete": True}, "osd": {"osd_heartbeat_grace": 6}}
    site = Site(tmp_path, hyperconverged)
    found = [
        chunk.args["sections"]
        for minion in ("node1", "node3", "compute1")
        for chunk in site.compiled(minion, "ceph.conf", GIVEN).assignment.chunks
        if chunk.function == "ceph.conf"
    ]
    assert found[0] == found[1] == found[2]
    options: Any = found[0]
    assert options["global"]["mon_initial_members"] == ["node1", "node2", "node3"]
    assert options["global"]["mon_host"][2] == "[v2:10.231.0.12:3300/0,v1:10.231.0.12:6789/0]"
    assert options["global"]["mon_allow_pool_delete"] is True
    assert options["osd"] == {"osd_heartbeat_grace": 6}


def test_without_an_fsid_the_operator_is_told_what_to_do(tmp_path: Path, hyperconverged: dict[str, Any]) -> None:
    with pytest.raises(SlsError, match=r"ceph\.deploy"):
        Site(tmp_path, hyperconverged).compiled("node1", "ceph.conf")


def test_a_host_without_a_role_and_a_pillar_without_monitors_are_refused(tmp_path: Path, pillar: Any) -> None:
    with pytest.raises(SlsError, match="no role"):
        Site(tmp_path, pillar).compiled("stranger", "ceph", GIVEN)
    pillar["ceph"]["monitors"] = {}
    with pytest.raises(SlsError, match="no monitors"):
        Site(tmp_path, pillar).compiled("osd1", "ceph", GIVEN)


def test_pools_of_the_file_system_are_made_even_if_not_mentioned(tmp_path: Path, pillar: dict[str, Any]) -> None:
    del pillar["ceph"]["pools"]["cephfs_data"]
    assert "cephfs_data" in Site(tmp_path, pillar).states("mon1", "ceph.cluster")["ceph.pool"]


def test_where_the_pillar_says_nothing_the_cluster_holds_what_openstack_needs(tmp_path: Path, pillar: Any) -> None:
    del pillar["ceph"]["pools"], pillar["ceph"]["users"], pillar["ceph"]["filesystem"]
    found = Site(tmp_path, pillar).states("mon1", "ceph.rbd")
    assert set(found["ceph.pool"]) == {"volumes", "images", "backups", "vms", "cephfs_data", "cephfs_metadata"}
    cluster = Site(tmp_path, pillar).states("mon1", "ceph.cluster")
    assert cluster["ceph.filesystem"] == ["cephfs"]
    assert set(cluster["ceph.auth"]) == {"client.cinder", "client.glance", "client.cinder-backup", "client.nova"}
    pillar["ceph"]["mds"] = []
    without = Site(tmp_path, pillar).states("mon1", "ceph.cluster")
    assert "ceph.filesystem" not in without
    assert "client.nova" not in without["ceph.auth"]
    assert set(without["ceph.pool"]) == {"volumes", "images", "backups", "vms"}


def test_options_repository_and_operator_are_there_when_the_pillar_has_them(tmp_path: Path, pillar: Any) -> None:
    pillar["ceph"]["options"] = {"osd": {"osd_max_backfills": 2}}
    pillar["ceph"]["repo"] = {"name": "deb [trusted=yes] file:/repo ./", "file": "/etc/apt/sources.list.d/ceph.list"}
    pillar["ceph"]["operator"] = {"name": "cephadmin", "sudo": True}
    site = Site(tmp_path, pillar)
    assert site.states("mon1", "ceph.cluster")["ceph.config_set"] == ["osd/osd_max_backfills"]
    assert list(site.states("osd1", "ceph.packages")) == ["pkgrepo.managed", "pkg.installed"]
    assert site.states("osd1", "ceph.user") == {
        "user.present": ["cephadmin"],
        "file.managed": ["/etc/sudoers.d/cephadmin"],
    }


# --- the orchestration


def test_what_does_not_wait_for_something_runs_at_the_same_time(tmp_path: Path, pillar: dict[str, Any]) -> None:
    assert needs(Site(tmp_path, pillar)) == {
        "keys": set(),
        "monitors": {"keys"},
        "hosts": {"keys"},
        "quorum": {"monitors"},
        "services": {"quorum", "hosts", "keys"},
        "cluster": {"quorum"},
        "ready": {"quorum", "cluster", "services"},
        "block": {"ready"},
        "client_keys": {"cluster"},
        "clients": {"ready", "client_keys"},
        "healthy": {"ready", "block", "clients"},
    }


def test_targets_and_conditions_follow_from_the_pillar(tmp_path: Path, pillar: dict[str, Any]) -> None:
    found = steps(Site(tmp_path, pillar))
    assert found["monitors"].args["tgt"] == ["mon1"]
    assert found["hosts"].args["tgt"] == ["osd1", "osd2", "osd3", "compute1"]
    assert found["services"].args["tgt"] == ["mon1", "osd1", "osd2", "osd3"]
    assert found["quorum"].args["condition"] == "quorum_size == 1"
    assert found["ready"].args["condition"].split(" and ") == [
        *("osds_up >= 3", "osds_in >= 3", "pgs_active_clean == pgs_total", "pgs_total > 0", "mds_active >= 1")
    ]
    assert found["client_keys"].args["kwarg"] == {"entities": ["nova", "cinder"]}
    assert found["clients"].args["pillar"]["ceph"]["keys"]["users"] == {
        "nova": "${steps.client_keys.*.nova}",
        "cinder": "${steps.client_keys.*.cinder}",
    }


def test_the_gates_open_for_a_whole_cluster_only(tmp_path: Path, pillar: dict[str, Any]) -> None:
    found = steps(Site(tmp_path, pillar))
    ready = expression.parse(found["ready"].args["condition"])
    healthy = expression.parse(found["healthy"].args["condition"])
    whole: dict[str, Any] = {"osds_up": 3, "osds_in": 3, "pgs_active_clean": 49, "pgs_total": 49, "mds_active": 1}
    whole |= {"health": "HEALTH_OK", "mgr_available": True}
    assert ready.holds(whole)
    assert healthy.holds(whole)
    for lacking in (
        {"osds_up": 2},
        {"pgs_active_clean": 48},
        {"pgs_active_clean": 0, "pgs_total": 0},
        {"mds_active": 0},
    ):
        assert not ready.holds({**whole, **lacking})
    assert not healthy.holds({**whole, "health": "HEALTH_WARN"})
    assert not healthy.holds({**whole, "mgr_available": False})
    assert not healthy.holds({**whole, "pgs_active_clean": 48})
    assert expression.parse(found["quorum"].args["condition"]).holds({"quorum_size": 1})


def test_three_hosts_may_do_everything(tmp_path: Path, hyperconverged: dict[str, Any]) -> None:
    found = steps(Site(tmp_path, hyperconverged))
    assert found["monitors"].args["tgt"] == ["node1", "node2", "node3"]
    assert found["hosts"].args["tgt"] == ["compute1"]
    assert found["quorum"].args["condition"] == "quorum_size == 3"
    assert found["monitors"].args["pillar"]["ceph"]["fsid"] == "${steps.keys.*.fsid}"
    assert found["keys"].args["kwarg"]["monitors"] == hyperconverged["ceph"]["monitors"]


def test_a_cluster_without_clients_pools_or_osds_has_fewer_steps(tmp_path: Path, pillar: dict[str, Any]) -> None:
    small = deepcopy(pillar)
    small["ceph"] = {"fsid": FSID, "monitors": {"mon1": "10.0.0.1"}, "managers": [], "pools": {}, "users": {}}
    assert needs(Site(tmp_path, small)) == {
        "keys": set(),
        "monitors": {"keys"},
        "quorum": {"monitors"},
        "ready": {"quorum"},
        "healthy": {"ready"},
    }
