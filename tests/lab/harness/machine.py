"""A container with its own init, as a machine: switched on, cut off, started again after a reboot."""

import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

from tests.lab.harness import cgroup
from tests.lab.harness.errors import CommandTimedOut, HostDown, LabError

_REBOOT = 133
"""How systemd-nspawn ends when the system inside wants to be started again."""


class Machine:
    """One container. After `reboot` inside it is started again by itself, as real machines are."""

    def __init__(self, name: str, argv: Sequence[str], console: Path, before_boot: Callable[[], None]) -> None:
        self.name = name
        self.boots = 0
        self._argv = argv
        self._console = console
        self._before_boot = before_boot
        self._process: subprocess.Popen[bytes] | None = None
        self._watcher: threading.Thread | None = None
        self._stay_off = False

    @property
    def running(self) -> bool:
        """Whether the machine is on. It stays on during a reboot."""
        return self._watcher is not None and self._watcher.is_alive()

    def start(self) -> None:
        """Switch the machine on, without waiting for anything inside."""
        if self.running:
            raise LabError(f"{self.name} is running already")
        self._stay_off = False
        self._spawn()
        self._watcher = threading.Thread(target=self._watch, name=f"watch {self.name}", daemon=True)
        self._watcher.start()

    def kill(self) -> None:
        """Cut the power: everything inside is gone at once."""
        self._stay_off = True
        with suppress(HostDown, ProcessLookupError):
            os.kill(self.leader(), signal.SIGKILL)
        if self._process is not None and self._process.poll() is None and not self._children():
            self._process.kill()  # cut so early that nothing had started inside
        self.wait_off(30)

    def wait_off(self, timeout: float) -> None:
        """Wait until the machine is off."""
        if self._watcher is not None:
            self._watcher.join(timeout)
        if self.running:
            raise CommandTimedOut(f"{self.name} is still running after {timeout:g} s")

    def leader(self) -> int:
        """The process id of the init inside, as seen from this machine."""
        for pid in self._children():
            with suppress(OSError):
                status = Path(f"/proc/{pid}/status").read_text()
                if "\nNSpid:" in status and _is_init(status):
                    return pid
        raise HostDown(f"{self.name} is not running")

    def _spawn(self) -> None:
        self._before_boot()
        groups = cgroup.create(self.name)
        with self._console.open("ab") as console:
            self._process = subprocess.Popen(
                cgroup.entering(groups, self._argv),
                stdin=subprocess.DEVNULL,
                stdout=console,
                stderr=console,
                env={**os.environ, "SYSTEMD_NSPAWN_API_VFS_WRITABLE": "network"},
                start_new_session=True,
            )
        self.boots += 1

    def _watch(self) -> None:
        """Wait for the end of the container, and start it again when it only wanted to reboot."""
        while self._process is not None:
            code = self._process.wait()
            if code != _REBOOT or self._stay_off:
                return
            self._spawn()

    def _children(self) -> list[int]:
        """The processes that systemd-nspawn has started."""
        if self._process is None or self._process.poll() is not None:
            return []
        pid = self._process.pid
        with suppress(OSError):
            return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
        return []


def _is_init(status: str) -> bool:
    """Whether a process is the init of a namespace of its own, and has become systemd already."""
    fields = dict(line.split(":", 1) for line in status.splitlines() if ":" in line)
    inside = fields["NSpid"].split()
    return len(inside) > 1 and inside[-1] == "1" and fields["Name"].strip() == "systemd"


def wait_until(true: Callable[[], bool], timeout: float, what: str, pause: float = 0.1) -> None:
    """Ask again and again until the answer is yes, or say what was waited for in vain."""
    deadline = time.monotonic() + timeout
    while not true():
        if time.monotonic() > deadline:
            raise CommandTimedOut(f"after {timeout:g} s still not: {what}")
        time.sleep(pause)
