"""Keyring files hold the right key for their owner, whatever else is in them, and never show it."""

from pathlib import Path

import pytest

from protocol.data import Data
from protocol.secrets import UNKNOWN, Secret
from states.ceph import keys
from tests.unit.fake_ceph import KEYS, Host

PATH = "/etc/ceph/ceph.client.nova.keyring"
KEY = Secret("AQCtaXJlAAAAABAAbm92YW5vdmFub3Zhbm92YW==")
GIVEN: dict[str, Data] = {"entity": "client.nova", "key": KEY}


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Host:
    return Host(tmp_path, monkeypatch)


def test_a_given_key_is_written_for_its_owner_only_and_not_shown(host: Host) -> None:
    made = host.settle("ceph.keyring", PATH, GIVEN)
    assert host.get(PATH) == f"[client.nova]\n\tkey = {KEY.reveal()}\n"
    assert (host.root / PATH.lstrip("/")).stat().st_mode & 0o777 == 0o600
    assert KEY.reveal() not in repr(made)


@pytest.mark.parametrize(
    "damaged", ["garbage", "", "[client.nova]\n\tkey = AQCtaXJlAAAAABAAb3RoZXJvdGhlcm90aGVyb3==\n"]
)
def test_a_damaged_file_is_written_anew(host: Host, damaged: str) -> None:
    host.put(PATH, damaged, 0o600)
    mended = host.settle("ceph.keyring", PATH, GIVEN)
    assert [c.aspect for c in mended.changes] == ["content"]
    assert keys.parse(host.get(PATH))["client.nova"].key == KEY


def test_a_readable_file_is_closed_again(host: Host) -> None:
    host.settle("ceph.keyring", PATH, GIVEN)
    (host.root / PATH.lstrip("/")).chmod(0o644)
    mended = host.settle("ceph.keyring", PATH, GIVEN)
    assert [(c.aspect, c.old, c.new) for c in mended.changes] == [("mode", "0644", "0600")]


def test_the_same_key_written_otherwise_and_other_entities_stay(host: Host) -> None:
    by_hand = f'# by hand\n[client.x]\nkey={KEYS["mon"]}\n[client.nova]\n  key={KEY.reveal()}\n  caps mon = "allow r"\n'
    host.put(PATH, by_hand, 0o600)
    assert host.settle("ceph.keyring", PATH, GIVEN).changes == ()
    other: dict[str, Data] = {"entity": "client.nova", "key": Secret(KEYS["admin"])}
    host.settle("ceph.keyring", PATH, other)
    held = keys.parse(host.get(PATH))
    assert held["client.x"].key.reveal() == KEYS["mon"]
    assert (held["client.nova"].key.reveal(), held["client.nova"].caps) == (KEYS["admin"], {"mon": "allow r"})


def test_without_a_key_the_cluster_is_asked(host: Host) -> None:
    host.configure()
    host.cluster["auth"]["client.nova"] = {"key": KEY.reveal(), "caps": {}}
    host.save()
    host.settle("ceph.keyring", PATH, {"entity": "client.nova"})
    assert keys.parse(host.get(PATH))["client.nova"].key == KEY


def test_without_a_key_or_a_cluster_a_file_that_holds_one_is_kept(host: Host) -> None:
    host.put(PATH, f"[client.nova]\n\tkey = {KEY.reveal()}\n", 0o644)
    kept = host.settle("ceph.keyring", PATH, {"entity": "client.nova"})
    assert [c.aspect for c in kept.changes] == ["mode"]


def test_without_anything_it_fails_and_in_a_dry_run_it_is_foretold(host: Host) -> None:
    assert host.apply("ceph.keyring", PATH, {"entity": "client.nova"}).result is False
    foretold = host.apply("ceph.keyring", PATH, {"entity": "client.nova"}, test=True, pending=True)
    assert [c.foretold() for c in foretold.changes] == [("create", PATH, "content")]


def test_an_entity_that_the_cluster_lacks_is_an_error_with_help(host: Host) -> None:
    host.configure()
    failed = host.apply("ceph.keyring", PATH, {"entity": "client.nova"})
    assert failed.result is False
    assert "ceph.auth" in failed.comment


def test_a_key_to_come_is_foretold_without_comparing_and_never_written(host: Host) -> None:
    host.put(PATH, f"[client.nova]\n\tkey = {KEY.reveal()}\n", 0o600)
    args: dict[str, Data] = {"entity": "client.nova", "key": Secret(UNKNOWN)}
    assert [c.foretold() for c in host.apply("ceph.keyring", PATH, args, test=True).changes] == [
        ("change", PATH, "content")
    ]
    assert host.apply("ceph.keyring", PATH, args).result is False
    assert KEY.reveal() in host.get(PATH)
