"""A unit as systemd has it, and what can be asked to happen to it: shapes shared by both ways to systemd."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

Verb = Literal["start", "stop", "restart", "reload"]

PROPERTIES: Final = (
    "LoadState",
    "LoadError",
    "ActiveState",
    "SubState",
    "NeedDaemonReload",
    "CanReload",
    "ConditionResult",
    "Type",
    "RemainAfterExit",
    "Result",
    "ExecMainCode",
    "ExecMainStatus",
    "FragmentPath",
    "InvocationID",
)


@dataclass(frozen=True, slots=True)
class Unit:
    """A unit as systemd has it now; the words are systemd's (see systemctl(1), org.freedesktop.systemd1(5)).

    `load_error` says why it could not be loaded. `exit_status` is that of its main process (a signal when `killed`).
    `invocation` changes with each start.
    """

    name: str
    load: str
    active: str
    sub: str
    need_reload: bool = False
    can_reload: bool = False
    conditions_met: bool = True
    type: str = ""
    remains: bool = False
    result: str = ""
    killed: bool = False
    exit_status: int = 0
    fragment: str = ""
    load_error: str = ""
    invocation: str = ""

    @property
    def exists(self) -> bool:
        """Whether there is such a unit (a masked one is)."""
        return self.load != "not-found"

    @property
    def running(self) -> bool:
        """Whether it is up."""
        return self.active in ("active", "reloading")

    @property
    def state(self) -> str:
        """Its state in a word or two."""
        return f"{self.active} ({self.sub})" if self.active in ("activating", "deactivating") else self.active
