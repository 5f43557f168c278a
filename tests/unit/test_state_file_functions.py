"""The functions file.*, grains.* and user.*: what a minion can be asked."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

from protocol import limits
from protocol.data import Data
from protocol.errors import ArgumentError, StateError
from states.registry import check_arguments, find_function
from tests.unit.state_contract import context


@pytest.fixture
def root(tmp_path: Path) -> Path:
    made = tmp_path / "root"
    (made / "etc").mkdir(parents=True)
    (made / "etc/passwd").write_text("ceph:x:64045:64045:Ceph,,,:/srv:/bin/sh\nann:x:1000:1000::/home/ann:\n")
    (made / "etc/group").write_text("ceph:x:64045:\nadm:x:4:ceph\n")
    (made / "f").write_bytes(b"text\xff")
    (made / "f").chmod(0o640)
    os.chown(made / "f", 64045, 4)
    (made / "link").symlink_to("f")
    return made


def call(root: Path, name: str, /, **given: Data) -> Data:
    found = find_function(name)
    grains: dict[str, Data] = {"os": "Debian", "ip_interfaces": {"eth0": ["10.0.0.1", "::1"]}}
    return found.call(context(root, grains=grains), **check_arguments(name, found.signature, given))


def test_read(root: Path) -> None:
    assert call(root, "file.read", path="/f") == "text\ufffd"
    assert call(root, "file.read", path="/link", binary=True) == b"text\xff"


def test_what_is_not_read(root: Path) -> None:
    (root / "large").write_bytes(b"x" * (limits.MAX_OUTPUT + 1))
    (root / "full").write_bytes(b"x" * limits.MAX_OUTPUT)
    os.mkfifo(root / "fifo")
    assert len(str(call(root, "file.read", path="/full"))) == limits.MAX_OUTPUT
    for path, message in (("/large", "larger than"), ("/fifo", "not a regular"), ("/etc", "directory"), ("/no", "No")):
        with pytest.raises(StateError, match=message):
            call(root, "file.read", path=path)
    with pytest.raises(StateError, match="not an absolute path"):
        call(root, "file.read", path="etc/passwd")


def test_stat(root: Path) -> None:
    told = call(root, "file.stat", path="/f")
    assert isinstance(told, dict)
    expected = {"type": "file", "mode": "0640", "user": "ceph", "group": "adm", "uid": 64045, "gid": 4, "size": 5}
    assert {key: told[key] for key in expected} == expected
    link = call(root, "file.stats", path="/link")
    assert isinstance(link, dict)
    assert (link["type"], link["target"]) == ("link", "f")
    followed = call(root, "file.stat", path="/link", follow_symlinks=True)
    assert isinstance(followed, dict)
    assert followed["type"] == "file"
    with pytest.raises(StateError, match="cannot look"):
        call(root, "file.stat", path="/none")


def test_hash(root: Path) -> None:
    assert call(root, "file.hash", path="/f") == hashlib.sha256(b"text\xff").hexdigest()
    assert call(root, "file.get_hash", path="/f", form="md5") == hashlib.md5(b"text\xff").hexdigest()
    with pytest.raises(ArgumentError, match="'crc' is no digest"):
        call(root, "file.hash", path="/f", form="crc")
    os.mkfifo(root / "fifo")
    with pytest.raises(StateError, match="not a regular file"):
        call(root, "file.hash", path="/fifo")


def test_existence(root: Path) -> None:
    (root / "dangling").symlink_to("none")
    found = [
        [call(root, f"file.{name}", path=path) for path in ("/f", "/etc", "/dangling", "/none")]
        for name in ("exists", "file_exists", "directory_exists")
    ]
    assert found == [[True, True, True, False], [True, False, False, False], [False, True, False, False]]
    assert call(root, "file.readdir", path="/etc") == ["group", "passwd"]
    with pytest.raises(StateError, match="cannot list"):
        call(root, "file.readdir", path="/f")


def test_grains(root: Path) -> None:
    assert call(root, "grains.get", key="os") == "Debian"
    assert call(root, "grains.get", key="ip_interfaces:eth0:1") == "::1"
    assert call(root, "grains.get", key="ip_interfaces:eth9", default="none") == "none"
    assert call(root, "grains.get", key="ip_interfaces/eth0/0", delimiter="/") == "10.0.0.1"
    assert call(root, "grains.item", keys=["os", "x"]) == {"os": "Debian", "x": ""}
    assert call(root, "grains.ls") == ["ip_interfaces", "os"]
    assert find_function("grains.items").inline
    assert call(root, "grains.items") == {"os": "Debian", "ip_interfaces": {"eth0": ["10.0.0.1", "::1"]}}


def test_users(root: Path) -> None:
    assert call(root, "user.list") == ["ann", "ceph"]
    assert call(root, "user.info", name="ceph") == {
        "name": "ceph",
        "uid": 64045,
        "gid": 64045,
        "fullname": "Ceph",
        "home": "/srv",
        "shell": "/bin/sh",
        "groups": ["adm", "ceph"],
    }
    assert call(root, "user.info", name="none") == {}
