"""What this host is: grains named and valued as Salt's."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from protocol.data import Data
from states.host import release
from states.host.grains import gather
from states.host.netlink import interfaces

RELEASES: list[tuple[str, dict[str, Data]]] = [
    (
        'PRETTY_NAME="Debian GNU/Linux 12 (bookworm)"\nNAME="Debian GNU/Linux"\nVERSION_ID="12"\n'
        'VERSION="12 (bookworm)"\nVERSION_CODENAME=bookworm\nID=debian\n',
        {
            "os": "Debian",
            "os_family": "Debian",
            "osfullname": "Debian GNU/Linux",
            "osrelease": "12",
            "osrelease_info": [12],
            "osmajorrelease": 12,
            "oscodename": "bookworm",
            "osfinger": "Debian-12",
        },
    ),
    (
        'PRETTY_NAME="Ubuntu 22.04.3 LTS"\nNAME="Ubuntu"\nVERSION_ID="22.04"\nVERSION="22.04.3 LTS (Jammy Jellyfish)"\n'
        "VERSION_CODENAME=jammy\nID=ubuntu\nID_LIKE=debian\n",
        {
            "os": "Ubuntu",
            "os_family": "Debian",
            "osfullname": "Ubuntu",
            "osrelease": "22.04",
            "osrelease_info": [22, 4],
            "osmajorrelease": 22,
            "oscodename": "jammy",
            "osfinger": "Ubuntu-22.04",
        },
    ),
    (
        'NAME="Rocky Linux"\nVERSION="9.3 (Blue Onyx)"\nID="rocky"\nID_LIKE="rhel centos fedora"\nVERSION_ID="9.3"\n',
        {
            "os": "Rocky",
            "os_family": "RedHat",
            "osfullname": "Rocky Linux",
            "osrelease": "9.3",
            "osrelease_info": [9, 3],
            "osmajorrelease": 9,
            "oscodename": "Blue Onyx",
            "osfinger": "Rocky Linux-9",
        },
    ),
    (
        'NAME="CentOS Stream"\nVERSION="9"\nID="centos"\nID_LIKE="rhel fedora"\nVERSION_ID="9"\n'
        'PRETTY_NAME="CentOS Stream 9"\n',
        {
            "os": "CentOS Stream",
            "os_family": "RedHat",
            "osfullname": "CentOS Stream",
            "osrelease": "9",
            "osrelease_info": [9],
            "osmajorrelease": 9,
            "oscodename": "CentOS Stream 9",
            "osfinger": "CentOS Stream-9",
        },
    ),
    (
        'NAME="openSUSE Leap"\nVERSION="15.5"\nID="opensuse-leap"\nID_LIKE="suse opensuse"\nVERSION_ID="15.5"\n'
        'PRETTY_NAME="openSUSE Leap 15.5"\n',
        {
            "os": "SUSE",
            "os_family": "Suse",
            "osfullname": "Leap",
            "osrelease": "15.5",
            "osrelease_info": [15, 5],
            "osmajorrelease": 15,
            "oscodename": "openSUSE Leap 15.5",
            "osfinger": "Leap-15",
        },
    ),
]


@pytest.mark.parametrize(("text", "expected"), RELEASES, ids=[str(each["osfinger"]) for _, each in RELEASES])
def test_the_operating_system_is_named_as_salt_names_it(text: str, expected: dict[str, Data]) -> None:
    assert release.names(release.parse(text)) == expected


def test_quotes_in_os_release() -> None:
    assert release.parse('A="x \\"y\\" \\$z"\nB=\'single\'\nC=bare\n# D=no\n') == {
        "A": 'x "y" $z',
        "B": "single",
        "C": "bare",
    }


def test_this_host() -> None:
    grains = gather()
    uname = os.uname()
    assert grains["kernel"] == "Linux"
    assert grains["kernelrelease"] == uname.release
    assert grains["localhost"] == socket.gethostname()
    assert str(grains["fqdn"]).split(".")[0] == grains["host"]
    assert "127.0.0.1" in str(grains["ipv4"])
    assert grains["boot_id"] == Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    assert isinstance(grains["mem_total"], int)
    assert grains["mem_total"] > 100
    assert isinstance(grains["num_cpus"], int)
    assert grains["num_cpus"] >= 1


def test_grains_are_plain_data() -> None:
    grains = gather()
    assert json.loads(json.dumps(grains)) == grains
    assert len(json.dumps(grains)) < 64 * 1024


def test_the_kernel_and_the_files_of_sys_agree() -> None:
    found = {each.name: each for each in interfaces()}
    assert set(found) == {path.name for path in Path("/sys/class/net").iterdir() if path.is_dir()}
    assert found["lo"].ipv4 == ["127.0.0.1"]
    for name, each in found.items():
        assert each.hwaddr == Path(f"/sys/class/net/{name}/address").read_text().strip()


def write(root: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)


def test_a_virtual_machine(tmp_path: Path) -> None:
    write(
        tmp_path,
        {
            "sys/class/dmi/id/sys_vendor": "QEMU\n",
            "sys/class/dmi/id/product_name": "Standard PC\n",
            "sys/block/vda/queue/rotational": "1\n",
            "sys/block/vda/device/x": "",
            "sys/block/nvme0n1/queue/rotational": "0\n",
            "sys/block/nvme0n1/device/x": "",
            "sys/block/loop0/queue/rotational": "0\n",
            "proc/cpuinfo": "processor\t: 0\nmodel name\t: A CPU\nflags\t\t: vmx hypervisor\n\nprocessor\t: 1\n",
            "proc/meminfo": "MemTotal:        2048000 kB\nSwapTotal:       1024 kB\n",
            "run/systemd/system/x": "",
            "usr/lib/x86_64-linux-gnu/systemd/libsystemd-shared-252.so": "",
            "etc/machine-id": "abc\n",
        },
    )
    grains = gather(tmp_path)
    expected = {
        "virtual": "kvm",
        "productname": "Standard PC",
        "disks": ["vda"],
        "SSDs": ["nvme0n1"],
        "num_cpus": 2,
        "cpu_model": "A CPU",
        "cpu_flags": ["vmx", "hypervisor"],
        "mem_total": 2000,
        "swap_total": 1,
        "init": "systemd",
        "systemd": {"version": "252"},
        "machine_id": "abc",
    }
    assert {key: grains[key] for key in expected} == expected


@pytest.mark.parametrize(
    ("files", "virtual", "subtype"),
    [
        ({"run/systemd/container": "systemd-nspawn\n"}, "container", "systemd-nspawn"),
        ({".dockerenv": ""}, "container", "Docker"),
        ({"proc/1/environ": "A=b\0container=lxc\0"}, "container", "LXC"),
        ({"proc/cpuinfo": "processor : 0\nflags : hypervisor\n"}, "kvm", None),
        ({"sys/class/dmi/id/sys_vendor": "Dell Inc.\n"}, "physical", None),
        ({"sys/class/dmi/id/sys_vendor": "Microsoft Corporation\n"}, "physical", None),
    ],
)
def test_kinds_of_machine(tmp_path: Path, files: dict[str, str], virtual: str, subtype: str | None) -> None:
    write(tmp_path, files)
    grains = gather(tmp_path)
    assert (grains["virtual"], grains.get("virtual_subtype")) == (virtual, subtype)


@pytest.mark.parametrize(
    ("hosts", "fqdn", "addresses"),
    [
        ("127.0.1.1 mon1.example.org mon1\n", "mon1.example.org", ["127.0.1.1"]),
        ("127.0.0.1 localhost\n", "mon1", []),
        ("10.0.0.1 mon1 # mon1.example.org\nfd00::1 mon1.x mon1\n", "mon1.x", ["10.0.0.1"]),
    ],
)
def test_the_full_name_comes_from_the_hosts_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, hosts: str, fqdn: str, addresses: list[str]
) -> None:
    monkeypatch.setattr(socket, "gethostname", lambda: "mon1")
    write(tmp_path, {"etc/hosts": hosts})
    grains = gather(tmp_path)
    assert (grains["fqdn"], grains["host"]) == (fqdn, "mon1")
    assert grains["fqdn_ip4"] == addresses
    assert grains["domain"] == fqdn.removeprefix("mon1").lstrip(".")


def test_it_needs_little() -> None:
    """A minion imports this at its start: no argparse, subprocess, platform or ssl with it."""
    heavy = "{'subprocess', 'platform', 'ssl', 'argparse', 'asyncio', 'email'}"
    code = f"import sys; import states.host.grains; print(sorted({heavy} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == "[]"
