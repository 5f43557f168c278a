"""`stackmaster exec`: call a function on minions and show what they answer."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import click

from master.cli import arguments, exits, summary
from master.cli.follow import ANSWER_WITHIN, GRACE, JOB_LIMIT, Followed, follow
from master.cli.options import MINIONS, SPAN, Invocation, common, current, target_kinds
from master.cli.progress import Job
from master.cli.screen import Screen
from protocol.errors import InputError

HELP = """Call FUNCTION with ARGS on the minions that TARGET means.

\b
  stackmaster exec '*' test.ping
  stackmaster exec osd1 cmd.run 'systemctl --failed'
  stackmaster exec -G os:Debian pkg.version ceph-osd
  stackmaster exec 'osd* and not osd3' file.stats path=/etc/ceph/ceph.conf
  stackmaster exec '*' test.ping --output json

Values are read as YAML: 5 is a number, true a truth value, [a, b] a list; k=v names an argument. Words behind
`--` are never options. `stackmaster doc FUNCTION` tells the arguments.
"""


@click.command("exec", help=HELP, context_settings={"ignore_unknown_options": True})
@click.argument("target", shell_complete=MINIONS)
@click.argument("function")
@click.argument("words", nargs=-1, type=click.UNPROCESSED, metavar="[ARGS|K=V]...")
@target_kinds
@click.option("--timeout", type=SPAN, default=None, help="How long it may take (an hour); then exit code 124.")
@click.option("--answer-within", type=SPAN, default=ANSWER_WITHIN, show_default="30s",
              help="How long a minion may take to begin; then it is told not to.")  # fmt: skip
@click.option("--detach", is_flag=True, help="Print the job's id and do not wait.")
@common
def execute(
    target: str, function: str, words: tuple[str, ...], kind: str | None, timeout: float | None,
    answer_within: float, detach: bool,
) -> int:  # fmt: skip
    """Start the call, follow it, print the answers; the exit code is exits.of_job's."""
    if "." not in function:
        raise InputError(
            f"{function!r} is not a function", help=f"write family.name, for example test.{function}, after the target"
        )
    args, kwargs = arguments.split(words)
    request = {
        "target": target, "target_kind": kind or "compound", "kind": "call", "function": function,
        "args": list(args), "kwargs": kwargs, **({"timeout": timeout} if timeout else {}),
    }  # fmt: skip
    return start(current(), request, timeout=timeout, patience=answer_within, detach=detach)


def start(
    invocation: Invocation, request: dict[str, Any], *, timeout: float | None, patience: float | None, detach: bool,
    exit_code: bool = False,
) -> int:  # fmt: skip
    """Start a job and follow it to its end; gives the exit code. Raises MasterError, UnreachableError."""
    with invocation.client() as client:
        started = client.call("jobs.start", request)
        job = str(started["job"])
        if detach:
            return announce(invocation, "job", job)
        limit = (JOB_LIMIT if timeout is None else timeout) + GRACE
        try:
            followed = follow(invocation, client.stream("jobs.watch", {"job": job}), timeout=limit, patience=patience)
        except KeyboardInterrupt:
            return left(invocation, "job", job)
    return finish(invocation, followed, job, timeout=timeout, exit_code=exit_code)


def announce(invocation: Invocation, what: str, id: str) -> int:
    """Print the id of what was started and is not waited for."""
    if invocation.screen.machine:
        invocation.screen.document(f"stackmaster.{what}-started/1", {what: id})
    else:
        invocation.screen.data(id)
        invocation.screen.talk(f"watch it: stackmaster {what}s watch {id[-6:]}")
    return exits.DONE


def left(invocation: Invocation, what: str, id: str) -> int:
    """Say how to come back to what goes on, and how to stop it."""
    invocation.screen.talk(
        f"\n{what} {id} goes on.\n  watch it:  stackmaster {what}s watch {id[-6:]}\n"
        f"  cancel it: stackmaster {what}s cancel {id[-6:]}"
    )
    return exits.LEFT


def finish(
    invocation: Invocation, followed: Followed, id: str, *, timeout: float | None = None, exit_code: bool = False
) -> int:  # fmt: skip
    """Print what became of a job and give the exit code."""
    screen = invocation.screen
    if followed.ending == "left":
        return left(invocation, "job", id)
    job = followed.progress.jobs.get(id) or Job(id)
    for name in followed.withdrawn:
        minion = job.minion(name)
        if minion.state in ("cancelled", "pending"):
            minion.state, minion.reason = "lost", "it did not begin in time and was told not to"
    states = [minion.state for minion in job.minions.values()]
    code = exits.of_job(states, timed=timeout is not None)
    if followed.ending == "timeout":
        code = exits.TIMEOUT
    if exit_code and code == exits.DONE and any(minion.changed for minion in job.minions.values()):
        code = exits.PENDING
    if screen.machine:
        screen.document("stackmaster.job/1", summary.job_document(job, code))
        return code
    show_lines(screen, summary.of_job(job, verbose=screen.verbose > 0 or screen.format == "wide"))
    return code


def show_lines(screen: Screen, lines: Iterable[summary.Line]) -> None:
    """Print lines in their colours."""
    for text, tone in lines:
        screen.data(screen.style(text, tone) if tone else text)
