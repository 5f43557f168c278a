"""A control group of its own for each job, where systemd runs: a transient scope outside the daemon's unit.

So a job outlives a restart or an upgrade of the daemon, and ending it ends everything it started, whatever groups
and sessions that made for itself (systemd.scope(5), org.freedesktop.systemd1(5)).
"""

from __future__ import annotations

import os
import time
from pathlib import Path

from protocol.names import JobId

SLICE = "stackminion-jobs.slice"
PATIENCE = 3.0
"""Seconds that systemd may take to move the process."""

_MOUNTS = (Path("/sys/fs/cgroup"), Path("/sys/fs/cgroup/unified"), Path("/sys/fs/cgroup/systemd"))
_MANAGER = ("org.freedesktop.systemd1", "/org/freedesktop/systemd1", "org.freedesktop.systemd1.Manager")


def available() -> bool:
    """Whether this process may ask systemd for a scope."""
    return Path("/run/systemd/system").is_dir() and os.geteuid() == 0


def enter(job: JobId) -> Path | None:
    """Move this process into the scope of `job`; the folder of its control group, None when there is none."""
    if not available():
        return None
    name = f"stackminion-job-{job}.scope"
    words = [
        *("busctl", "--quiet", f"--timeout={PATIENCE:.0f}", "call", *_MANAGER, "StartTransientUnit"),
        *("ssa(sv)a(sa(sv))", name, "fail", "4"),
        *("PIDs", "au", "1", str(os.getpid()), "Slice", "s", SLICE),
        *("Description", "s", f"stackminion job {job}", "CollectMode", "s", "inactive-or-failed", "0"),
    ]
    try:
        child = os.posix_spawnp(words[0], words, os.environ)
    except OSError:
        return None
    os.waitpid(child, 0)
    return _arrived(name)


def _arrived(name: str) -> Path | None:
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        for line in Path("/proc/self/cgroup").read_text("utf-8").splitlines():
            path = line.split(":", 2)[2]
            if path.endswith(f"/{name}"):
                return _folder(path)
        time.sleep(0.005)
    return None


def _folder(path: str) -> Path | None:
    folders = (mount / path.lstrip("/") for mount in _MOUNTS)
    return next((folder for folder in folders if (folder / "cgroup.procs").exists()), None)


def members(group: Path) -> list[int]:
    """The processes in a control group and below it."""
    found: list[int] = []
    for procs in [group / "cgroup.procs", *group.glob("**/cgroup.procs")]:
        try:
            found += [int(pid) for pid in procs.read_text("ascii").split()]
        except OSError:
            continue
    return sorted(set(found))
