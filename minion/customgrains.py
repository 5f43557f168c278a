"""The grains of the tree's own code: gathered by a process of their own, within limits, and remembered on disk."""

from __future__ import annotations

import contextlib
import logging
import os
import resource
import signal
import traceback
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from minion import processes, runner
from protocol import codec
from protocol.assignment import Custom
from protocol.data import Data
from protocol.errors import DecodeError
from protocol.identity import write_private
from states.context import Context
from states.custom import store

log = logging.getLogger("stackminion.grains")

PATIENCE: Final = 30.0
"""Seconds that gathering may take, and seconds of processor time."""


class CustomGrains:
    """What the code of the tree last told of this host, and the process that asks it again."""

    def __init__(self, minion: str, root: Path, state_dir: Path) -> None:
        self._minion = minion
        self._root = root
        self._state_dir = state_dir
        self._pid: int | None = None
        self._deadline = 0.0
        self.values: Mapping[str, Data] = self._read() if self._custom() is not None else {}

    @property
    def running(self) -> bool:
        """Whether the process is at work."""
        return self._pid is not None

    @property
    def deadline(self) -> float | None:
        """When `tick` has something to do (monotonic seconds)."""
        return self._deadline if self.running else None

    def start(self, grains: Mapping[str, Data], wake: int, now: float) -> None:
        """Ask the code of the tree, when it has any for grains and is not being asked; `grains` is what it may read."""
        if self.running:
            return
        custom = self._custom()
        if custom is None:
            self.values = {}
            return
        self._deadline = now + PATIENCE
        self._pid = os.fork()
        if self._pid == 0:
            self._child(custom, grains, wake)

    def tick(self, now: float) -> None:
        """End a process that takes too long."""
        if self._pid is not None and now >= self._deadline:
            log.error("the tree's own grains are not gathered within %g s; those of before stay", PATIENCE)
            processes.send(processes.family(self._pid, None), signal.SIGKILL)
            self._deadline = now + PATIENCE

    def reaped(self, pid: int) -> bool:
        """Whether `pid` was the process; then what it found is in `values`."""
        if pid != self._pid:
            return False
        self._pid = None
        self.values = self._read()
        return True

    def stop(self) -> None:
        """End the process: the daemon stops."""
        if self._pid is not None:
            processes.send(processes.family(self._pid, None), signal.SIGKILL)

    def _custom(self) -> Custom | None:
        custom = store.load(self._state_dir)
        return custom if custom is not None and any(file.kind == "grains" for file in custom.files) else None

    @property
    def _file(self) -> Path:
        return store.folder(self._state_dir) / "grains"

    def _read(self) -> Mapping[str, Data]:
        try:
            told = codec.unpack(self._file.read_bytes())
        except (OSError, DecodeError):
            return {}
        found = told if isinstance(told, Mapping) else {}
        problems, grains = found.get("problems"), found.get("grains")
        for problem in problems if isinstance(problems, list) else []:
            log.warning("%s", problem)
        return grains if isinstance(grains, Mapping) else {}

    def _child(self, custom: Custom, grains: Mapping[str, Data], wake: int) -> None:
        """The process: never comes back."""
        status = 1
        try:
            folder = store.folder(self._state_dir)
            with contextlib.suppress(FileNotFoundError):
                (folder / "log").unlink()
            runner.detach(folder, wake)
            resource.setrlimit(resource.RLIMIT_CPU, (int(PATIENCE), int(PATIENCE)))
            self._gather(custom, grains)
            status = 0
        except BaseException:  # noqa: BLE001 - the last line of a child: never unwind into the daemon's frames
            traceback.print_exc()
        finally:
            os._exit(status)

    def _gather(self, custom: Custom, grains: Mapping[str, Data]) -> None:
        from states.custom.grains import gather
        from states.engine import apply

        kept = {file.ref.digest: store.content(self._state_dir, file) for file in custom.files}
        context = Context(
            self._minion, grains, root=self._root, state_dir=self._state_dir, deadline=PATIENCE,
            blob_path=lambda ref: kept[ref.digest],
        )  # fmt: skip
        found = gather(custom, context, apply)
        write_private(self._file, codec.pack({"grains": found.grains, "problems": list(found.problems)}))
