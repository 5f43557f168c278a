"""A whole site on one machine: a master and minions as processes of their own, each under a private folder."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType

ROOT = Path(__file__).resolve().parents[2]
PATIENCE = 30.0


class SiteError(RuntimeError):
    """A daemon or command of the site did not do what it should; the text holds what it printed."""


def free_ports(count: int) -> list[int]:
    """`count` neighbouring free TCP ports on the loopback."""
    for _ in range(200):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            first = int(probe.getsockname()[1])
        if all(_free(port) for port in range(first, first + count)):
            return list(range(first, first + count))
    raise SiteError(f"no {count} neighbouring ports are free")


def _free(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except (OSError, OverflowError):
            return False
    return True


class Site:
    """Folders, processes and commands of the site; leaving it ends and removes everything."""

    def __init__(self, states: Path, pillar: Path) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="stackmaster-site-"))
        self.states = states
        self.pillar = pillar
        self.ports = free_ports(2)
        self.minions: list[str] = []
        self._processes: dict[str, subprocess.Popen[bytes]] = {}

    def __enter__(self) -> Site:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End every process (SIGTERM, then SIGKILL) and remove the folder."""
        for process in self._processes.values():
            process.terminate()
        for process in self._processes.values():
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait(10)
        shutil.rmtree(self.folder, ignore_errors=True)

    # --- daemons --------------------------------------------------------------------------------------------------

    def start_master(self, **settings: object) -> None:
        """Start `stackmaster serve` and wait until it answers."""
        config = self.folder / "master.yaml"
        lines = {
            "interface": "127.0.0.1",
            "addresses": ["127.0.0.1"],
            "enrol_port": self.ports[0],
            "session_port": self.ports[1],
            "state_dir": str(self.folder / "master"),
            "socket": str(self.socket),
            "file_roots": {"base": [str(self.states)]},
            "pillar_roots": {"base": [str(self.pillar)]},
            **settings,
        }
        config.write_text("".join(f"{key}: {_yaml(value)}\n" for key, value in lines.items()))
        self._start("master", ["-m", "master.main", "serve", "--config", str(config)])
        self._wait("the master to answer", lambda: self.run("status").returncode == 0, "master")

    def start_minion(self, minion: str, token: str, **grains: object) -> None:
        """Join `minion` with `token` and start its daemon."""
        folder = self.folder / minion
        self.root(minion).mkdir(parents=True)
        config = folder / "minion.yaml"
        own = {"demo_root": str(self.root(minion)), **grains}
        config.write_text(
            f"id: {minion}\nroot: {self.root(minion)}\nstate_dir: {folder / 'state'}\ngrains: {_yaml(own)}\n"
        )
        joined = self.python("-m", "minion.main", "--config", str(config), "join", token)
        if joined.returncode:
            raise SiteError(f"{minion} could not join: {joined.stdout}{joined.stderr}")
        self._start(minion, ["-m", "minion.main", "--config", str(config), "serve"])
        self.minions.append(minion)

    def kill(self, name: str, number: signal.Signals = signal.SIGKILL) -> None:
        """Send a signal to a daemon and wait for its end."""
        process = self._processes.pop(name)
        process.send_signal(number)
        process.wait(PATIENCE)

    def _start(self, name: str, arguments: list[str]) -> None:
        with (self.folder / f"{name}.log").open("ab") as log:
            self._processes[name] = subprocess.Popen(
                [sys.executable, *arguments], cwd=ROOT, stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )

    def _wait(self, what: str, condition: Callable[[], bool], name: str) -> None:
        deadline = time.monotonic() + PATIENCE
        while not condition():
            if self._processes[name].poll() is not None or time.monotonic() > deadline:
                raise SiteError(f"waited for {what} in vain:\n{self.log(name)}")
            time.sleep(0.05)

    # --- commands -------------------------------------------------------------------------------------------------

    @property
    def socket(self) -> Path:
        """The master's API socket."""
        return self.folder / "master.sock"

    def root(self, minion: str) -> Path:
        """The private root of a minion."""
        return self.folder / minion / "root"

    def pid(self, name: str) -> int:
        """The process id of a daemon."""
        return self._processes[name].pid

    def log(self, name: str) -> str:
        """What a daemon printed."""
        return (self.folder / f"{name}.log").read_text()

    def environment(self) -> dict[str, str]:
        """The environment in which `stackmaster` finds this site's master."""
        return {**os.environ, "STACKMASTER_SOCKET": str(self.socket)}

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """`stackmaster ARGUMENTS`, its output captured."""
        return self.python("-m", "master.main", *arguments)

    def show(self, *arguments: str) -> int:
        """`stackmaster ARGUMENTS` with its output shown as it comes; the exit code."""
        return subprocess.run(
            [sys.executable, "-m", "master.main", *arguments], cwd=ROOT, env=self.environment(), check=False
        ).returncode

    def python(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """The interpreter with `arguments`, its output captured."""
        return subprocess.run(
            [sys.executable, *arguments],
            cwd=ROOT,
            env=self.environment(),
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )


def _yaml(value: object) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}: {_yaml(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_yaml, value)) + "]"
    return str(value)
