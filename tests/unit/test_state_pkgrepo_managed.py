"""pkgrepo.*: what they foretell is what they do, a second run is empty, and no unproven key is taken."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import pytest

from protocol.errors import ArgumentError, StateError
from states import pkgrepo
from states.contract import DeedError, Plan
from states.host import apt, apt_keys, openpgp
from tests.unit.fake_apt import FakeApt
from tests.unit.openpgp_samples import ED25519, ED25519_FINGERPRINT, RSA, RSA_FINGERPRINT

ENTRY = "deb http://download.ceph.com/debian-reef bookworm main"
PATH = "/etc/apt/sources.list.d/download.ceph.com-debian-reef-bookworm.list"
RING = "/etc/apt/keyrings/download.ceph.com-debian-reef-bookworm.gpg"


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeApt:
    monkeypatch.setattr(apt, "_refreshed", set())
    fake = FakeApt(tmp_path)
    fake.lists = ["download.ceph.com_debian-reef_dists_bookworm_InRelease"]
    fake.lay()
    (tmp_path / "srv").mkdir()
    (tmp_path / "srv/key.asc").write_text(ED25519)
    return fake


def apply(plan: Plan) -> list[Any]:
    return [action.perform() for action in plan.actions]


def told(plan: Plan) -> list[tuple[str, str, str]]:
    return [change.foretold() for change in plan.changes]


def test_a_repository_with_its_key(host: FakeApt) -> None:
    ctx = host.context()
    plan = pkgrepo.managed(ctx, ENTRY, key_url="/srv/key.asc", architectures=["amd64"])
    assert told(plan) == [("create", RING, "key"), ("create", PATH, "entry")]
    assert plan.changes[0].new == ED25519_FINGERPRINT
    apply(plan)
    assert ctx.path(PATH).read_text() == (
        f"deb [arch=amd64 signed-by={RING}] http://download.ceph.com/debian-reef bookworm main\n"
    )
    assert ctx.path(RING).read_bytes() == openpgp.binary(ED25519.encode())
    assert ctx.path(RING).stat().st_mode & 0o777 == 0o644
    assert host.transactions() == [["apt-get", "update"]]
    assert not pkgrepo.managed(ctx, ENTRY, key_url="/srv/key.asc", architectures=["amd64"]).actions


def test_a_dry_run_tells_the_same_and_touches_nothing(host: FakeApt) -> None:
    dry = pkgrepo.managed(host.context(test=True), ENTRY, key_url="/srv/key.asc")
    assert dry.changes == pkgrepo.managed(host.context(), ENTRY, key_url="/srv/key.asc").changes
    assert host.calls() == []
    assert not (host.root / "etc/apt/keyrings").exists()


def test_a_changed_key_is_replaced(host: FakeApt) -> None:
    ctx = host.context()
    apply(pkgrepo.managed(ctx, ENTRY, key_text=RSA))
    plan = pkgrepo.managed(ctx, ENTRY, key_text=ED25519)
    assert told(plan) == [("change", RING, "key")]
    assert (plan.changes[0].old, plan.changes[0].new) == (RSA_FINGERPRINT, ED25519_FINGERPRINT)


def test_an_armoured_key_ring_by_its_suffix(host: FakeApt) -> None:
    ctx = host.context()
    entry = ENTRY.replace("deb ", "deb [signed-by=/etc/apt/keyrings/ceph.asc] ")
    apply(pkgrepo.managed(ctx, entry, key_url="/srv/key.asc"))
    assert ctx.path("/etc/apt/keyrings/ceph.asc").read_text() == ED25519
    assert not pkgrepo.managed(ctx, entry, key_url="/srv/key.asc").actions


def test_an_entry_is_edited_where_it_is(host: FakeApt) -> None:
    ctx = host.context()
    ctx.path("/etc/apt/sources.list").write_text("# mine\ndeb http://download.ceph.com/debian-reef/ bookworm test\n")
    plan = pkgrepo.managed(ctx, ENTRY)
    assert told(plan) == [("change", "/etc/apt/sources.list", "entry")]
    apply(plan)
    assert ctx.path("/etc/apt/sources.list").read_text() == f"# mine\n{ENTRY}\n"


def test_dist_comps_file_and_clean_file(host: FakeApt) -> None:
    ctx = host.context()
    path = "/etc/apt/sources.list.d/ceph.list"
    ctx.path(path).write_text("deb http://old/ old main\n")
    given: dict[str, Any] = {"file": path, "dist": "trixie", "comps": "main,test", "clean_file": True, "refresh": False}
    apply(pkgrepo.managed(ctx, ENTRY, **given))
    assert ctx.path(path).read_text() == "deb http://download.ceph.com/debian-reef trixie main test\n"
    assert not pkgrepo.managed(ctx, ENTRY, **given).actions
    assert host.calls() == []


def test_a_deb822_repository(host: FakeApt) -> None:
    ctx = host.context()
    given: dict[str, Any] = {
        "uris": "http://download.ceph.com/debian-reef",
        "suites": "bookworm",
        "components": ["main"],
        "signed_by": "/etc/apt/keyrings/ceph.gpg",
        "key_url": "/srv/key.asc",
    }
    apply(pkgrepo.managed(ctx, "ceph", **given))
    path = ctx.path("/etc/apt/sources.list.d/ceph.sources")
    assert path.read_text() == (
        "X-Repolib-Name: ceph\nTypes: deb\nURIs: http://download.ceph.com/debian-reef\nSuites: bookworm\n"
        "Components: main\nSigned-By: /etc/apt/keyrings/ceph.gpg\n"
    )
    assert not pkgrepo.managed(ctx, "ceph", **given).actions
    apply(pkgrepo.managed(ctx, "ceph", **given, disabled=True))
    assert "Enabled: no\n" in path.read_text()
    apply(pkgrepo.absent(ctx, "ceph"))
    assert not path.exists()


def test_a_line_may_become_a_stanza(host: FakeApt) -> None:
    ctx = host.context()
    apply(pkgrepo.managed(ctx, "deb [trusted=yes arch=amd64,arm64] file:/repo ./", format="deb822", refresh=False))
    assert ctx.path("/etc/apt/sources.list.d/repo.sources").read_text() == (
        "Types: deb\nURIs: file:/repo\nSuites: ./\nTrusted: yes\nArchitectures: amd64 arm64\n"
    )


def test_disabled_keeps_the_entry_switched_off(host: FakeApt) -> None:
    ctx = host.context()
    apply(pkgrepo.managed(ctx, ENTRY, disabled=True))
    assert ctx.path(PATH).read_text() == f"# {ENTRY}\n"
    assert host.calls() == []
    apply(pkgrepo.managed(ctx, ENTRY))
    assert ctx.path(PATH).read_text() == f"{ENTRY}\n"


def test_lists_that_were_never_fetched_are_fetched(host: FakeApt) -> None:
    ctx = host.context()
    apply(pkgrepo.managed(ctx, ENTRY, refresh=False))
    plan = pkgrepo.managed(ctx, ENTRY)
    assert told(plan) == [("create", PATH, "package lists")]
    apply(plan)
    assert not pkgrepo.managed(ctx, ENTRY).actions


def test_a_fetch_that_fails_is_an_error_of_a_change_that_was_made(host: FakeApt) -> None:
    host.fails = {"apt-get": ["E: The repository is not signed. NO_PUBKEY 1234\n"]}
    host.write()
    ctx = host.context()
    with pytest.raises(DeedError, match="NO_PUBKEY"):
        apply(pkgrepo.managed(ctx, ENTRY))
    assert ctx.path(PATH).exists()
    assert told(pkgrepo.managed(ctx, ENTRY)) == [("create", PATH, "package lists")]


def test_the_same_repository_in_two_files_is_warned_of(host: FakeApt) -> None:
    ctx = host.context()
    ctx.path("/etc/apt/sources.list").write_text(f"{ENTRY}\n")
    plan = pkgrepo.managed(ctx, ENTRY, file="/etc/apt/sources.list.d/ceph.list")
    assert plan.warnings == ("the same repository is also in /etc/apt/sources.list",)


def test_absent_removes_entries_and_empty_files(host: FakeApt) -> None:
    ctx = host.context()
    apply(pkgrepo.managed(ctx, ENTRY))
    ctx.path("/etc/apt/sources.list").write_text(f"# mine\n{ENTRY}\ndeb file:/repo ./\n")
    plan = pkgrepo.absent(ctx, ENTRY)
    assert told(plan) == [("change", "/etc/apt/sources.list", "entry"), ("remove", PATH, "entry")]
    apply(plan)
    assert ctx.path("/etc/apt/sources.list").read_text() == "# mine\ndeb file:/repo ./\n"
    assert not ctx.path(PATH).exists()
    assert not pkgrepo.absent(ctx, ENTRY).actions


def fetched(monkeypatch: pytest.MonkeyPatch, content: str) -> list[str]:
    asked: list[str] = []

    def fetch(url: str, deadline: float) -> bytes:
        asked.append(url)
        return content.encode()

    monkeypatch.setattr(apt_keys, "_fetch", fetch)
    return asked


def test_a_key_from_the_web_is_proven_by_its_hash_and_not_fetched_again(
    host: FakeApt, monkeypatch: pytest.MonkeyPatch
) -> None:
    ctx = host.context()
    asked = fetched(monkeypatch, ED25519)
    url = "https://download.ceph.com/keys/release.asc"
    given: dict[str, Any] = {"key_url": url, "key_hash": f"sha256={hashlib.sha256(ED25519.encode()).hexdigest()}"}
    apply(pkgrepo.managed(ctx, ENTRY, **given))
    assert not pkgrepo.managed(ctx, ENTRY, **given).actions
    assert asked == [url]
    ctx.path(RING).write_bytes(b"tampered")
    assert told(pkgrepo.managed(ctx, ENTRY, **given)) == [("change", RING, "key")]


def test_a_key_from_the_web_with_another_hash_or_id_is_refused(host: FakeApt, monkeypatch: pytest.MonkeyPatch) -> None:
    fetched(monkeypatch, ED25519)
    ctx = host.context()
    with pytest.raises(StateError, match="has the SHA-256"):
        apply(pkgrepo.managed(ctx, ENTRY, key_url="https://x/key", key_hash="sha256=" + "0" * 64))
    with pytest.raises(StateError, match="is not in https://x/key"):
        apply(pkgrepo.managed(ctx, ENTRY, key_url="https://x/key", keyid=RSA_FINGERPRINT))
    assert not ctx.path(RING).exists()


def test_a_key_server_gives_the_key_of_an_id(host: FakeApt, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = fetched(monkeypatch, RSA)
    ctx = host.context()
    given: dict[str, Any] = {"keyserver": "hkp://keyserver.ubuntu.com:80", "keyid": RSA_FINGERPRINT[-16:]}
    apply(pkgrepo.managed(ctx, ENTRY, **given))
    assert asked == [f"https://keyserver.ubuntu.com/pks/lookup?op=get&options=mr&search=0x{RSA_FINGERPRINT[-16:]}"]
    assert not pkgrepo.managed(ctx, ENTRY, **given).actions


@pytest.mark.parametrize(
    "given",
    [
        {"key_url": "https://x/key"},
        {"key_url": "http://x/key", "key_hash": "sha256=" + "0" * 64},
        {"key_url": "https://x/key", "keyid": "753BE81B"},
        {"keyserver": "keyserver.ubuntu.com"},
        {"key_text": ED25519, "key_hash": "md5=1"},
        {"file": "/etc/passwd"},
        {"file": "/etc/apt/sources.list.d/../x.list"},
        {"file": "/etc/apt/sources.list.d/x.sources", "format": "oneline"},
        {"format": "rpm"},
        {"comps": "main#x"},
        {"dist": "bookworm\ndeb"},
    ],
)
def test_what_is_unproven_or_misplaced_is_refused(host: FakeApt, given: dict[str, Any]) -> None:
    with pytest.raises(ArgumentError):
        pkgrepo.managed(host.context(), ENTRY, **given)


def test_a_name_that_is_no_entry_is_refused(host: FakeApt) -> None:
    with pytest.raises(ArgumentError, match="is not an entry"):
        pkgrepo.managed(host.context(), "ceph")
    with pytest.raises(ArgumentError, match="needs suites"):
        pkgrepo.managed(host.context(), "ceph", uris="http://x")


def test_a_missing_key_is_an_error_unless_it_is_foretold(host: FakeApt) -> None:
    with pytest.raises(StateError, match="no key at /srv/later"):
        pkgrepo.managed(host.context(), ENTRY, key_url="/srv/later.gpg")
    plan = pkgrepo.managed(host.context(test=True, pending=True), ENTRY, key_url="/srv/later.gpg")
    assert told(plan)[0] == ("create", RING, "key")
