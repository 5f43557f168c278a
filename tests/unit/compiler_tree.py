"""Makes state trees and pillars in a folder and compiles them, for the tests of the compiler."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from master.compiler.compile import Compiled, CompilerOptions, Request, Roots, compile_assignment
from master.compiler.trees import TreeOptions
from protocol.assignment import Chunk


def write(folder: Path, files: Mapping[str, str | bytes]) -> Path:
    """The folder, with `files` in it."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
    return folder


def request(
    tmp_path: Path,
    files: Mapping[str, str | bytes] | str,
    *,
    pillar: Mapping[str, str] | str | None = None,
    sls: tuple[str, ...] = ("main",),
    grains: Mapping[str, Any] | None = None,
    strict: bool = True,
    trees: TreeOptions | None = None,
    **more: Any,
) -> Request:
    """A request for the minion m1. `files` as text is main.sls; `pillar` as text is a file that every minion gets."""
    states = write(tmp_path / "states", {"main.sls": files} if isinstance(files, str) else files)
    everybody = {"top.sls": "base:\n  '*':\n    - all\n", "all.sls": pillar} if isinstance(pillar, str) else pillar
    pillars = write(tmp_path / "pillar", everybody or {})
    return Request(
        minion="m1",
        grains=grains or {},
        roots=Roots({"base": (states,)}, {"base": (pillars,)}, formulas=False),
        sls=sls,
        options=CompilerOptions(strict_requisites=strict, trees=trees or TreeOptions()),
        **more,
    )


def compiled(tmp_path: Path, files: Mapping[str, str | bytes] | str, **more: Any) -> Compiled:
    """What `request` with the same arguments compiles to."""
    return compile_assignment(request(tmp_path, files, **more))


def chunks(tmp_path: Path, files: Mapping[str, str | bytes] | str, **more: Any) -> dict[str, Chunk]:
    """The chunks by id; of several with one id the last."""
    return {chunk.id: chunk for chunk in compiled(tmp_path, files, **more).assignment.chunks}


def rendered(tmp_path: Path, template: str, **more: Any) -> Any:
    """What `{{ template }}` (or a whole template) gives as the content of a file."""
    text = template if "{" in template else "{{ " + template + " }}"
    tree = "out:\n  file.managed:\n    - name: /out\n    - source: salt://out.j2\n    - template: jinja\n"
    result = compiled(tmp_path, {"main.sls": tree, "out.j2": text, **more.pop("files", {})}, **more)
    (content,) = result.blobs.values()
    assert isinstance(content, bytes)
    return content.decode()
