"""The product as hosts see it: a copy of the checkout's packages, its launchers and its units.

Copied when a lab starts, so that edits meanwhile change nothing, and byte-compiled by the hosts' own
Python, since hosts see the copy read-only.
"""

import shutil
from pathlib import Path

from tests.lab.harness import image, settings
from tests.lab.harness.command import run
from tests.lab.harness.errors import CommandFailed

PACKAGES = ("protocol", "states", "minion")
"""What a minion's host has of the product. The master is not there: the minion must do without."""

HOME = "/usr/lib/stackmaster"

INSTALLED = {
    "packaging/bin/stackminion": ("/usr/bin/stackminion", 0o755),
    "packaging/systemd/stackminion.service": ("/etc/systemd/system/stackminion.service", 0o644),
}
"""Files outside the packages: where they are in the checkout, where on a host, and their mode there."""


def stage(folder: Path) -> Path:
    """Copy the product into a folder, compiled, and give back the folder to bind to HOME."""
    tree = folder / "lib"
    for package in PACKAGES:
        ignore = shutil.ignore_patterns("__pycache__")
        shutil.copytree(settings.CHECKOUT / package, tree / package, ignore=ignore)
    for source, (target, mode) in INSTALLED.items():
        copy = folder / Path(target).name
        shutil.copyfile(settings.CHECKOUT / source, copy)
        copy.chmod(mode)
    _compile(tree)
    return tree


def files(folder: Path) -> list[tuple[Path, str]]:
    """The staged files to put on a host's disk, and where."""
    return [(folder / Path(target).name, target) for target, _ in INSTALLED.values()]


def _compile(tree: Path) -> None:
    """Compile with the hosts' Python; the bind mount lives in a mount namespace that ends with the command."""
    script = (
        'set -e; mount --bind "$1" "$2$3"; '
        'exec chroot "$2" /usr/bin/python3 -I -m compileall -q --invalidation-mode unchecked-hash "$3"'
    )
    root = image.base() / "root"
    argv = [*image.ALONE, "/bin/sh", "-c", script, "sh", str(tree), str(root), HOME]
    done = run(argv, check=False, timeout=120)
    # Code 1: a module does not compile. That is for its own tests to say; the others must run.
    if done.returncode not in (0, 1):
        raise CommandFailed(argv, done.returncode, done.stdout + done.stderr)
