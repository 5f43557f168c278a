"""A host of the lab, as tests use it: run commands on it, read and write its files, cut its power."""

import shlex
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.lab.harness import command, memory
from tests.lab.harness.disk import Disk
from tests.lab.harness.errors import CommandTimedOut, HostDown, LabError
from tests.lab.harness.machine import Machine, wait_until
from tests.lab.harness.network import Network

_ENVIRONMENT = {
    "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "HOME": "/root",
    "LANG": "C.UTF-8",
}


class Host:
    """One host. It is made and removed by a Lab."""

    def __init__(self, name: str, network: Network, disk: Disk, machine: Machine, console: Path) -> None:
        self.name = name
        self.address = network.addresses[name]
        self.disk = disk
        self.machine = machine
        self._network = network
        self._console = console

    def __repr__(self) -> str:
        return f"<host {self.name} {self.address} {'on' if self.running else 'off'}>"

    # --- commands and files

    def run(
        self,
        argv: Sequence[str],
        *,
        timeout: float = 60,
        check: bool = True,
        stdin: str | bytes = b"",
        env: Mapping[str, str] | None = None,
    ) -> subprocess.CompletedProcess[str]:
        """Run a command as root. Raises CommandFailed on a code other than 0, unless check is False."""
        return command.run(self.inside(argv, env), timeout=timeout, check=check, stdin=stdin, where=f"{self.name}")

    def shell(self, script: str, *, timeout: float = 60, check: bool = True) -> str:
        """Run a bash script that stops at its first error, and give back what it wrote to stdout."""
        return self.run(["bash", "-euo", "pipefail", "-c", script], timeout=timeout, check=check).stdout

    def start(self, argv: Sequence[str], env: Mapping[str, str] | None = None) -> subprocess.Popen[str]:
        """Start a command and leave it running; the caller talks to it and ends it."""
        return subprocess.Popen(
            self.inside(argv, env),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def inside(self, argv: Sequence[str], env: Mapping[str, str] | None = None) -> list[str]:
        """The command line which, run on this machine, runs a command on the host."""
        pairs = [f"{key}={value}" for key, value in {**_ENVIRONMENT, **(env or {})}.items()]
        enter = ["nsenter", "--target", str(self.machine.leader()), "--all", "--"]
        return [*enter, "/usr/bin/env", "-i", *pairs, *argv]

    def put(self, path: str, content: str | bytes, mode: int = 0o644) -> None:
        """Write a file whole, with its mode; folders above it are made."""
        folder, file = shlex.quote(str(Path(path).parent)), shlex.quote(path)
        script = f"umask 077; (umask 022; mkdir -p {folder}) && cat > {file} && chmod {mode:o} {file}"
        self.run(["sh", "-c", script], stdin=content)

    def get(self, path: str) -> str:
        """Read a text file."""
        return self.run(["cat", path]).stdout

    def get_bytes(self, path: str) -> bytes:
        """Read a file as it is."""
        done = command.run_bytes(self.inside(["cat", path]))
        if done.returncode != 0:
            raise LabError(f"{self.name}: {done.stderr.decode(errors='replace')}")
        return done.stdout

    def exists(self, path: str) -> bool:
        """Whether there is anything at a path."""
        return self.run(["test", "-e", path], check=False).returncode == 0

    # --- power

    @property
    def running(self) -> bool:
        """Whether the host is on, booted or not."""
        return self.machine.running

    @property
    def boots(self) -> int:
        """How many times the host has been started in this lab."""
        return self.machine.boots

    def boot(self, timeout: float = 60) -> None:
        """Switch the host on and wait until it is up."""
        self.machine.start()
        self.wait_running(timeout)

    def wait_running(self, timeout: float = 60) -> None:
        """Wait until all services that start at boot have started, or failed for good."""
        try:
            wait_until(self._is_up, timeout, f"{self.name} booted")
        except CommandTimedOut as error:
            raise CommandTimedOut(f"{error}; its console:\n{self.console()}") from None

    def power_cut(self, silent: bool = True) -> None:
        """Cut the power: nothing on the host is told.

        Others hear nothing more of it, as from a machine that lost power. With silent=False this
        machine's kernel still answers for it, refusing connections: peers then notice at once.
        """
        if silent:
            self._network.silence(self.name)
        self.machine.kill()

    def power_off(self, timeout: float = 60) -> None:
        """Shut the host down in good order."""
        self.run(["systemctl", "poweroff"], check=False)
        self.machine.wait_off(timeout)

    def reboot(self, timeout: float = 120) -> None:
        """Reboot the host in good order and wait until it is up again."""
        before = self.boots
        self.run(["systemctl", "reboot"], check=False)
        self.wait_boot(before + 1, timeout)

    def wait_boot(self, number: int, timeout: float = 120) -> None:
        """Wait until the host has been started that many times and is up: for reboots the product causes."""
        wait_until(lambda: self.boots >= number, timeout, f"{self.name} started for the {number}th time")
        self.wait_running(timeout)

    # --- network

    def cut_link(self) -> None:
        """Pull the host's network cable. It stays out, also over a reboot, until it is mended."""
        self._network.cut(self.name)

    def mend_link(self) -> None:
        """Plug the network cable in again."""
        self._network.mend(self.name)

    # --- what a person wants to know

    def pss(self) -> int:
        """Bytes of memory that all processes of the host use, shared pages in proportion."""
        return memory.pss(self.machine.leader())

    def pss_by_name(self) -> dict[str, int]:
        """The same for each name of a process."""
        return memory.pss_by_name(self.machine.leader())

    def console(self, lines: int = 60) -> str:
        """The end of what the host wrote to its console."""
        if not self._console.exists():
            return ""
        return "\n".join(self._console.read_text(errors="replace").splitlines()[-lines:])

    def report(self) -> str:
        """What helps after a failed test: failed units, the end of the journal, the console."""
        parts = [f"{self!r}, started {self.boots} times"]
        try:
            parts.append(self.run(["systemctl", "--failed", "--no-pager"], check=False, timeout=10).stdout)
            journal = ["journalctl", "--no-pager", "--quiet", "--lines=60", "--output=short-precise"]
            parts.append(self.run(journal, check=False, timeout=10).stdout)
        except (HostDown, CommandTimedOut) as error:
            parts.append(str(error))
        return "\n".join([*parts, self.console(20)])

    def _is_up(self) -> bool:
        if not self.running:
            raise HostDown(f"{self.name} ended while it booted; its console:\n{self.console()}")
        try:
            state = self.run(["systemctl", "is-system-running"], check=False, timeout=20).stdout.strip()
        except HostDown:
            return False
        return state in ("running", "degraded")
