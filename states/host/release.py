"""How os-release(5) becomes Salt's grains that name the operating system."""

from __future__ import annotations

import re
from collections.abc import Mapping

from protocol.data import Data

_NAMES = {
    "debian": "Debian", "ubuntu": "Ubuntu", "raspbian": "Raspbian", "linuxmint": "Mint", "pop": "Pop",
    "rhel": "RedHat", "rocky": "Rocky", "almalinux": "AlmaLinux", "fedora": "Fedora", "ol": "OEL",
    "centos": "CentOS", "amzn": "Amazon", "sles": "SUSE", "sled": "SUSE", "suse": "SUSE", "opensuse": "SUSE",
    "opensuse-leap": "SUSE", "opensuse-tumbleweed": "SUSE", "sl-micro": "SUSE", "arch": "Arch", "alpine": "Alpine",
    "gentoo": "Gentoo", "openeuler": "openEuler", "kylin": "Kylin",
}  # fmt: skip
_FAMILIES = (
    ("debian", "Debian"), ("ubuntu", "Debian"), ("rhel", "RedHat"), ("fedora", "RedHat"), ("centos", "RedHat"),
    ("suse", "Suse"), ("sles", "Suse"), ("opensuse", "Suse"), ("arch", "Arch"), ("alpine", "Alpine"),
    ("gentoo", "Gentoo"),
)  # fmt: skip
_FAMILY_OF = {"Raspbian": "Debian", "OEL": "RedHat", "Amazon": "RedHat", "openEuler": "RedHat", "SUSE": "Suse"}
_LINE = re.compile(r"""^([A-Z0-9_]+)=(?:"(.*)"|'(.*)'|(.*))$""", re.MULTILINE)


def parse(text: str) -> dict[str, str]:
    """The assignments of an os-release file."""
    found = {}
    for name, double, single, bare in _LINE.findall(text):
        found[name] = re.sub(r"\\([\\\"$`])", r"\1", double) or single or bare.strip()
    return found


def names(release: Mapping[str, str]) -> dict[str, Data]:
    """`os`, `os_family`, `osfullname`, `osrelease`, `osrelease_info`, `osmajorrelease`, `oscodename`, `osfinger`.

    Names and values as Salt 3008 gives them for the same file (its tests/pytests/unit/grains/test_core.py).
    """
    ident = release.get("ID", "linux")
    full = release.get("NAME", "Linux")
    system = "CentOS Stream" if full == "CentOS Stream" else _NAMES.get(ident, full)
    if system == "SUSE":
        full = full.removeprefix("openSUSE ").strip()
        if "umbleweed" in release.get("PRETTY_NAME", ""):
            full = "Tumbleweed"
    version = release.get("VERSION_ID") or "".join(re.findall(r"\d[\d.]*", release.get("PRETTY_NAME", ""))[:1])
    info: list[Data] = [int(part) if part.isdigit() else part for part in version.split(".") if part]
    major = info[0] if info else 0
    finger_name = system if system in ("Debian", "Raspbian") else full
    finger_version = version if system in ("Ubuntu", "Pop") else major
    return {
        "os": system,
        "os_family": _family(ident, system, release),
        "osfullname": full,
        "osrelease": version,
        "osrelease_info": info,
        "osmajorrelease": major,
        "oscodename": _codename(system, release),
        "osfinger": f"{finger_name}-{finger_version}",
    }


def _family(ident: str, system: str, release: Mapping[str, str]) -> str:
    if system in _FAMILY_OF:
        return _FAMILY_OF[system]
    like = {ident, *release.get("ID_LIKE", "").split()}
    return next((family for name, family in _FAMILIES if name in like), system)


def _codename(system: str, release: Mapping[str, str]) -> str:
    if release.get("VERSION_CODENAME"):
        return release["VERSION_CODENAME"]
    bracketed = re.search(r"\((.+)\)", release.get("VERSION", ""))
    if bracketed is not None and system not in ("CentOS", "SUSE"):
        return bracketed.group(1)
    return release.get("PRETTY_NAME", "")
