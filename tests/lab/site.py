"""A master in a lab's network, and the lab's hosts as its minions: what an operator has before the first command."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

import yaml

from tests.lab.harness import Lab, settings

PATIENCE = 60.0


class LabSite:
    """`with LabSite(lab, pillar) as site`: a running master whose minions are all hosts of the lab.

    `pillar` becomes the pillar of every minion and of the orchestrations. Everything the master and the command line
    print is kept in `folder`, so that a test can search all of it.
    """

    def __init__(self, lab: Lab, pillar: Mapping[str, Any], states: Path | None = None) -> None:
        self.lab = lab
        self.folder = lab.folder / "site"
        self.states = states or self.folder / "states"
        self._pillar = pillar
        self._process: subprocess.Popen[bytes] | None = None
        self.said: list[str] = []

    def __enter__(self) -> LabSite:
        for folder in (self.folder, self.states, self.folder / "pillar"):
            folder.mkdir(parents=True, exist_ok=True)
        self.set_pillar(self._pillar)
        self._configure()
        self.start_master()
        token = self.json("keys", "token", "--uses", str(len(list(self.lab))))["token"]
        self.lab.each(lambda host: host.run(["stackminion", "join", "-"], stdin=token, timeout=PATIENCE))
        self.lab.each(lambda host: host.run(["systemctl", "enable", "--now", "stackminion"], timeout=PATIENCE))
        self.wait_connected()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop_master()

    # --- the master -----------------------------------------------------------------------------------------------

    def set_pillar(self, pillar: Mapping[str, Any]) -> None:
        """What every minion's pillar is from now on."""
        self._pillar = pillar
        (self.folder / "pillar" / "top.sls").write_text("base:\n  '*':\n    - site\n")
        (self.folder / "pillar" / "site.sls").write_text(yaml.safe_dump(dict(pillar)))

    def _configure(self) -> None:
        self.config = self.folder / "master.yaml"
        self.config.write_text(
            yaml.safe_dump(
                {
                    "interface": self.lab.address,
                    "addresses": [self.lab.address],
                    "state_dir": str(self.folder / "master"),
                    "socket": str(self.folder / "master.sock"),
                    "file_roots": {"base": [str(self.states)]},
                    "pillar_roots": {"base": [str(self.folder / "pillar")]},
                    "heartbeat": 2.0,
                }
            )
        )

    def start_master(self) -> None:
        """Start the daemon on the lab's switch and wait until it answers."""
        argv = [sys.executable, "-m", "master.main", "serve", "--config", str(self.config)]
        with (self.folder / "master.log").open("ab") as log:
            self._process = subprocess.Popen(
                self.lab.switch_command(argv),
                cwd=settings.CHECKOUT,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        self._until(lambda: self.run("status").returncode == 0, "the master to answer")

    def stop_master(self) -> None:
        """SIGTERM, and SIGKILL when that does not end it."""
        if self._process is None:
            return
        self._process.terminate()
        try:
            self._process.wait(20)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait(20)
        self._process = None

    def log(self) -> str:
        """What the daemon printed."""
        return (self.folder / "master.log").read_text()

    # --- commands -------------------------------------------------------------------------------------------------

    def run(self, *arguments: str, timeout: float = 900) -> subprocess.CompletedProcess[str]:
        """`stackmaster ARGUMENTS`; what it printed is also kept in `said`."""
        done = subprocess.run(
            [sys.executable, "-m", "master.main", *arguments],
            cwd=settings.CHECKOUT,
            env={**os.environ, "STACKMASTER_SOCKET": str(self.folder / "master.sock")},
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )
        self.said.append(f"$ {' '.join(arguments)}\n{done.stdout}{done.stderr}")
        return done

    def json(self, *arguments: str, timeout: float = 900) -> Any:
        """`stackmaster ARGUMENTS --output json`, which must succeed; what it printed."""
        done = self.run(*arguments, "--output", "json", timeout=timeout)
        assert done.returncode == 0, f"{arguments}: exit {done.returncode}\n{done.stdout}{done.stderr}\n{self.log()}"
        return json.loads(done.stdout)

    def connected(self) -> set[str]:
        """The minions with a session."""
        found = json.loads(self.run("minions", "ls", "--output", "json").stdout)
        return {minion["id"] for minion in found["minions"] if minion["connected"]}

    def wait_connected(self) -> None:
        """Until every host of the lab is connected."""
        wanted = {host.name for host in self.lab}
        self._until(lambda: self.connected() >= wanted, f"{len(wanted)} minions to connect")

    def _until(self, condition: Any, what: str) -> None:
        deadline = time.monotonic() + PATIENCE
        while not condition():
            alive = self._process is not None and self._process.poll() is None
            assert alive and time.monotonic() < deadline, f"waited for {what} in vain:\n{self.log()}"
            time.sleep(0.2)
