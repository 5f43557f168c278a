"""Things that are slow to build, built once: images and repositories, kept under a digest of their recipe."""

import fcntl
import hashlib
import os
import shutil
from collections.abc import Callable
from pathlib import Path

from tests.lab.harness import settings


def digest(*parts: str) -> str:
    """A short name for a recipe: changes when any part of it changes."""
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]


def is_there(name: str) -> bool:
    """Whether somebody has built it already."""
    return (settings.cache() / name).is_dir()


def obtain(name: str, build: Callable[[Path, int], None]) -> Path:
    """The finished folder of that name, built now if nobody has.

    `build` fills a scratch folder, which is renamed when all of it is there, so a killed build leaves
    nothing half-made. It also gets the lock's file descriptor, to hand on to the commands it starts:
    the lock then lasts until the last of them has ended, even when the builder itself is killed.
    """
    cache = settings.cache()
    finished = cache / name
    if finished.is_dir():
        return finished
    cache.mkdir(parents=True, exist_ok=True)
    lock = os.open(cache / f"{name}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not finished.is_dir():
            _build(finished, build, lock)
    finally:
        os.close(lock)
    return finished


def _build(finished: Path, build: Callable[[Path, int], None], lock: int) -> None:
    scratch = finished.with_name(f"{finished.name}.part")
    if scratch.exists():
        shutil.rmtree(scratch)
    scratch.mkdir()
    try:
        build(scratch, lock)
    except BaseException:
        shutil.rmtree(scratch)
        raise
    scratch.rename(finished)
