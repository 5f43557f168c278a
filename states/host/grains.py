"""What this host is: Salt's core grains, read from files and the kernel without starting a process or asking DNS."""

from __future__ import annotations

import grp
import os
import pwd
import re
import socket
import sys
from pathlib import Path

from protocol.data import Data
from states.host import release
from states.host.netlink import Interface, interfaces

_DEBIAN_ARCH = {"x86_64": "amd64", "aarch64": "arm64", "i686": "i386", "armv7l": "armhf", "ppc64le": "ppc64el"}
_MACHINES = (
    ("VMware", "VMware"), ("VirtualBox", "VirtualBox"), ("innotek", "VirtualBox"), ("Xen", "xen"),
    ("Amazon EC2", "Nitro"), ("Microsoft", "HyperV"), ("QEMU", "kvm"), ("KVM", "kvm"), ("OpenStack", "kvm"),
    ("Bochs", "kvm"), ("Google", "gce"),
)  # fmt: skip
_CONTAINERS = {"docker": "Docker", "lxc": "LXC", "systemd-nspawn": "systemd-nspawn", "podman": "Podman"}
_DMI = {
    "biosversion": "bios_version", "biosreleasedate": "bios_date", "productname": "product_name",
    "manufacturer": "sys_vendor", "serialnumber": "product_serial", "uuid": "product_uuid",
}  # fmt: skip


def gather(root: Path = Path("/")) -> dict[str, Data]:
    """Salt's core grains of this host, without `id`, `master` and custom ones. A few milliseconds.

    Files are read below `root`; the network, the kernel's name and this process are the real ones. What cannot be
    read is left out.
    """
    system = release.names(release.parse(_read(root / "etc/os-release") or _read(root / "usr/lib/os-release")))
    cpu = _cpu(root)
    return {
        **system,
        **cpu,
        **_hardware(root),
        **_virtual(root, cpu),
        **_kernel(root, str(system["os_family"])),
        **_memory(root),
        **_disks(root),
        **_names(root),
        **_network(root),
        **_process(),
    }


def _read(path: Path) -> str:
    try:
        return path.read_text("utf-8", "replace")
    except OSError:
        return ""


def _kernel(root: Path, family: str) -> dict[str, Data]:
    uname = os.uname()
    found: dict[str, Data] = {
        "kernel": uname.sysname,
        "kernelrelease": uname.release,
        "kernelversion": uname.version,
        "nodename": uname.nodename,
        "cpuarch": uname.machine,
        "osarch": _DEBIAN_ARCH.get(uname.machine, uname.machine) if family == "Debian" else uname.machine,
        "boot_id": _read(root / "proc/sys/kernel/random/boot_id").strip(),
        "machine_id": _read(root / "etc/machine-id").strip(),
        "init": _init(root),
        "selinux": _selinux(root),
    }
    version = _systemd_version(root)
    if version:
        found["systemd"] = {"version": version}
    return found


def _init(root: Path) -> str:
    if (root / "run/systemd/system").is_dir():
        return "systemd"
    command = _read(root / "proc/1/cmdline").split("\0")[0]
    return Path(command).name or "unknown"


def _selinux(root: Path) -> Data:
    enforcing = _read(root / "sys/fs/selinux/enforce").strip()
    return {
        "enabled": bool(enforcing),
        "enforced": {"1": "Enforcing", "0": "Permissive"}.get(enforcing, "Disabled"),
    }


def _systemd_version(root: Path) -> str:
    """systemd's version from the name of its private library, which carries it."""
    for pattern in ("usr/lib/*/systemd", "usr/lib64/systemd", "usr/lib/systemd", "lib/systemd"):
        for library in root.glob(f"{pattern}/libsystemd-shared-*.so"):
            version = re.match(r"libsystemd-shared-(\d+)", library.name)
            if version is not None:
                return version.group(1)
    return ""


def _cpu(root: Path) -> dict[str, Data]:
    text = _read(root / "proc/cpuinfo")
    model = re.search(r"^(?:model name|Processor|cpu)\s*:\s*(.+)$", text, re.MULTILINE)
    flags = re.search(r"^(?:flags|Features)\s*:\s*(.+)$", text, re.MULTILINE)
    return {
        "num_cpus": len(re.findall(r"^processor\s*:", text, re.MULTILINE)) or os.cpu_count() or 1,
        "cpu_model": model.group(1).strip() if model else "Unknown",
        "cpu_flags": flags.group(1).split() if flags else [],
    }


def _hardware(root: Path) -> dict[str, Data]:
    values = {grain: _read(root / "sys/class/dmi/id" / name).strip() for grain, name in _DMI.items()}
    return {grain: value for grain, value in values.items() if value}


def _virtual(root: Path, cpu: dict[str, Data]) -> dict[str, Data]:
    container = _read(root / "run/systemd/container").strip()
    if not container and (root / ".dockerenv").exists():
        container = "docker"
    if not container and (root / "run/.containerenv").exists():
        container = "podman"
    if not container:
        inside = re.search(r"(?:^|\0)container=([^\0]+)", _read(root / "proc/1/environ"))
        container = inside.group(1) if inside else ""
    if container:
        return {"virtual": "container", "virtual_subtype": _CONTAINERS.get(container, container)}
    vendor = " ".join(_read(root / "sys/class/dmi/id" / name) for name in ("sys_vendor", "product_name"))
    for sign, kind in _MACHINES:
        if sign in vendor and not (sign == "Microsoft" and "Virtual" not in vendor):
            return {"virtual": kind}
    flags = cpu["cpu_flags"]
    return {"virtual": "kvm" if isinstance(flags, list) and "hypervisor" in flags else "physical"}


def _memory(root: Path) -> dict[str, Data]:
    text = _read(root / "proc/meminfo")
    found: dict[str, Data] = {}
    for grain, name in (("mem_total", "MemTotal"), ("swap_total", "SwapTotal")):
        amount = re.search(rf"^{name}:\s*(\d+) kB", text, re.MULTILINE)
        found[grain] = int(amount.group(1)) // 1024 if amount else 0
    return found


def _disks(root: Path) -> dict[str, Data]:
    """Whole disks behind a real device: those that turn are `disks`, the others `SSDs` (Salt's names)."""
    turning: list[str] = []
    still: list[str] = []
    for rotational in sorted(root.glob("sys/block/*/queue/rotational")):
        disk = rotational.parent.parent
        if (disk / "device").exists():
            (turning if _read(rotational).strip() == "1" else still).append(disk.name)
    return {"disks": turning, "SSDs": still}


def _names(root: Path) -> dict[str, Data]:
    """The host's names: the full one from /etc/hosts, as a resolver that asks files first would say."""
    local = socket.gethostname()
    fqdn, addresses = local, list[str]()
    for line in _read(root / "etc/hosts").split("\n"):
        fields = line.partition("#")[0].split()
        if local not in fields[1:]:
            continue
        addresses.append(fields[0])
        if "." not in fqdn:
            fqdn = next((name for name in fields[1:] if name.startswith(f"{local}.")), fqdn)
    host, _, domain = fqdn.partition(".")
    return {
        "localhost": local,
        "fqdn": fqdn,
        "host": host,
        "domain": domain,
        "fqdn_ip4": [address for address in addresses if ":" not in address],
        "fqdn_ip6": [address for address in addresses if ":" in address],
    }


def _network(root: Path) -> dict[str, Data]:
    try:
        found = interfaces()
    except OSError:
        found = []
    gateway = _gateway(root)
    return {
        "ip4_interfaces": {each.name: each.ipv4 for each in found},
        "ip6_interfaces": {each.name: each.ipv6 for each in found},
        "ip_interfaces": {each.name: [*each.ipv4, *each.ipv6] for each in found},
        "hwaddr_interfaces": {each.name: each.hwaddr for each in found if each.hwaddr},
        "ipv4": sorted({address for each in found for address in each.ipv4}),
        "ipv6": sorted({address for each in found for address in each.ipv6}),
        "ip4_gw": gateway[0] if gateway else False,
        "default_interface": gateway[1] if gateway else _first_up(found),
    }


def _gateway(root: Path) -> tuple[str, str] | None:
    """Address and interface of the IPv4 default route of lowest metric."""
    best: tuple[int, str, str] | None = None
    for line in _read(root / "proc/net/route").split("\n")[1:]:
        fields = line.split()
        if len(fields) >= 8 and fields[1] == "00000000" and fields[7] == "00000000":
            raw = int(fields[2], 16).to_bytes(4, sys.byteorder)
            candidate = (int(fields[6]), socket.inet_ntop(socket.AF_INET, raw), fields[0])
            best = min(best, candidate) if best else candidate
    return best[1:] if best else None


def _first_up(found: list[Interface]) -> str:
    return next((each.name for each in found if each.up and each.name != "lo" and each.ipv4), "")


def _process() -> dict[str, Data]:
    uid, gid = os.geteuid(), os.getegid()
    try:
        username, groupname = pwd.getpwuid(uid).pw_name, grp.getgrgid(gid).gr_name
    except KeyError:
        username, groupname = str(uid), str(gid)
    return {
        "uid": uid,
        "gid": gid,
        "username": username,
        "groupname": groupname,
        "pid": os.getpid(),
        "path": os.environ.get("PATH", ""),
        "pythonversion": list(sys.version_info),
        "pythonexecutable": sys.executable,
    }
