"""Disk images with packages installed already, for tests that are not about installing them."""

from pathlib import Path

from tests.lab.harness import artifact, image, recipe, repository
from tests.lab.harness.command import run
from tests.lab.harness.errors import LabError


def lowers(layer: str | None) -> list[Path]:
    """The read-only folders that a host's disk begins with, the topmost first."""
    bare = image.base() / "root"
    if layer is None:
        return [bare]
    if layer not in recipe.LAYERS:
        raise LabError(f"no layer {layer!r}: there are {', '.join(recipe.LAYERS)}")
    packages = recipe.LAYERS[layer]
    name = f"{layer}-{artifact.digest(image.base_digest(), repository.digest(), packages, recipe.INSTALL)}"
    return [artifact.obtain(name, lambda scratch, lock: _build_layer(scratch, lock, packages)) / "root", bare]


def _build_layer(scratch: Path, lock: int, packages: str) -> None:
    arguments = [str(image.base() / "root"), str(scratch / "root"), str(repository.obtain()), *packages.split()]
    run(
        [*image.ALONE, "/bin/sh", "-c", recipe.INSTALL, "sh", *arguments],
        timeout=image.BUILD_TIME,
        pass_fds=[lock],
    )
