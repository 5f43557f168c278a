"""systemd by systemctl: 5 ms a question, for hosts without a system bus."""

from __future__ import annotations

from typing import Final

from states.context import Context
from states.host import process
from states.host.unitview import PROPERTIES, Unit, Verb

_SIGNALLED: Final = ("2", "3")
"""ExecMainCode of a process that a signal ended: CLD_KILLED, CLD_DUMPED."""


class Systemctl:
    """The service manager behind systemctl; see states.host.systemd.Systemd for what each method is to do."""

    def __init__(self, ctx: Context) -> None:
        self._ctx = ctx
        self._command = process.require(ctx, "systemctl")

    def unit(self, name: str) -> Unit:
        """`systemctl show`."""
        argv = [self._command, "show", "--no-pager", f"--property={','.join(PROPERTIES)}", "--", name]
        return parse_show(name, process.run(self._ctx, argv).stdout)

    def file_state(self, name: str) -> str:
        """`systemctl is-enabled`."""
        done = process.run(self._ctx, [self._command, "is-enabled", "--", name], accept=None)
        return done.stdout.strip()

    def job(self, verb: Verb, name: str, *, wait: bool = True) -> str:
        """`systemctl start`, …: it waits for the job by itself."""
        options = [] if wait else ["--no-block"]
        done = process.run(self._ctx, [self._command, *options, verb, "--", name], accept=None)
        return "done" if done.status == 0 else "failed"

    def reset_failed(self, name: str) -> None:
        """`systemctl reset-failed`."""
        process.run(self._ctx, [self._command, "reset-failed", "--", name])

    def reload_daemon(self) -> None:
        """`systemctl daemon-reload`."""
        process.run(self._ctx, [self._command, "daemon-reload"])


def parse_show(name: str, text: str) -> Unit:
    """The unit that `systemctl show` printed."""
    given = dict(line.split("=", 1) for line in text.splitlines() if "=" in line)
    status = given.get("ExecMainStatus", "0")
    return Unit(
        name,
        load=given.get("LoadState", "not-found"),
        active=given.get("ActiveState", "inactive"),
        sub=given.get("SubState", "dead"),
        need_reload=given.get("NeedDaemonReload") == "yes",
        can_reload=given.get("CanReload") == "yes",
        conditions_met=given.get("ConditionResult") != "no",
        type=given.get("Type", ""),
        remains=given.get("RemainAfterExit") == "yes",
        result=given.get("Result", ""),
        killed=given.get("ExecMainCode") in _SIGNALLED,
        exit_status=int(status) if status.isdigit() else 0,
        fragment=given.get("FragmentPath", ""),
        load_error=given.get("LoadError", "").strip(),
        invocation=given.get("InvocationID", ""),
    )
