"""A host with a make-believe Ceph: programs under a private root that keep a cluster in a JSON file.

What they print and how they fail was taken down from Ceph 16.2.15.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from protocol.assignment import Assignment, Chunk
from protocol.data import Data
from protocol.results import StepResult
from states import engine
from states.ceph import asok, client
from states.context import Context

KEYS = {
    "mon": "AQCtaXJlAAAAABAAbW9uaXRvcm1vbml0b3Jtb2==",
    "admin": "AQCtaXJlAAAAABAAYWRtaW5hZG1pbmFkbWluYW==",
    "bootstrap_osd": "AQCtaXJlAAAAABAAYm9vdHN0cmFwYm9vdHN0cm==",
}
FSID = "2f660396-6615-4bae-bf9a-c31fde1266b4"
Args = Mapping[str, Data]
ENTITIES = {"mon.": "mon", "client.admin": "admin", "client.bootstrap-osd": "bootstrap_osd"}

PROGRAM = Path(__file__).with_name("fake_ceph_program")
"""Plays ceph, rbd, ceph-mon, ceph-osd, monmaptool and systemctl, by its name."""

CEPH_CONF = f"[global]\nfsid = {FSID}\nmon_host = [v2:10.0.0.1:3300/0,v1:10.0.0.1:6789/0]\n"


class Host:
    """A host's private root, its make-believe cluster, and the engine that applies states to it."""

    def __init__(self, folder: Path, patch: pytest.MonkeyPatch) -> None:
        self.root = folder / "root"
        self.state_dir = folder / "state"
        for path in ("etc/ceph", "usr/bin", "run/systemd/system", "fake", "sbin"):
            (self.root / path).mkdir(parents=True)
        for kind in ("mon", "mgr", "mds", "osd", "bootstrap-osd"):
            (self.root / "var/lib/ceph" / kind).mkdir(parents=True)
        uid, gid = os.getuid(), os.getgid()
        self.put("/etc/passwd", "".join(f"{name}:x:{uid}:{gid}::/:/bin/sh\n" for name in ("root", "ceph")))
        self.put("/etc/group", "".join(f"{name}:x:{gid}:\n" for name in ("root", "ceph")))
        self.cluster: dict[str, Any] = {}
        self.found_cluster()
        client.forget()
        patch.setattr(asok, "ask", self._daemon)

    # --- what is there

    def join(self, identity: str = "a private identity") -> None:
        """Give the host's minion an identity."""
        self.state_dir.mkdir(mode=0o700, exist_ok=True)
        (self.state_dir / "identity").write_text(identity)

    def install(self, *programs: str) -> None:
        """Put the programs (all of them, when none is named) on the host."""
        for name in programs or ("ceph", "rbd", "ceph-mon", "ceph-osd", "monmaptool", "systemctl"):
            path = self.root / "usr/bin" / name
            path.write_text(f"#!{sys.executable} -I\n{PROGRAM.read_text()}", "utf-8")
            path.chmod(0o755)

    def configure(self) -> None:
        """Programs, ceph.conf and the admin keyring: a host from which the cluster is administered."""
        self.install()
        self.put("/etc/ceph/ceph.conf", CEPH_CONF)
        self.put("/etc/ceph/ceph.client.admin.keyring", f"[client.admin]\n\tkey = {KEYS['admin']}\n", 0o600)

    def found_cluster(self) -> None:
        """Forget all and begin with an empty cluster whose monitors answer."""
        auth = {entity: {"key": KEYS[short], "caps": {"mon": "allow *"}} for entity, short in ENTITIES.items()}
        self.cluster = {"up": True, "auth": auth, "pools": {}, "fs": {}, "config": [], "osds": [], "units": {}}
        self.cluster |= {"next": 0, "fail": []}
        self.save()

    def save(self) -> None:
        """Write the cluster where the programs find it."""
        self.put("/fake/cluster.json", json.dumps(self.cluster))

    def load(self) -> dict[str, Any]:
        """The cluster as the programs left it."""
        self.cluster = json.loads(self.get("/fake/cluster.json"))
        return self.cluster

    def put(self, path: str, text: str, mode: int = 0o644) -> None:
        """Write a file."""
        file = self.root / path.lstrip("/")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, "utf-8")
        file.chmod(mode)

    def get(self, path: str) -> str:
        """Read a file."""
        return (self.root / path.lstrip("/")).read_text("utf-8")

    def exists(self, path: str) -> bool:
        """Whether there is anything at a path."""
        return (self.root / path.lstrip("/")).exists()

    def commands(self) -> list[str]:
        """The command lines that were run, without the words that are the same in all."""
        return self.get("/fake/log").splitlines() if self.exists("/fake/log") else []

    def forget_commands(self) -> None:
        """Begin a new record, and ask the cluster afresh."""
        self.put("/fake/log", "")
        client.forget()

    # --- what is done

    def context(self, *, test: bool = False, pending: bool = False) -> Context:
        """A context for states on this host."""
        return Context(
            minion="mon1", grains={}, root=self.root, state_dir=self.state_dir, test=test, pending=pending, deadline=30
        )

    def apply(
        self, function: str, name: str, args: Args | None = None, *, test: bool = False, pending: bool = False
    ) -> StepResult:
        """Apply one state, or foretell it."""
        family, _, fun = function.partition(".")
        chunk = Chunk(family, fun, name, name, "test", args=args or {})
        client.forget()
        context = self.context(pending=pending)
        return engine.apply(Assignment("mon1", (chunk,)), context, lambda _: None, test=test)[0]

    def settle(self, function: str, name: str, args: Args | None = None) -> StepResult:
        """Foretell, apply, and apply again: the first two agree, the third changes nothing. Gives the second."""
        foretold = self.apply(function, name, args, test=True)
        made = self.apply(function, name, args)
        assert made.result is True, made.comment
        assert [c.foretold() for c in foretold.changes] == [c.foretold() for c in made.changes]
        assert foretold.result is (None if made.changes else True)
        again = self.apply(function, name, args)
        assert (again.result, again.changes) == (True, ()), again
        return made

    def _daemon(self, ctx: Context, daemon: str, command: str) -> Mapping[str, Any] | None:
        kind, _, number = daemon.partition(".")
        unit = self.load()["units"].get(f"ceph-{kind}@{number}.service", {})
        if unit.get("active") != "active":
            return None
        fsid = self.cluster.get("fsid", FSID)
        return {"state": "leader", "quorum": [0], "monmap": {"fsid": fsid, "mons": [{"rank": 0, "name": number}]}}
