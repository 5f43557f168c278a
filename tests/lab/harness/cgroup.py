"""Control groups of the lab's hosts: one for each host, found again by name, killed whole.

Without a group of its own each container would share the caller's, and the systemds inside would
manage each other's slices.
"""

import os
import signal
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path

from tests.lab.harness.errors import LabError

_ROOT = Path("/sys/fs/cgroup")


def hierarchies() -> list[Path]:
    """The trees a systemd inside needs a place in: one with cgroup v2, two on a hybrid machine."""
    if (_ROOT / "cgroup.controllers").exists():
        return [_ROOT]
    return [tree for tree in (_ROOT / "systemd", _ROOT / "unified") if tree.is_dir()]


def create(name: str) -> list[Path]:
    """Make the groups of one host and give back their folders."""
    groups = [tree / name for tree in hierarchies()]
    for group in groups:
        group.mkdir(exist_ok=True)
    return groups


def entering(groups: Iterable[Path], argv: Iterable[str]) -> list[str]:
    """A command line which enters the groups and then becomes the given command."""
    script = 'while [ "$1" != -- ]; do echo 0 > "$1/cgroup.procs" || exit 125; shift; done; shift; exec "$@"'
    return ["/bin/sh", "-c", script, "sh", *map(str, groups), "--", *argv]


def of_run(run_name: str) -> list[Path]:
    """All groups of the hosts of a run."""
    return [group for tree in hierarchies() for group in tree.glob(f"{run_name}-*") if group.is_dir()]


def kill(groups: Iterable[Path], timeout: float = 30) -> None:
    """Kill all processes in the groups, all groups at once, and wait until they are gone."""
    pending = list(groups)
    deadline = time.monotonic() + timeout
    while pids := {pid for group in pending for pid in _processes(group)}:
        if time.monotonic() > deadline:
            raise LabError(f"processes that do not die: {sorted(pids)}")
        for pid in pids:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.05)


def remove(group: Path) -> None:
    """Remove an emptied group with all groups in it."""
    for folder, _, _ in os.walk(group, topdown=False):
        with suppress(FileNotFoundError):
            _remove_folder(Path(folder))


def _remove_folder(folder: Path) -> None:
    """Remove one group; the kernel may need a moment after the last process has gone."""
    for _ in range(100):
        try:
            folder.rmdir()
        except OSError as error:
            if not folder.exists():
                return
            last = error
            time.sleep(0.02)
        else:
            return
    raise LabError(f"control group stays: {folder}: {last}")


def _processes(group: Path) -> Iterator[int]:
    """The processes in a group and in the groups below it, zombies left out."""
    for folder, _, _ in os.walk(group):
        with suppress(OSError):
            for pid in (Path(folder) / "cgroup.procs").read_text().split():
                if pid != "0" and not _is_zombie(int(pid)):
                    yield int(pid)


def _is_zombie(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True
