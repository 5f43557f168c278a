"""The bare disk image that all of the lab's hosts begin with, made by debootstrap."""

from pathlib import Path

from tests.lab.harness import artifact, recipe, settings
from tests.lab.harness.command import run

BUILD_TIME = 900.0

ALONE = ("unshare", "--mount", "--pid", "--fork", "--kill-child")
"""Prefix of commands that mount things: their mounts and processes end with them, however they end."""


def base() -> Path:
    """The folder of the bare image: `root`, and in `debs` the packages it was made of."""
    return artifact.obtain(base_name(), _build_base)


def base_name() -> str:
    """What the base image is called in the cache."""
    return f"base-{base_digest()}"


def base_digest() -> str:
    """Changes with anything that goes into the base image."""
    return artifact.digest(recipe.SUITE, recipe.BASE, recipe.PREPARE_BASE, settings.mirror())


def _build_base(scratch: Path, lock: int) -> None:
    root, debs = scratch / "root", scratch / "debs"
    debs.mkdir()
    run(
        [
            *ALONE,
            *("env", "DPKG_FORCE=unsafe-io", "LC_ALL=C.UTF-8"),
            *("debootstrap", "--variant=minbase", f"--include={','.join(recipe.BASE.split())}"),
            *(recipe.SUITE, str(root), settings.mirror()),
        ],
        timeout=BUILD_TIME,
        pass_fds=[lock],
    )
    for package in (root / "var/cache/apt/archives").glob("*.deb"):
        package.rename(debs / package.name)
    run(["/bin/sh", "-c", recipe.PREPARE_BASE, "sh", str(root)], pass_fds=[lock])
