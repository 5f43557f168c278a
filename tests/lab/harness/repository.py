"""The lab's package repository: a folder that hosts install from without any network.

It can be used in two ways, both from /repo inside a host:
    deb [trusted=yes] file:/repo ./
    deb [signed-by=/etc/apt/keyrings/lab.gpg] file:/repo lab main      key: /repo/lab.gpg, /repo/lab.asc
"""

import email.utils
import gzip
import hashlib
import os
import shutil
from pathlib import Path

from tests.lab.harness import artifact, image, recipe, settings
from tests.lab.harness.command import run

_IDENTITY = "Lab repository <lab@lab.invalid>"


def obtain() -> Path:
    """The folder to bind to /repo in a host."""
    return artifact.obtain(name(), _build) / "repo"


def name() -> str:
    """What the repository is called in the cache."""
    return f"repository-{digest()}"


def digest() -> str:
    """Changes with anything that goes into the repository."""
    return artifact.digest(image.base_digest(), recipe.OFFERED, recipe.DOWNLOAD, *recipe.DEMO_VERSIONS, _DEMO_CONTROL)


def _build(scratch: Path, lock: int) -> None:
    repo = scratch / "repo"
    pool = repo / "pool"
    pool.mkdir(parents=True)
    bare = image.base()
    for package in (bare / "debs").iterdir():
        os.link(package, pool / package.name)
    _download(bare / "root", scratch / "download", pool, lock)
    for version in recipe.DEMO_VERSIONS:
        _build_demo(scratch / f"demo-{version}", pool, version)
    index = _index(repo)
    _write_index(repo, index)
    _write_suite(repo / "dists/lab", index)
    _sign(repo, scratch / "gnupg")


def _download(root: Path, upper: Path, pool: Path, lock: int) -> None:
    arguments = [str(root), str(upper), str(pool), settings.mirror(), recipe.SUITE, *recipe.OFFERED.split()]
    run(
        [*image.ALONE, "/bin/sh", "-c", recipe.DOWNLOAD, "sh", *arguments],
        timeout=image.BUILD_TIME,
        pass_fds=[lock],
    )
    for leftover in (upper, upper.with_name("download.work"), upper.with_name("download.root")):
        shutil.rmtree(leftover)


_DEMO_CONTROL = """\
Package: lab-demo
Version: {version}
Architecture: all
Maintainer: Lab <lab@lab.invalid>
Section: misc
Priority: optional
Description: exists to be installed, held, upgraded and removed
"""


def _build_demo(tree: Path, pool: Path, version: str) -> None:
    """A package of two files, one of them configuration, in a version of our choice."""
    (tree / "DEBIAN").mkdir(parents=True)
    (tree / "etc").mkdir()
    (tree / "usr/bin").mkdir(parents=True)
    (tree / "DEBIAN/control").write_text(_DEMO_CONTROL.format(version=version))
    (tree / "DEBIAN/conffiles").write_text("/etc/lab-demo.conf\n")
    (tree / "etc/lab-demo.conf").write_text(f"version = {version}\n")
    program = tree / "usr/bin/lab-demo"
    program.write_text(f"#!/bin/sh\necho {version}\n")
    program.chmod(0o755)
    run(["dpkg-deb", "--build", "--root-owner-group", str(tree), str(pool / f"lab-demo_{version}_all.deb")])
    shutil.rmtree(tree)


def _index(repo: Path) -> bytes:
    script = 'cd "$1" && exec dpkg-scanpackages --multiversion pool'
    return run(["/bin/sh", "-c", script, "sh", str(repo)], timeout=300).stdout.encode()


def _write_index(folder: Path, index: bytes) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "Packages").write_bytes(index)
    (folder / "Packages.gz").write_bytes(gzip.compress(index, mtime=0))


def _write_suite(suite: Path, index: bytes) -> None:
    """The suite `lab` with component `main`, described in its Release file."""
    _write_index(suite / "main/binary-amd64", index)
    lines = [
        *("Origin: Lab", "Label: Lab", "Suite: lab", "Codename: lab"),
        f"Date: {email.utils.formatdate(usegmt=True).replace('GMT', 'UTC')}",
        *("Architectures: amd64 all", "Components: main", "Description: offline lab", "SHA256:"),
    ]
    for file in sorted(suite.rglob("Packages*")):
        content = file.read_bytes()
        lines.append(f" {hashlib.sha256(content).hexdigest()} {len(content)} {file.relative_to(suite)}")
    (suite / "Release").write_text("\n".join(lines) + "\n")


def _sign(repo: Path, home: Path) -> None:
    """Make the repository's key, sign the suite with it, and offer its public half."""
    home.mkdir(mode=0o700)
    gpg = ["gpg", "--homedir", str(home), "--batch", "--quiet", "--passphrase", ""]
    suite = repo / "dists/lab"
    release = str(suite / "Release")
    run([*gpg, "--quick-gen-key", _IDENTITY, "ed25519", "sign", "never"])
    run([*gpg, "--clearsign", "--output", str(suite / "InRelease"), release])
    run([*gpg, "--armor", "--detach-sign", "--output", str(suite / "Release.gpg"), release])
    run([*gpg, "--output", str(repo / "lab.gpg"), "--export"])
    run([*gpg, "--armor", "--output", str(repo / "lab.asc"), "--export"])
    run(["gpgconf", "--homedir", str(home), "--kill", "all"])
