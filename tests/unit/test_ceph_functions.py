"""What is asked of a cluster comes back as plain numbers, and founding keys are made once."""

import json
import socket
import struct
import tempfile
import threading
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from protocol.data import Data
from protocol.errors import ArgumentError, RefusedError, StateError
from protocol.secrets import Secret
from states import registry
from states.ceph import asok, client, status
from states.context import Context
from tests.unit.fake_ceph import FSID, KEYS, Host

STATUS: dict[str, Any] = json.loads(
    '{"fsid":"2f660396-6615-4bae-bf9a-c31fde1266b4","health":{"status":"HEALTH_WARN","checks":{"OSD_DOWN":{"severity":'
    '"HEALTH_WARN","summary":{"message":"1 osds down","count":1},"muted":false},"POOL_NO_REDUNDANCY":{"severity":'
    '"HEALTH_WARN","summary":{"message":"1 pool(s)","count":1},"muted":true}},"mutes":[]},"election_epoch":5,"quorum":'
    '[0],"quorum_names":["mon1"],"quorum_age":234,"monmap":{"epoch":1,"min_mon_release_name":"pacific","num_mons":3},'
    '"osdmap":{"epoch":36,"num_osds":3,"num_up_osds":2,"osd_up_since":1795151684,"num_in_osds":3,"osd_in_since":'
    '1795151678,"num_remapped_pgs":0},"pgmap":{"pgs_by_state":[{"state_name":"active+clean","count":30},{"state_name":'
    '"active+clean+scrubbing+deep","count":1},{"state_name":"active+undersized+degraded","count":10}],"num_pgs":41,'
    '"num_pools":6,"num_objects":25,"data_bytes":3409,"bytes_used":913809408,"bytes_avail":11971092480,"bytes_total":'
    '12884901888,"degraded_objects":7},"fsmap":{"epoch":5,"id":1,"up":1,"in":1,"max":1,"by_rank":[{"filesystem_id":1,'
    '"rank":0,"name":"mon1","status":"up:active","gid":4152}],"up:standby":1},"mgrmap":{"available":true,'
    '"num_standbys":0,"modules":["iostat"],"services":{}},"servicemap":{"epoch":3},"progress_events":{}}'
)
"""Of Ceph 16.2.15, with an OSD down."""

MON_STATUS: dict[str, Any] = {
    "name": "mon1",
    "state": "leader",
    "quorum": [0, 2],
    "monmap": {"fsid": FSID, "mons": [{"rank": rank, "name": f"mon{rank + 1}"} for rank in range(3)]},
}


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Host:
    return Host(tmp_path, monkeypatch)


def call(host: Host, name: str, kwarg: Mapping[str, Data] | None = None) -> Any:
    found = registry.find_function(name)
    client.forget()
    return found.call(host.context(), **registry.check_arguments(name, found.signature, kwarg or {}))


def test_the_status_is_told_in_numbers(host: Host) -> None:
    host.configure()
    host.cluster["status"] = STATUS
    host.save()
    told = call(host, "ceph.status")
    assert told["health"] == "HEALTH_WARN"
    assert told["checks"] == {"OSD_DOWN": "1 osds down"}
    assert (told["osds_total"], told["osds_up"], told["osds_down"], told["osds_in"]) == (3, 2, 1, 3)
    assert (told["pgs_total"], told["pgs_active_clean"], told["degraded_objects"]) == (41, 31, 7)
    assert (told["quorum"], told["quorum_size"], told["monitors"]) == (["mon1"], 1, 3)
    assert (told["mgr_available"], told["mds_active"], told["mds_standby"]) == (True, 1, 1)


def test_a_cluster_that_has_just_begun_has_numbers_too() -> None:
    young = {
        "fsid": FSID,
        "health": {"status": "HEALTH_OK"},
        "monmap": {"num_mons": 1},
        "osdmap": {"osdmap": {"num_osds": 0, "num_up_osds": 0, "num_in_osds": 0}},
        "pgmap": {"num_pgs": 0},
    }
    told = status.summary(young)
    assert (told["osds_total"], told["pgs_total"], told["mgr_available"], told["quorum_size"]) == (0, 0, False, 0)


def test_health_alone(host: Host) -> None:
    host.configure()
    host.cluster["health"] = STATUS["health"]
    host.save()
    assert call(host, "ceph.health") == {"health": "HEALTH_WARN", "checks": {"OSD_DOWN": "1 osds down"}}


def test_the_quorum_names_who_is_missing() -> None:
    told = status.quorum(MON_STATUS)
    assert (told["quorum"], told["quorum_size"], told["missing"]) == (["mon1", "mon3"], 2, ["mon2"])
    assert (told["leader"], told["state"]) == ("mon1", "leader")


def test_the_quorum_is_asked_of_the_cluster_where_there_is_no_monitor(host: Host) -> None:
    host.configure()
    host.cluster["quorum_status"] = {**MON_STATUS, "quorum_leader_name": "mon3"}
    host.save()
    assert call(host, "ceph.quorum")["leader"] == "mon3"


def test_osds_may_stop_or_not_and_why(host: Host) -> None:
    host.configure()
    assert call(host, "ceph.ok_to_stop", {"osds": ["osd.0"]}) == {"ok": True, "reason": ""}
    refused = call(host, "ceph.ok_to_stop", {"osds": [0, 1]})
    assert refused["ok"] is False
    assert "41 PGs" in refused["reason"]
    with pytest.raises(ArgumentError):
        call(host, "ceph.ok_to_stop", {"osds": ["--all"]})


def test_keys_of_users_are_secrets_under_their_short_names(host: Host) -> None:
    host.configure()
    told = call(host, "ceph.keyring_get", {"entities": ["admin", "client.bootstrap-osd"]})
    assert {name: key.reveal() for name, key in told.items()} == {
        "admin": KEYS["admin"],
        "bootstrap-osd": KEYS["bootstrap_osd"],
    }
    assert registry.find_function("ceph.keyring_get").secret
    with pytest.raises(StateError, match=r"client\.nobody"):
        call(host, "ceph.keyring_get", {"entities": ["nobody"]})


# --- founding keys


def founding(host: Host, **kwarg: Data) -> dict[str, str]:
    return {name: value[:] for name, value in call(host, "ceph.bootstrap_keys", kwarg).items()}


def test_founding_keys_follow_from_the_hosts_identity_and_leave_no_trace(host: Host) -> None:
    host.join()
    first = call(host, "ceph.bootstrap_keys")
    assert set(first) == {"fsid", *KEYS}
    assert all(isinstance(first[name], Secret) for name in KEYS)
    assert len({value[:] for value in first.values()}) == 4
    assert uuid.UUID(first["fsid"]).version == 4
    assert founding(host) == {name: value[:] for name, value in first.items()}
    assert [path.name for path in host.state_dir.iterdir()] == ["identity"]
    host.join("another identity")
    assert not set(founding(host).values()) & {value[:] for value in first.values()}


def test_another_fsid_gives_other_keys_and_one_that_is_none_is_refused(host: Host) -> None:
    host.join()
    assert founding(host, fsid=FSID)["fsid"] == FSID
    assert founding(host, fsid=FSID)["admin"] != founding(host)["admin"]
    with pytest.raises(ArgumentError):
        founding(host, fsid="x")


def test_a_host_without_an_identity_is_told_to_join(host: Host) -> None:
    with pytest.raises(StateError, match="stackminion join"):
        founding(host)


def existing(host: Host) -> None:
    """A cluster that others made: a monitor's store, ceph.conf and the admin keyring."""
    host.configure()
    host.put("/var/lib/ceph/mon/ceph-mon1/keyring", f"[mon.]\n\tkey = {KEYS['mon']}\n", 0o600)
    (host.root / "var/lib/ceph/mon/ceph-mon1/store.db").mkdir()


def test_the_keys_of_a_cluster_that_exists_are_found_and_the_lacking_asked_for(host: Host) -> None:
    existing(host)
    assert founding(host) == {"fsid": FSID, **KEYS}
    (host.root / "etc/ceph/ceph.client.admin.keyring").unlink()
    assert founding(host) == {"fsid": FSID, **KEYS}


def test_a_cluster_that_exists_and_does_not_answer_gets_no_second_set_of_keys(host: Host) -> None:
    host.join()
    existing(host)
    host.cluster["up"] = False
    host.save()
    with pytest.raises(StateError):
        founding(host)


def test_a_cluster_that_exists_keeps_its_fsid(host: Host) -> None:
    existing(host)
    with pytest.raises(StateError, match=FSID):
        founding(host, fsid="11111111-2222-3333-4444-555555555555")


@pytest.fixture
def answering_monitor(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, Data]]:
    """The pillar's monitors, of which one takes connections."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        monkeypatch.setattr("states.ceph.founding._MONITOR_PORT", server.getsockname()[1])
        yield {"mon2": "127.0.0.1"}


def test_no_second_cluster_is_begun_beside_monitors_that_answer(host: Host, answering_monitor: Data) -> None:
    host.join()
    with pytest.raises(RefusedError, match="mon2"):
        founding(host, monitors=answering_monitor)
    host.configure()
    (host.root / "etc/ceph/ceph.client.admin.keyring").unlink()
    with pytest.raises(RefusedError, match="second cluster"):
        founding(host, monitors=answering_monitor)


def test_a_founding_that_was_cut_short_is_known_by_its_keys(host: Host, answering_monitor: Data) -> None:
    host.join()
    first = founding(host, fsid=FSID)
    host.configure()
    (host.root / "etc/ceph/ceph.client.admin.keyring").unlink()
    host.cluster["auth"]["client.admin"]["key"] = first["admin"]
    host.cluster["health"] = {"status": "HEALTH_OK"}
    host.save()
    assert founding(host, fsid=FSID, monitors=answering_monitor) == first


def test_a_monitor_that_lost_its_store_asks_the_others_with_the_admin_key(host: Host, answering_monitor: Data) -> None:
    host.configure()
    assert founding(host, monitors=answering_monitor) == {"fsid": FSID, **KEYS}


# --- a daemon's own socket


@pytest.fixture
def run_folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        (Path(folder) / "run/ceph").mkdir(parents=True)
        yield Path(folder)


def answering(path: Path, *answers: bytes) -> threading.Thread:
    """A daemon that answers each caller with the next of `answers`, once it has asked."""
    server = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    server.bind(str(path))
    server.listen()

    def serve() -> None:
        with server:
            for answer in answers:
                with server.accept()[0] as link:
                    asked = b""
                    while not asked.endswith(b"\0"):
                        asked += link.recv(100)
                    assert json.loads(asked[:-1]) == {"prefix": "mon_status"}
                    link.sendall(answer)

    thread = threading.Thread(target=serve)
    thread.start()
    return thread


def test_a_daemon_is_asked_by_its_socket_and_silence_or_nonsense_is_no_answer(run_folder: Path) -> None:
    context = Context(minion="mon1", grains={}, root=run_folder)
    assert asok.ask(context, "mon.mon1", "mon_status") is None
    good = json.dumps(MON_STATUS).encode()
    nonsense = b"no valid command found"
    answers = (struct.pack(">I", len(good)) + good, struct.pack(">I", len(nonsense)) + nonsense, b"\0\0")
    thread = answering(run_folder / "run/ceph/ceph-mon.mon1.asok", *answers)
    assert asok.ask(context, "mon.mon1", "mon_status") == MON_STATUS
    assert asok.ask(context, "mon.mon1", "mon_status") is None
    assert asok.ask(context, "mon.mon1", "mon_status") is None
    thread.join(10)
    assert not thread.is_alive()


def test_the_cluster_of_a_hosts_monitor_is_known_by_its_socket(run_folder: Path) -> None:
    context = Context(minion="mon1", grains={}, root=run_folder)
    assert asok.own_cluster(context) is None
    good = json.dumps(MON_STATUS).encode()
    thread = answering(run_folder / "run/ceph/ceph-mon.mon1.asok", struct.pack(">I", len(good)) + good)
    assert asok.own_cluster(context) == FSID
    thread.join(10)


def test_a_monitor_without_an_address_is_refused_before_anything_is_made(host: Host) -> None:
    with pytest.raises(ArgumentError, match="'not an address'"):
        call(host, "ceph.bootstrap_keys", {"monitors": {"mon1": "not an address"}})
