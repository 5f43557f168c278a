"""The services of a minion: which run, which start at boot; start, stop, restart and reload them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict

from protocol.data import Data
from states.context import Context
from states.host import process, units
from states.host.systemd import systemd, unit_name
from states.host.unitview import Verb
from states.registry import function


@function("service.status", access="reads")
def status(ctx: Context, names: Sequence[str]) -> Data:
    """Whether a service runs; of several names, or of a pattern, name -> whether.

    names: one service, several, or patterns like ceph-*
    """
    manager = systemd(ctx)
    if len(names) == 1 and not _is_pattern(names[0]):
        return manager.unit(unit_name(names[0])).running
    found: dict[str, Data] = {}
    for name in names:
        if _is_pattern(name):
            found.update(_matching(ctx, name))
        else:
            found[name] = manager.unit(unit_name(name)).running
    return found


@function("service.enabled", access="reads")
def enabled(ctx: Context, name: str) -> Data:
    """Whether a service starts at boot.

    name: the service
    """
    return bool(units.enabled(ctx, systemd(ctx), unit_name(name)))


@function("service.available", access="reads")
def available(ctx: Context, name: str) -> Data:
    """Whether there is such a service.

    name: the service
    """
    return systemd(ctx).unit(unit_name(name)).exists


@function("service.show", access="reads")
def show(ctx: Context, name: str) -> Data:
    """What systemd says of a unit: its states, result, exit status and file.

    name: the unit
    """
    manager, full = systemd(ctx), unit_name(name)
    return {**asdict(manager.unit(full)), "file_state": manager.file_state(full)}


@function("service.start", access="changes")
def start(ctx: Context, name: str) -> Data:
    """True, after the service was started. Raises StateError with its result and last journal lines.

    name: the service
    """
    return _do(ctx, name, "start")


@function("service.restart", access="changes")
def restart(ctx: Context, name: str) -> Data:
    """True, after the service was restarted. Raises StateError with its result and last journal lines.

    name: the service
    """
    return _do(ctx, name, "restart")


@function("service.reload", access="changes")
def reload(ctx: Context, name: str) -> Data:
    """True, after the service read its configuration again. Raises StateError with its last journal lines.

    name: the service
    """
    return _do(ctx, name, "reload")


@function("service.stop", access="changes")
def stop(ctx: Context, name: str) -> Data:
    """True, after the service was stopped. Raises StateError.

    name: the service
    """
    manager, full = systemd(ctx), unit_name(name)
    if manager.unit(full).exists:
        units.stop(ctx, manager, full)
    return True


@function("service.enable", access="changes")
def enable(ctx: Context, name: str) -> Data:
    """True, after the service was set to start at boot. Raises StateError.

    name: the service
    """
    units.unit_file(ctx, unit_name(name), "enable")
    return True


@function("service.disable", access="changes")
def disable(ctx: Context, name: str) -> Data:
    """True, after the service was set not to start at boot. Raises StateError.

    name: the service
    """
    units.unit_file(ctx, unit_name(name), "disable")
    return True


@function("service.systemctl_reload", access="changes")
def systemctl_reload(ctx: Context) -> Data:
    """True, after systemd read all unit files again."""
    systemd(ctx).reload_daemon()
    return True


def _do(ctx: Context, name: str, verb: Verb) -> Data:
    manager, full = systemd(ctx), unit_name(name)
    units.look(ctx, manager, full)
    units.start(ctx, manager, full, verb=verb)
    return True


def _is_pattern(name: str) -> bool:
    return any(character in name for character in "*?[")


def _matching(ctx: Context, pattern: str) -> dict[str, Data]:
    """The loaded services that fit the pattern, by their names without `.service`, and whether they run."""
    options = ["--type=service", "--all", "--plain", "--no-legend", "--no-pager"]
    argv = [process.require(ctx, "systemctl"), "list-units", *options, "--", pattern]
    rows = [line.split() for line in process.run(ctx, argv).stdout.splitlines()]
    return {row[0].removesuffix(".service"): row[2] == "active" for row in rows if len(row) > 3 and row[1] == "loaded"}
