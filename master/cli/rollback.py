"""`jobs rollback` and `runs rollback`: first what it would change, then, with --yes, the doing of it."""

from __future__ import annotations

from typing import Any

from master.cli import exits
from master.cli.follow import ANSWER_WITHIN, GRACE, JOB_LIMIT, follow
from master.cli.options import Invocation
from master.cli.verbs_exec import finish, left


def roll_back(invocation: Invocation, call: str, args: dict[str, Any], *, yes: bool) -> int:
    """Show the plan of a rollback and, with `yes`, carry it out if the dry run succeeded; gives the exit code."""
    code = _begin(invocation, call, {**args, "test": True}, shown=not (yes and invocation.screen.machine))
    if code != exits.DONE:
        return code
    if not yes:
        invocation.screen.talk("nothing was put back; to do it, add --yes")
        return code
    return _begin(invocation, call, {**args, "test": False}, shown=True)


def _begin(invocation: Invocation, call: str, args: dict[str, Any], *, shown: bool) -> int:
    with invocation.client() as client:
        job = str(client.call(call, args, deadline=60.0)["job"])
        stream = client.stream("jobs.watch", {"job": job})
        try:
            followed = follow(invocation, stream, timeout=JOB_LIMIT + GRACE, patience=ANSWER_WITHIN)
        except KeyboardInterrupt:
            return left(invocation, "job", job)
    if not shown and followed.ending == "ended":
        states = [minion.state for minion in followed.progress.jobs[job].minions.values()]
        if exits.of_job(states) == exits.DONE:
            return exits.DONE
    if not invocation.screen.machine:
        for minion in followed.progress.jobs[job].minions.values():
            for warning in (each for step in minion.steps for each in step.result.get("warnings") or ()):
                invocation.screen.talk(f"{minion.id}: {warning}", "warn")
    return finish(invocation, followed, job)
