"""A real master with two real minions, and the real command line against them."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from tests.functional.master_process import ROOT, MasterProcess, wait_for
from tests.functional.wire_master import RealMinion

ENDS = 60.0
"""Seconds in which any command of these tests must end."""


@dataclass
class Ran:
    """How a command ended."""

    code: int
    out: str
    err: str

    def json(self) -> dict[str, Any]:
        """Its standard output as one document."""
        found = json.loads(self.out)
        assert isinstance(found, dict)
        return found


@dataclass
class House:
    """The master, its minions, and `stackmaster` with the words of a command line."""

    master: MasterProcess
    minions: dict[str, RealMinion] = field(default_factory=dict)

    def environment(self) -> Mapping[str, str]:
        """The environment of a command."""
        clean = {key: value for key, value in os.environ.items() if not key.startswith("STACKMASTER")}
        return {**clean, "PYTHONPATH": str(ROOT), "STACKMASTER_SOCKET": str(self.master.socket)}

    def begin(self, *words: str, **more: Any) -> subprocess.Popen[str]:
        """Start a command and do not wait for it."""
        return subprocess.Popen(
            [sys.executable, "-m", "master.main", *words], env=self.environment(), stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, text=True, cwd=self.master.folder, **more,
        )  # fmt: skip

    def run(self, *words: str) -> Ran:
        """Run a command to its end."""
        process = self.begin(*words)
        out, err = process.communicate(timeout=ENDS)
        return Ran(process.returncode, out, err)

    def sls(self, name: str, text: str) -> None:
        """Write a file into the state tree."""
        path = self.master.states / f"{name.replace('.', '/')}.sls"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def root(self, minion: str) -> Path:
        """Where the paths of a minion's states begin."""
        return self.minions[minion].root


@contextlib.contextmanager
def house(folder: Path, *names: str, **settings: Any) -> Iterator[House]:
    """A running house with minions of these names, all accepted and here; `settings` of the master."""
    with MasterProcess(folder, settings) as master:
        built = House(master)
        try:
            for name in names:
                minion = built.minions[name] = RealMinion(folder / name, name)
                (minion.root / "etc").mkdir(parents=True, exist_ok=True)
                joining = minion.command("join", master.call("keys.token")["token"])
                assert joining.wait(ENDS) == 0, minion.log()
                minion.start()
            for name in names:
                wait_for(partial(_known, master, name), f"the grains of {name}")
            yield built
        finally:
            for minion in built.minions.values():
                minion.kill()


def _known(master: MasterProcess, name: str) -> object:
    return master.call("minions.show", id=name)["grains"]


def interrupt(process: subprocess.Popen[str]) -> Ran:
    """Press Ctrl-C and wait for the end."""
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=ENDS)
    return Ran(process.returncode, out, err)


def poll(condition: Any, what: str) -> None:
    """Wait until something holds."""
    wait_for(condition, what, ENDS)
