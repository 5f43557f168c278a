"""What is asked of systemd, and how its units are named; over D-Bus, or by systemctl where there is no system bus."""

from __future__ import annotations

import re
from typing import Final, Protocol

from protocol.errors import ArgumentError, StateError
from states.context import Context
from states.host.unitview import Unit, Verb

_SUFFIXES: Final = frozenset(
    ["service", "socket", "target", "device", "mount", "automount", "swap", "timer", "path", "slice", "scope"],
)
_NAME: Final = re.compile(r"[A-Za-z0-9:_.\\@-]{1,255}")


class Systemd(Protocol):
    """What states need of the service manager. Every method may raise StateError."""

    def unit(self, name: str) -> Unit:
        """The unit `name` as it is now; `load` is `not-found` when there is none."""
        ...

    def file_state(self, name: str) -> str:
        """`enabled`, `disabled`, `static`, `masked`, …: what systemctl is-enabled says; empty when there is none."""
        ...

    def job(self, verb: Verb, name: str, *, wait: bool = True) -> str:
        """Queue a job and, unless `wait` is false, wait for it; gives its result (`done`, `failed`, `timeout`, …)."""
        ...

    def reset_failed(self, name: str) -> None:
        """Forget that the unit failed, and its start limit."""
        ...

    def reload_daemon(self) -> None:
        """Read all unit files again."""
        ...


def unit_name(name: str, *, template: bool = False) -> str:
    """The full name of a unit: `ceph-mon@mon1` is `ceph-mon@mon1.service`. Raises ArgumentError; also for the name of
    a template (`ceph-mon@`), unless `template`."""
    if _NAME.fullmatch(name) is None or (name[:1] in "-." and not name.startswith("-.")):
        raise ArgumentError(f"{name!r} is not the name of a systemd unit")
    full = name if name.rpartition(".")[2] in _SUFFIXES and "." in name else f"{name}.service"
    if "@." in full and not template:
        raise ArgumentError(f"{full} is a template", help=f"name an instance, like {full.replace('@.', '@name.')}")
    return full


def escape_path(path: str) -> str:
    """How a path is written in a unit's name: `/var/lib/nova` is `var-lib-nova` (systemd.unit(5))."""
    parts = [part for part in path.split("/") if part]
    if not parts:
        return "-"
    escaped = "-".join(_escape(part) for part in parts)
    return f"\\x2e{escaped[1:]}" if escaped.startswith(".") else escaped


def booted(ctx: Context) -> bool:
    """Whether systemd runs the host (sd_booted(3))."""
    return ctx.path("/run/systemd/system").is_dir()


def systemd(ctx: Context) -> Systemd:
    """The service manager of the host. Raises StateError when systemd does not run it."""
    if not booted(ctx):
        raise StateError("systemd does not run this host", help="units can be managed only where it does")
    from states.host import systemd_bus, systemd_cli

    return systemd_bus.connect(ctx) or systemd_cli.Systemctl(ctx)


def _escape(part: str) -> str:
    return "".join(
        chr(byte) if chr(byte).isascii() and (chr(byte).isalnum() or chr(byte) in ":_.") else f"\\x{byte:02x}"
        for byte in part.encode()
    )
