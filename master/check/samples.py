"""The minions that a check tries a tree with: grains of common systems, or those that a person gives."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from protocol.data import Data


@dataclass(frozen=True, slots=True)
class Sample:
    """One made-up or given minion; `given` when a person gave its grains."""

    name: str
    grains: Mapping[str, Data]
    given: bool = False

    @property
    def id(self) -> str:
        """Its minion id."""
        return str(self.grains.get("id", self.name))


_SYSTEMS: Final[Mapping[str, Mapping[str, Any]]] = {
    "debian": {
        "os": "Debian", "os_family": "Debian", "osfullname": "Debian GNU/Linux", "oscodename": "bookworm",
        "osrelease": "12", "osmajorrelease": 12, "osrelease_info": [12], "osarch": "amd64",
        "kernelrelease": "6.1.0-18-amd64",
    },
    "ubuntu": {
        "os": "Ubuntu", "os_family": "Debian", "osfullname": "Ubuntu", "oscodename": "jammy", "osrelease": "22.04",
        "osmajorrelease": 22, "osrelease_info": [22, 4], "osarch": "amd64",
        "kernelrelease": "5.15.0-91-generic",
    },
    "centos": {
        "os": "CentOS", "os_family": "RedHat", "osfullname": "CentOS Stream", "oscodename": "CentOS Stream 9",
        "osrelease": "9", "osmajorrelease": 9, "osrelease_info": [9], "osarch": "x86_64",
        "kernelrelease": "5.14.0-427.el9.x86_64",
    },
    "suse": {
        "os": "SUSE", "os_family": "Suse", "osfullname": "Leap", "oscodename": "openSUSE Leap 15.5",
        "osrelease": "15.5", "osmajorrelease": 15, "osrelease_info": [15, 5], "osarch": "x86_64",
        "kernelrelease": "5.14.21-150500.53-default",
    },
}  # fmt: skip
"""Grains as Salt has them on each system (https://docs.saltproject.io/en/latest/topics/grains/)."""

_NUMBERS: Final = {"debian": 11, "ubuntu": 12, "centos": 13, "suse": 14}


def sampled(names: tuple[str, ...] = ()) -> list[Sample]:
    """The shipped samples, or those called `names`."""
    return [Sample(name, _whole(name)) for name in names or tuple(_SYSTEMS)]


def sample_names() -> tuple[str, ...]:
    """What there is."""
    return tuple(_SYSTEMS)


def given(grains: Mapping[str, Data], name: str) -> Sample:
    """A sample from grains that a person gave; what they leave out is that of the nearest shipped one."""
    family = str(grains.get("os_family", ""))
    near = next((each for each, own in _SYSTEMS.items() if own["os"] == grains.get("os")), None)
    near = near or next((each for each, own in _SYSTEMS.items() if own["os_family"] == family), "debian")
    identifier = str(grains.get("id", name))
    return Sample(
        identifier, {**_whole(near), "host": identifier, "nodename": identifier, **grains, "id": identifier}, True
    )


def _whole(name: str) -> dict[str, Data]:
    own = _SYSTEMS[name]
    address = f"192.0.2.{_NUMBERS[name]}"
    mac = f"52:54:00:00:00:{_NUMBERS[name]:02x}"
    return {
        **own,
        "id": name, "host": name, "nodename": name, "fqdn": f"{name}.example.com", "domain": "example.com",
        "localhost": name, "osfinger": f"{own['osfullname']}-{own['osrelease']}",
        "lsb_distrib_codename": own["oscodename"],
        "kernel": "Linux", "cpuarch": "x86_64", "num_cpus": 4, "cpu_model": "QEMU Virtual CPU", "mem_total": 8192,
        "swap_total": 0, "init": "systemd", "systemd": {"version": "252", "features": ""}, "virtual": "kvm",
        "ipv4": ["127.0.0.1", address], "ipv6": ["::1"], "fqdn_ip4": [address], "fqdn_ip6": [],
        "ip_interfaces": {"lo": ["127.0.0.1", "::1"], "eth0": [address]},
        "ip4_interfaces": {"lo": ["127.0.0.1"], "eth0": [address]}, "ip6_interfaces": {"lo": ["::1"], "eth0": []},
        "ip4_gw": "192.0.2.1", "ip6_gw": False, "ip_gw": True,
        "hwaddr_interfaces": {"lo": "00:00:00:00:00:00", "eth0": mac}, "disks": ["vda", "vdb"], "SSDs": [],
        "machine_id": "0123456789abcdef0123456789abcdef", "manufacturer": "QEMU", "productname": "Standard PC",
        "biosversion": "1.16.2", "serialnumber": "", "uuid": "00000000-0000-4000-8000-000000000000",
        "path": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "shell": "/bin/sh", "ps": "ps -efHww",
        "pythonversion": [3, 11, 2, "final", 0], "pythonexecutable": "/usr/bin/python3", "saltversion": "3008.5",
        "saltversioninfo": [3008, 5], "master": "salt", "server_id": 1, "uid": 0, "gid": 0, "username": "root",
        "groupname": "root", "pid": 1,
        "locale_info": {"defaultlanguage": "en_US", "defaultencoding": "UTF-8", "detectedencoding": "UTF-8"},
        "dns": {"nameservers": ["192.0.2.1"], "search": ["example.com"]},
        "selinux": {"enabled": False, "enforced": "Disabled"},
        "zmqversion": "4.3.4", "gpus": [], "num_gpus": 0, "efi": False, "lsb_distrib_id": own["os"],
        "lsb_distrib_release": own["osrelease"],
    }  # fmt: skip


@dataclass(slots=True)
class Guesses:
    """Stands in for a minion that templates ask while they are checked: the emptiest answer that fits the question.

    `asked` keeps which functions were asked for.
    """

    asked: set[str] = field(default_factory=set)

    def function(self, name: str, args: Any, kwargs: Any) -> Data:
        """An answer in the place of the minion's."""
        self.asked.add(name)
        module, _, function = name.partition(".")
        if "exists" in function or function.startswith(("is_", "has_", "available")) or "retcode" in function:
            return 1 if "retcode" in function else False
        if module == "mine" or function in ("run_all", "get_managed", "interfaces", "list_pkgs", "stats", "info"):
            return {}
        if module == "network" or function.startswith(("list_", "ls", "find")):
            return []
        return ""

    def decrypt(self, message: str) -> str:
        """A text in the place of the decrypted one."""
        return "decrypted"
