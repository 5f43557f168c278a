"""dpkg's own files are read without a process, once for each version of them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from protocol.errors import StateError
from states.context import Context
from states.host import apt, dpkg
from states.host.packages import Available, Effect

STATUS = """\
Package: librados2
Status: install ok installed
Architecture: amd64
Multi-Arch: same
Version: 16.2.15+ds-0+deb12u1
Provides: librados, rados-abi (= 2), other:any
Description: RADOS
 Version: this is not a field

Package: librados2
Status: install ok half-configured
Architecture: i386
Version: 16.2.15+ds-0+deb12u1

Package: old
Status: deinstall ok config-files
Architecture: all
Version: 1.0
Provides: nothing

Package: kept
Status: hold ok installed
Architecture: all
Version: 2

Package: purged
Status: purge ok not-installed
Architecture: amd64
"""


@pytest.fixture
def ctx(tmp_path: Path) -> Context:
    folder = tmp_path / "var/lib/dpkg"
    (folder / "updates").mkdir(parents=True)
    (folder / "status").write_text(STATUS)
    return Context("m1", {}, root=tmp_path)


def test_what_the_status_file_says(ctx: Context) -> None:
    found = dpkg.read(ctx)
    rados, kept, old, purged = (found.find(name) for name in ("librados2", "kept", "old", "purged"))
    assert rados and rados.version == "16.2.15+ds-0+deb12u1" and rados.arch == "amd64" and rados.complete
    assert kept and kept.held
    assert old and old.leftover and not old.complete
    assert purged and not purged.complete and not purged.leftover
    assert found.find("nowhere") is None
    assert found.provides == {"librados": ("librados2",), "rados-abi": ("librados2",), "other": ("librados2",)}
    assert len(list(found.all())) == 5


def test_an_architecture_can_be_asked_for(ctx: Context) -> None:
    foreign = dpkg.read(ctx).find("librados2:i386")
    assert foreign is not None
    assert foreign.state == "half-configured"
    assert dpkg.read(ctx).find("librados2:arm64") is None
    assert dpkg.read(ctx).find("kept:amd64") is not None


def test_it_is_read_again_only_when_it_changed(ctx: Context) -> None:
    status = ctx.path("/var/lib/dpkg/status")
    first = dpkg.read(ctx)
    assert dpkg.read(ctx) is first
    status.write_text(STATUS.replace("Version: 2\n", "Version: 3\n"))
    os.utime(status, ns=(1, 1))
    again = dpkg.read(ctx).find("kept")
    assert again is not None
    assert again.version == "3"


def test_the_journal_of_an_interrupted_dpkg_counts(ctx: Context) -> None:
    assert not dpkg.read(ctx).journal
    entry = "Package: kept\nStatus: install ok unpacked\nArchitecture: all\nVersion: 4\n"
    ctx.path("/var/lib/dpkg/updates/0000").write_text(entry)
    found = dpkg.read(ctx)
    kept = found.find("kept")
    assert found.journal
    assert kept is not None
    assert (kept.version, kept.complete, kept.held) == ("4", False, False)


def test_no_database_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(StateError, match="dpkg's database cannot be read") as caught:
        dpkg.read(Context("m1", {}, root=tmp_path))
    assert caught.value.where.file.endswith("/var/lib/dpkg/status")


def test_what_apt_cache_policy_prints() -> None:
    text = """\
hello:
  Installed: 2.9-1
  Candidate: 2.10-3
  Version table:
     2.10-3 500
        500 http://deb.debian.org/debian bookworm/main amd64 Packages
 *** 2.9-1 100
        100 /var/lib/dpkg/status
libc6:i386:
  Installed: (none)
  Candidate: 2.36-9
  Version table:
     2.36-9 -1
mail-transport-agent:
  Installed: (none)
  Candidate: (none)
  Version table:
"""
    assert apt.parse_policy(text) == {
        "hello": Available("hello", "2.10-3", ("2.10-3", "2.9-1")),
        "libc6:i386": Available("libc6:i386", "2.36-9", ("2.36-9",)),
        "mail-transport-agent": Available("mail-transport-agent", None, ()),
    }


def test_what_a_simulation_prints() -> None:
    text = """\
Reading package lists...
The following NEW packages will be installed:
  hello
Inst libc6:i386 (2.36-9 Debian:12.0/stable [i386])
Inst hello [2.9-1] (2.10-3 Debian:12.0/stable [amd64]) []
Inst down [2] (1 Lab:1/lab [all])
Inst same [2] (2 Lab:1/lab [all])
Remv gone [1.0] [other ]
Purg conf
Conf hello (2.10-3 Debian:12.0/stable [amd64])
"""
    assert apt.parse_simulation(text) == (
        Effect("install", "libc6:i386", None, "2.36-9"),
        Effect("upgrade", "hello", "2.9-1", "2.10-3"),
        Effect("downgrade", "down", "2", "1"),
        Effect("reinstall", "same", "2", "2"),
        Effect("remove", "gone", "1.0", None),
        Effect("purge", "conf", None, None),
    )
