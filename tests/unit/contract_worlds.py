"""The hosts on which the contract cases of tests/contracts run: private roots, some with make-believe programs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pytest

from states.host import apt
from tests.unit.fake_apt import FakeApt
from tests.unit.fake_ceph import Host
from tests.unit.fake_systemctl import FakeSystemctl
from tests.unit.openpgp_samples import ED25519

PERIPHERAL: Final = ("/fake", "/var/log", "/var/lib/stackmaster", "/var/backups")
"""Where the make-believe programs and the minion keep their own records: not the host that states speak of."""

ACCOUNT_TOOLS: Final = ("useradd", "usermod", "userdel", "groupadd", "groupmod", "groupdel", "chpasswd", "gpasswd")

ANALYZE: Final = "#!/bin/sh\nexit 0\n"
"""Finds nothing wrong with any unit."""


@dataclass(frozen=True, slots=True)
class World:
    """A host: its root, where its minion keeps things, and whether each changed path must be told of.

    `exact` is false where programs change files (a package manager's database) that no change tells of.
    """

    root: Path
    state_dir: Path
    exact: bool = True


def build(kind: str, folder: Path, facts: Mapping[str, Any], patch: pytest.MonkeyPatch) -> World:
    """The host of a case under `folder`; `facts` is what its make-believe programs know."""
    return _KINDS[kind](folder, facts, patch)


def lay(root: Path, have: Mapping[str, Any]) -> None:
    """Put files (text, or `{content, mode}`), folders (null, or `{mode}`) and links (`{link}`) under `root`."""
    for path, said in have.items():
        place = root / path.lstrip("/")
        place.parent.mkdir(parents=True, exist_ok=True)
        told: Mapping[str, Any] = {"content": said} if isinstance(said, str) else said or {}
        if "link" in told:
            place.symlink_to(told["link"])
            continue
        if "content" in told:
            place.write_text(told["content"])
        else:
            place.mkdir(exist_ok=True)
        place.chmod(int(str(told.get("mode", "0644" if "content" in told else "0755")), 8))


def _plain(folder: Path, facts: Mapping[str, Any], patch: pytest.MonkeyPatch) -> World:
    root = folder / "root"
    root.mkdir()
    return World(root, folder / "state")


def _accounts(folder: Path, facts: Mapping[str, Any], patch: pytest.MonkeyPatch) -> World:
    root = folder / "root"
    (root / "usr/sbin").mkdir(parents=True)
    (root / "usr/bin").mkdir(parents=True)
    for tool in ACCOUNT_TOOLS:
        place = "usr/bin" if tool == "gpasswd" else "usr/sbin"
        (root / place / tool).symlink_to(f"/{place}/{tool}")
    return World(root, folder / "state", exact=False)


def _systemd(folder: Path, facts: Mapping[str, Any], patch: pytest.MonkeyPatch) -> World:
    fake = FakeSystemctl(folder / "root", {name: dict(unit or {}) for name, unit in facts.get("units", {}).items()})
    fake.lay()
    analyze = fake.root / "usr/bin/systemd-analyze"
    analyze.write_text(ANALYZE)
    analyze.chmod(0o755)
    return World(fake.root, folder / "state")


def _apt(folder: Path, facts: Mapping[str, Any], patch: pytest.MonkeyPatch) -> World:
    patch.setattr(apt, "_refreshed", set())
    fake = FakeApt(folder / "root", lists=list(facts.get("lists", ())))
    for name, offered in facts.get("offers", {}).items():
        more = {key: value for key, value in offered.items() if key != "versions"}
        fake.offer(name, *offered["versions"], **more)
    for name, (version, *rest) in facts.get("installed", {}).items():
        fake.have(name, version, *rest)
    fake.lay()
    lay(fake.root, {"/srv/key.asc": ED25519})
    return World(fake.root, folder / "state", exact=False)


def _ceph(folder: Path, facts: Mapping[str, Any], patch: pytest.MonkeyPatch) -> World:
    host = Host(folder, patch)
    host.configure()
    host.cluster |= facts
    host.save()
    return World(host.root, host.state_dir, exact=False)


_KINDS: Final[Mapping[str, Callable[[Path, Mapping[str, Any], pytest.MonkeyPatch], World]]] = {
    "plain": _plain, "accounts": _accounts, "systemd": _systemd, "apt": _apt, "ceph": _ceph,
}  # fmt: skip
