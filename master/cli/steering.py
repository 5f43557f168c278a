"""The verbs of `stackmaster runs` that change a run: cancel, pause, resume, skip, approve, deny, retry."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import click

from master.cli import exits
from master.cli.options import RUNS, Invocation, common, current

_RUN = click.argument("run", shell_complete=RUNS)
_COMMENT = click.option("--comment", default="", help="Why; it is kept with the run.")


def add_to(group: click.Group) -> None:
    """Make the verbs part of `group`."""
    for verb in (cancel, pause, resume, skip, approve, deny, retry):
        group.add_command(verb)


def _change(invocation: Invocation, run: str, call: str, more: Mapping[str, Any]) -> dict[str, Any]:
    """Make a call about the run that `run` names; gives the answer, with the whole id."""
    with invocation.client() as client:
        id = str(client.call("runs.show", {"run": run}).get("run", run))
        return {**client.call(call, {"run": id, **more}), "run": id}


def _told(invocation: Invocation, schema: str, document: dict[str, Any], text: str) -> int:
    if invocation.screen.machine:
        invocation.screen.document(schema, document)
    else:
        invocation.screen.talk(text)
    return exits.DONE


@click.command(
    "cancel", help="Stop a run and its jobs; its cleanup still runs.\n\n\b\n  stackmaster runs cancel 3fa2bc"
)
@_RUN
@click.option("--force", is_flag=True, help="The cleanup too: what it would put right stays as it is.")
@common
def cancel(run: str, force: bool) -> int:
    """Cancel one run."""
    invocation = current()
    done = _change(invocation, run, "runs.cancel", {"force": force})
    id = str(done["run"])
    told = f"run {id} is being cancelled; `stackmaster runs show {id[-6:]}` tells how it ended"
    return _told(invocation, "stackmaster.cancelled/1", {"run": id}, told)


@click.command("pause", help="Begin nothing more of a run; what goes on ends.\n\n\b\n  stackmaster runs pause 3fa2bc")
@_RUN
@common
def pause(run: str) -> int:
    """Pause one run."""
    invocation = current()
    id = str(_change(invocation, run, "runs.pause", {})["run"])
    told = f"run {id} begins nothing more; `stackmaster runs resume {id[-6:]}` lets it go on"
    return _told(invocation, "stackmaster.run-changed/1", {"run": id, "what": "paused"}, told)


@click.command("resume", help="Let a paused run go on.\n\n\b\n  stackmaster runs resume 3fa2bc")
@_RUN
@common
def resume(run: str) -> int:
    """Resume one run."""
    invocation = current()
    id = str(_change(invocation, run, "runs.resume", {})["run"])
    return _told(invocation, "stackmaster.run-changed/1", {"run": id, "what": "resumed"}, f"run {id} goes on")


@click.command(
    "skip",
    help="Count a step as done that has not ended; its jobs are cancelled.\n\n\b\n"
    "  stackmaster runs skip 3fa2bc healthy",
)
@_RUN
@click.argument("step")
@common
def skip(run: str, step: str) -> int:
    """Skip a step of one run."""
    invocation = current()
    id = str(_change(invocation, run, "runs.skip", {"step": step})["run"])
    document = {"run": id, "what": "skipped", "step": step}
    return _told(invocation, "stackmaster.run-changed/1", document, f"step {step} of run {id} counts as done")


@click.command(
    "approve",
    help="Let a run go on that waits for approval; STEP when several do.\n\n\b\n"
    "  stackmaster runs approve 3fa2bc\n  stackmaster runs approve 3fa2bc rack2 --comment 'graphs are fine'",
)
@_RUN
@click.argument("step", required=False, default="")
@_COMMENT
@common
def approve(run: str, step: str, comment: str) -> int:
    """Approve."""
    return _decide(run, step, comment, granted=True)


@click.command(
    "deny",
    help="Fail the step of a run that waits for approval.\n\n\b\n  stackmaster runs deny 3fa2bc --comment 'not today'",
)
@_RUN
@click.argument("step", required=False, default="")
@_COMMENT
@common
def deny(run: str, step: str, comment: str) -> int:
    """Deny."""
    return _decide(run, step, comment, granted=False)


def _decide(run: str, step: str, comment: str, *, granted: bool) -> int:
    invocation = current()
    done = _change(invocation, run, "runs.decide", {"step": step, "granted": granted, "comment": comment})
    what = "approved" if granted else "denied"
    document = {"run": done["run"], "what": what, "step": done["step"]}
    return _told(invocation, "stackmaster.run-changed/1", document, f"step {done['step']} of run {done['run']} {what}")


@click.command(
    "retry",
    help="Do again what failed of an ended run, what was not reached, and what needs that.\n\n\b\n"
    "  stackmaster runs retry 3fa2bc\n  stackmaster runs retry 3fa2bc --failed",
)
@_RUN
@click.option("--failed", is_flag=True, help="A step that failed is done again only on the minions that failed.")
@common
def retry(run: str, failed: bool) -> int:
    """Retry one run."""
    invocation = current()
    id = str(_change(invocation, run, "runs.retry", {"failed": failed})["run"])
    told = f"run {id} goes on; `stackmaster runs watch {id[-6:]}` follows it"
    return _told(invocation, "stackmaster.run-changed/1", {"run": id, "what": "retried"}, told)
