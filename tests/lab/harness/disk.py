"""The disk of a host: an overlay on shared images, whose upper layer is all that is the host's own."""

import secrets
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.lab.harness.command import run


class Disk:
    """The root of one host, mounted from a run's folder."""

    def __init__(self, folder: Path, lowers: Sequence[Path]) -> None:
        self.root = folder / "root"
        self.upper = folder / "upper"
        self._work = folder / "work"
        self._lowers = lowers

    def mount(self) -> bool:
        """Mount it, with what its upper layer holds already; whether it had to be mounted."""
        if self.root.is_mount():
            return False
        shutil.rmtree(self._work, ignore_errors=True)  # else a work folder of an earlier mount is refused
        for folder in (self.root, self.upper, self._work):
            folder.mkdir(parents=True, exist_ok=True)
        layers = f"lowerdir={':'.join(map(str, self._lowers))},upperdir={self.upper},workdir={self._work}"
        run(["mount", "-t", "overlay", "host", "-o", f"volatile,{layers}", str(self.root)])
        return True

    def unmount(self) -> None:
        """Unmount it, so that its upper layer may be copied or changed."""
        if self.root.is_mount():
            run(["umount", str(self.root)])

    def give_identity(self, name: str, addresses: Mapping[str, str], apt_source: bool) -> None:
        """Write what makes a new host this host: name, neighbours, machine id. A saved one keeps its own."""
        etc = self.root / "etc"
        if (etc / "machine-id").read_text():
            return
        (etc / "machine-id").write_text(secrets.token_hex(16) + "\n")
        (etc / "hostname").write_text(f"{name}\n")
        lines = ["127.0.0.1 localhost", *(f"{address} {host}" for host, address in addresses.items())]
        (etc / "hosts").write_text("\n".join(lines) + "\n")
        if not apt_source:
            (etc / "apt/sources.list").write_text("")

    def install(self, file: Path, path: str) -> None:
        """Put a file of this machine on the disk, with its mode."""
        target = self.root / path.lstrip("/")
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(file, target)

    def save(self, folder: Path) -> None:
        """Copy the upper layer out; the disk must be unmounted. Holes in files stay holes."""
        _copy(self.upper, folder)

    def load(self, folder: Path) -> None:
        """Replace the upper layer by a saved one; the disk must be unmounted."""
        if self.upper.exists():
            shutil.rmtree(self.upper)
        _copy(folder, self.upper)


def _copy(source: Path, target: Path) -> None:
    run(["cp", "--archive", "--sparse=always", "--no-target-directory", str(source), str(target)], timeout=300)
