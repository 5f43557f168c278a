"""Which runs of the lab exist on this machine, and whether their owner is still alive.

A run is a number. Its owner holds a lock on the number's file for as long as it lives, so a free lock
on a file with something in it means: the owner was killed and what it made is still there.
"""

import fcntl
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.lab.harness import settings
from tests.lab.harness.errors import LabError

_MOST_RUNS = 200


@dataclass(frozen=True, slots=True)
class Claim:
    """A run that this process holds the lock of."""

    name: str
    folder: Path
    _lock: int

    def release(self) -> None:
        """Say that nothing of the run is left, and let others have the number."""
        os.ftruncate(self._lock, 0)
        os.close(self._lock)


def take(runs: Path) -> Claim:
    """Claim the first number that is free and clean, for a run with its folder under `runs`."""
    for number in range(1, _MOST_RUNS):
        lock = _lock(number)
        if lock is None:
            continue
        if os.fstat(lock).st_size:
            os.close(lock)
            continue
        name = _name(number)
        folder = runs / name
        os.pwrite(lock, json.dumps({"pid": os.getpid(), "folder": str(folder)}).encode(), 0)
        return Claim(name, folder, lock)
    raise LabError(f"{_MOST_RUNS} labs are running already: see {settings.CLAIMS}")


def abandoned() -> Iterator[Claim]:
    """Runs whose owner is dead; each is locked while the caller looks after it."""
    for path in sorted(settings.CLAIMS.glob("*.lock")):
        number = int(path.stem)
        lock = _lock(number)
        if lock is None:
            continue
        content = os.pread(lock, 4096, 0)
        if not content:
            os.close(lock)
            continue
        yield Claim(_name(number), Path(json.loads(content)["folder"]), lock)


def _name(number: int) -> str:
    return f"smlab{number}"


def _lock(number: int) -> int | None:
    """Open and lock a number's file; None when a living owner has it."""
    settings.CLAIMS.mkdir(mode=0o700, exist_ok=True)
    lock = os.open(settings.CLAIMS / f"{number}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(lock)
        return None
    return lock
