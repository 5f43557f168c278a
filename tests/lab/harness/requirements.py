"""What a machine must have to run booted hosts; installs what it may, says clearly what is lacking."""

import functools
import os
import shutil
import tempfile
import urllib.request
from pathlib import Path

from tests.lab.harness import artifact, cgroup, image, recipe, repository, settings
from tests.lab.harness.command import run
from tests.lab.harness.errors import LabError, LabUnavailable

_TOOLS = {
    "systemd-nspawn": "systemd-container",
    "debootstrap": "debootstrap",
    "ip": "iproute2",
    "nsenter": "util-linux",
    "dpkg-scanpackages": "dpkg-dev",
    "gpg": "gnupg",
}
"""Each command the harness calls, and the Debian package it comes in."""


@functools.cache
def lab_unavailable_reason() -> str | None:
    """Why tests with booted hosts cannot run on this machine; None when they can.

    The one place to ask. The first call may install tools; the answer is kept.
    """
    try:
        ensure()
    except LabUnavailable as lacking:
        return str(lacking)
    return None


@functools.cache
def ensure() -> None:
    """Make this machine able to run the lab, or raise LabUnavailable with the thing that is lacking."""
    if os.geteuid() != 0:
        raise LabUnavailable("booted hosts need root")
    _ensure_tools()
    _ensure_cgroups()
    _ensure_kernel()
    _ensure_source()


def _ensure_tools() -> None:
    lacking = {tool: package for tool, package in _TOOLS.items() if shutil.which(tool) is None}
    if not lacking:
        return
    if shutil.which("apt-get") is None:
        raise LabUnavailable(f"commands not found: {', '.join(lacking)} (and no apt-get to install them)")
    try:
        _install(sorted(set(lacking.values())))
    except LabError as error:
        raise LabUnavailable(f"cannot install {', '.join(lacking.values())}: {error}") from error


def _install(packages: list[str]) -> None:
    """Install packages on this machine, where they lack."""
    env = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    run(["apt-get", "-q", "update"], timeout=180, env=env)
    run(["apt-get", "-qy", "--no-install-recommends", "install", *packages], timeout=600, env=env)


def _ensure_cgroups() -> None:
    trees = cgroup.hierarchies()
    if not trees:
        raise LabUnavailable("no control groups that a systemd can live in (/sys/fs/cgroup)")
    try:
        for group in cgroup.create(f"smlab-probe-{os.getpid()}"):
            cgroup.remove(group)
    except OSError as error:
        raise LabUnavailable(f"control groups cannot be made: {error}") from error


def _ensure_kernel() -> None:
    """Try, in a mount and network namespace that ends with the command, what every host needs."""
    folder = settings.cache()
    folder.mkdir(parents=True, exist_ok=True)
    script = (
        'set -e; cd "$1"; mkdir lower upper work root;'
        "mount -t overlay probe -o volatile,lowerdir=lower,upperdir=upper,workdir=work root;"
        "ip link add probe0 type bridge; ip link add probe1 type veth peer name probe2"
    )
    with tempfile.TemporaryDirectory(dir=folder, prefix="probe-") as scratch:
        try:
            run(["unshare", "--mount", "--net", "/bin/sh", "-c", script, "sh", scratch])
        except LabError as error:
            raise LabUnavailable(f"overlay mounts or private networks do not work here: {error}") from error
    if not Path("/proc/self/task").is_dir() or not Path(f"/proc/self/task/{os.getpid()}/children").exists():
        raise LabUnavailable("the kernel does not list a process's children (CONFIG_PROC_CHILDREN)")


def _ensure_source() -> None:
    """Images are here already, or the mirror to build them from can be reached."""
    if artifact.is_there(image.base_name()) and artifact.is_there(repository.name()):
        return
    url = f"{settings.mirror()}/dists/{recipe.SUITE}/Release"
    try:
        with urllib.request.urlopen(url, timeout=20) as answer:
            answer.read(1)
    except OSError as error:
        raise LabUnavailable(f"no images in {settings.cache()}, and {url} does not answer: {error}") from error
