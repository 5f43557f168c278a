"""A private root with a dpkg database and a make-believe apt, to test package states without touching the host."""

from __future__ import annotations

import json
import os
import sys
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

from states.context import Context

SCRIPT = r'''#!@PYTHON@ -IS
"""apt-get, apt-cache, apt-mark, dpkg and dpkg-deb of the make-believe host."""
import json, os, re, sys
from pathlib import Path

root = Path("@ROOT@")
world_file = root / "fake" / "world.json"
world = json.loads(world_file.read_text())
me, args = Path(sys.argv[0]).name, sys.argv[1:]
with (root / "fake" / "log").open("a") as log:
    log.write(json.dumps([me, *args]) + "\n")
if world["fails"].get(me):
    failure = world["fails"][me].pop(0)
    world_file.write_text(json.dumps(world))
    if failure:
        sys.exit(sys.stderr.write(failure) and 100)
simulated = "-s" in args
installed = world["installed"]
words, skip = [], False
options = []
for arg in args:
    if skip:
        options.append(arg)
        skip = False
    elif arg == "-o":
        skip = True
    elif arg.startswith("-"):
        options.append(arg)
    else:
        words.append(arg)


def save():
    world_file.write_text(json.dumps(world))
    stanzas = []
    for name, (version, state, selection) in sorted(installed.items()):
        provides = world["offers"].get(name, {}).get("provides", [])
        extra = f"Provides: {', '.join(provides)}\n" if provides else ""
        head = f"Package: {name}\nStatus: {selection} ok {state}\nArchitecture: amd64\nVersion: {version}\n"
        stanzas.append(head + extra + "Description: make-believe\n folded line\n")
    new = root / "var/lib/dpkg/status-new"
    new.write_text("\n".join(stanzas))
    new.rename(root / "var/lib/dpkg/status")


def complete(name):
    return name in installed and installed[name][1] == "installed"


def install(item, seen, only_upgrade=False):
    name, _, version = item.partition("=")
    offers = world["offers"]
    if name not in offers:
        sys.exit(sys.stderr.write(f"E: Unable to locate package {name}\n") and 100)
    if not offers[name]["versions"]:
        providers = [other for other, offer in offers.items() if name in offer.get("provides", [])]
        if len(providers) != 1:
            sys.exit(sys.stderr.write(f"E: Package '{name}' has no installation candidate\n") and 100)
        return install(providers[0], seen)
    version = version or offers[name]["versions"][0]
    if name in seen or (complete(name) and installed[name][0] == version) or (only_upgrade and not complete(name)):
        return
    if complete(name) and installed[name][2] == "hold" and "--allow-change-held-packages" not in options:
        sys.exit(sys.stderr.write("E: Held packages were changed and -y was used.\n") and 100)
    seen.add(name)
    for other in offers[name].get("conflicts", []):
        if complete(other):
            print(f"Remv {other} [{installed[other][0]}]")
            if not simulated:
                del installed[other]
    for dependency in offers[name].get("depends", []):
        if not complete(dependency):
            install(dependency, seen)
    old = f" [{installed[name][0]}]" if complete(name) else ""
    print(f"Inst {name}{old} ({version} Fake:1/stable [amd64])")
    print(f"Conf {name} ({version} Fake:1/stable [amd64])")
    if not simulated:
        selection = installed[name][2] if complete(name) else "install"
        installed[name] = [version, "half-configured" if name in world["broken"] else "installed", selection]


def remove(names, verb):
    for name in names:
        if complete(name):
            print(f"{verb} {name} [{installed[name][0]}]")
        elif name in installed and verb == "Purg":
            print(f"Purg {name}")
        if not simulated and name in installed:
            if verb == "Purg":
                del installed[name]
            else:
                installed[name][1:] = ["config-files", "deinstall"]


if me == "apt-get":
    verb, items = words[0], words[1:]
    if verb == "update":
        world["offers"].update(world.pop("after_update", {}))
        world["after_update"] = {}
        for name in ["fake_Packages", *world["lists"]]:
            (root / "var/lib/apt/lists" / name).touch()
        os.utime(root / "var/lib/apt/lists")
        world_file.write_text(json.dumps(world))
        sys.exit(0)
    print("Reading package lists...")
    if verb == "install":
        seen = set()
        for item in items:
            install(item, seen, "--only-upgrade" in options)
    elif verb in ("remove", "purge"):
        remove(items, "Purg" if verb == "purge" else "Remv")
    else:
        for name in [name for name in sorted(installed) if complete(name)]:
            install(name, set())
    if not simulated:
        save()
elif me == "apt-cache" and words[0] == "policy":
    for name in words[1:]:
        if name in world["offers"]:
            versions = world["offers"][name]["versions"]
            candidate = versions[0] if versions else "(none)"
            print(f"{name}:\n  Installed: (none)\n  Candidate: {candidate}\n  Version table:")
            for version in versions:
                mark = "***" if complete(name) and installed[name][0] == version else "   "
                print(f" {mark} {version} 500\n        500 file:/repo ./ Packages")
elif me == "apt-cache":
    print("\n".join(world["offers"]))
elif me == "apt-mark":
    for name in words[1:]:
        installed.setdefault(name, ["", "not-installed", "install"])[2] = "hold" if words[0] == "hold" else "install"
    save()
elif me == "dpkg" and "--configure" in options:
    for entry in (root / "var/lib/dpkg/updates").glob("*"):
        entry.unlink()
    for package in installed.values():
        if package[1] in ("unpacked", "half-configured"):
            package[1] = "installed"
    save()
elif me == "dpkg-deb":
    name, version = Path(words[0]).read_text().split()
    print(f"Package: {name}\nVersion: {version}")
else:
    sys.exit(f"{me} {args}: not in the play")
'''


@dataclass
class FakeApt:
    """The make-believe host. `offers` is what the lists have, `after_update` what fetching them adds, `installed` maps
    a name to [version, dpkg state, selection], `fails` a command to what its next calls say instead of working, `lists`
    names the files that fetching leaves."""

    root: Path
    offers: dict[str, dict[str, list[str]]] = field(default_factory=dict)
    after_update: dict[str, dict[str, list[str]]] = field(default_factory=dict)
    installed: dict[str, list[str]] = field(default_factory=dict)
    broken: list[str] = field(default_factory=list)
    fails: dict[str, list[str]] = field(default_factory=dict)
    lists: list[str] = field(default_factory=list)

    def lay(self) -> None:
        """Write it all under `root`; lists are fresh, sources old."""
        for folder in (
            "usr/bin",
            "fake",
            "var/lib/dpkg/updates",
            "var/lib/apt/lists/partial",
            "etc/apt/sources.list.d",
        ):
            (self.root / folder).mkdir(parents=True, exist_ok=True)
        script = SCRIPT.replace("@PYTHON@", sys.executable).replace("@ROOT@", str(self.root))
        for name in ("apt-get", "apt-cache", "apt-mark", "dpkg", "dpkg-deb"):
            path = self.root / "usr/bin" / name
            path.write_text(script)
            path.chmod(0o755)
        (self.root / "var/lib/apt/lists/fake_Packages").touch()
        sources = self.root / "etc/apt/sources.list"
        sources.write_text("deb file:/repo ./\n")
        for place in (sources, sources.parent / "sources.list.d"):
            os.utime(place, (1_000_000_000, 1_000_000_000))
        self.write()

    def write(self) -> None:
        """Write the world and dpkg's status as `installed` says."""
        world = {
            "offers": self.offers,
            "after_update": self.after_update,
            "installed": self.installed,
            "broken": self.broken,
            "fails": self.fails,
            "lists": self.lists,
        }
        (self.root / "fake/world.json").write_text(json.dumps(world))
        stanzas = []
        for name, (version, state, selection) in sorted(self.installed.items()):
            provides = self.offers.get(name, {}).get("provides", [])
            extra = f"Provides: {', '.join(provides)}\n" if provides else ""
            head = f"Package: {name}\nStatus: {selection} ok {state}\nArchitecture: amd64\nVersion: {version}\n"
            stanzas.append(head + extra + "Description: make-believe\n")
        (self.root / "var/lib/dpkg/status").write_text("\n".join(stanzas))

    def offer(self, name: str, *versions: str, **more: list[str]) -> None:
        """Add a package to the lists, its newest version first."""
        self.offers[name] = {"versions": list(versions), **more}

    def have(self, name: str, version: str, state: str = "installed", selection: str = "install") -> None:
        """Put a package on the host."""
        self.installed[name] = [version, state, selection]

    def context(self, *, test: bool = False, pending: bool = False) -> Context:
        """A context of this host."""
        state_dir = self.root / "var/lib/stackmaster"
        return Context("m1", {}, root=self.root, state_dir=state_dir, test=test, pending=pending, deadline=30.0)

    def calls(self) -> list[list[str]]:
        """The commands that ran, with their words, options left out."""
        log = self.root / "fake/log"
        return [_words(json.loads(line)) for line in log.read_text().splitlines()] if log.exists() else []

    def transactions(self) -> list[list[str]]:
        """Those that changed the host."""
        log = self.root / "fake/log"
        lines = [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []
        changing = [line for line in lines if line[0] in ("apt-get", "apt-mark", "dpkg") and "-s" not in line]
        return [_words(line) for line in changing]

    def versions(self) -> dict[str, str]:
        """What is completely installed now."""
        installed = json.loads((self.root / "fake/world.json").read_text())["installed"]
        return {name: version for name, (version, state, _) in installed.items() if state == "installed"}


def _words(line: list[str]) -> list[str]:
    plain = [line[0]]
    for before, word in pairwise(line):
        if not word.startswith("-") and before != "-o":
            plain.append(word)
    return plain
