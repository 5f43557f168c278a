"""`stackmaster run` and `runs`: start an orchestration, follow it, look back at it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import click

from master.cli import arguments, exits, steering, summary
from master.cli.app import Verbs
from master.cli.client import Event
from master.cli.follow import Followed, follow
from master.cli.options import RUNS, SPAN, Invocation, common, current, pillar_option
from master.cli.progress import Progress, Run
from master.cli.rollback import roll_back
from master.cli.verbs_exec import announce, left, show_lines
from master.cli.verbs_jobs import ago, job_view

RUN_HELP = """Start the orchestration SLS on the master and follow it.

\b
  stackmaster run ceph.upgrade
  stackmaster run ceph.upgrade --dry-run
  stackmaster run ceph.osd_replace --pillar osd=12 --pillar '{"host": "osd3"}'
  stackmaster run nova.restart --pillar @restart.yaml --detach
"""

RUNS_HELP = """Orchestrations: look at them, steer them. A run may be named by the end or the beginning of its id.

\b
  stackmaster runs ls
  stackmaster runs show 3fa2bc
  stackmaster runs watch 3fa2bc
  stackmaster runs pause 3fa2bc
  stackmaster runs approve 3fa2bc
  stackmaster runs cancel 3fa2bc
  stackmaster runs retry 3fa2bc --failed
"""


@click.command("run", help=RUN_HELP)
@click.argument("sls", nargs=-1, required=True, metavar="SLS...")
@click.option("--dry-run", "--test", "test", is_flag=True, help="Say what would be done and touch nothing.")
@pillar_option
@click.option("--env", "environment", default="base", show_default=True, help="The environment of the SLS.")
@click.option("--timeout", type=SPAN, default=None, help="How long to wait; then exit code 124, and it goes on.")
@click.option("--detach", is_flag=True, help="Print the run's id and do not wait.")
@common
def run(
    sls: tuple[str, ...], test: bool, pillar_words: tuple[str, ...], environment: str, timeout: float | None,
    detach: bool,
) -> int:  # fmt: skip
    """Start a run; the exit code is exits.of_run's."""
    invocation = current()
    names = [name for word in sls for name in word.split(",") if name]
    request = {"sls": names, "pillar": arguments.pillar(pillar_words), "test": test, "environment": environment}
    with invocation.client() as client:
        id = str(client.call("runs.start", request)["run"])
        if detach:
            return announce(invocation, "run", id)
        try:
            followed = follow(invocation, client.stream("runs.watch", {"run": id}), timeout=timeout)
        except KeyboardInterrupt:
            return left(invocation, "run", id)
    return finish(invocation, followed, id)


def finish(invocation: Invocation, followed: Followed, id: str) -> int:
    """Print how a run that was followed stands; gives the exit code."""
    if followed.ending == "left":
        return left(invocation, "run", id)
    progress = followed.progress
    seen = progress.run or Run(id)
    code = exits.TIMEOUT if followed.ending == "timeout" else code_of(seen)
    if followed.ending == "timeout":
        invocation.screen.talk(f"the time is over; run {id} goes on: stackmaster runs watch {id[-6:]}", "warn")
    return _print(invocation, progress, seen, code)


def _print(invocation: Invocation, progress: Progress, seen: Run, code: int) -> int:
    if invocation.screen.machine:
        invocation.screen.document("stackmaster.run/1", summary.run_document(progress, seen, code))
    else:
        show_lines(invocation.screen, summary.of_run(progress, seen))
    return code


def code_of(seen: Run) -> int:
    """The exit code of a run."""
    failed = [step for step in seen.steps.values() if step.state == "failed"]
    states = [str(told.get("state")) for step in failed for told in step.minions.values()]
    return exits.of_run(seen.state, states)


@click.group("runs", cls=Verbs, help=RUNS_HELP)
@common
def runs() -> None:
    """The group `runs`."""


@runs.command("ls", help="The latest runs, newest first.\n\n\b\n  stackmaster runs ls --output json")
@click.option("--limit", type=int, default=20, show_default=True, help="How many.")
@common
def list_(limit: int) -> int:
    """Print the latest runs."""
    screen = current().screen
    with current().client() as client:
        found = client.call("runs.list", {"limit": limit}).get("runs", [])
    if screen.machine:
        screen.records("stackmaster.runs/1", "runs", found)
        return exits.DONE
    rows = [
        (str(one.get("run", "")), _sls(one), str(one.get("state", "")), ago(one, "began", "created", "started"),
         str(one.get("user", "")))
        for one in found
    ]  # fmt: skip
    screen.table(("RUN", "SLS", "STATE", "SINCE", "BY"), rows)
    return exits.DONE


def _sls(found: Mapping[str, Any]) -> str:
    names = found.get("sls") or ""
    text = names if isinstance(names, str) else ",".join(map(str, names))
    return text + (" (dry run)" if found.get("test") else "")


@runs.command("show", help="One run: each step and how it ended.\n\n\b\n  stackmaster runs show 3fa2bc")
@click.argument("run", shell_complete=RUNS)
@common
def show(run: str) -> int:
    """Print one run."""
    invocation = current()
    with invocation.client() as client:
        found = client.call("runs.show", {"run": run})
        progress = run_view(found)
        assert progress.run is not None
        for step in progress.run.steps.values():
            for job in step.jobs if step.state == "failed" else ():
                progress.jobs[job] = job_view(client.call("jobs.show", {"job": job}))
    _print(invocation, progress, progress.run, code_of(progress.run))
    return exits.DONE


def run_view(found: Mapping[str, Any]) -> Progress:
    """The answer of `runs.show` as the model that summaries are made of."""
    id = str(found.get("run", ""))
    progress = Progress()
    declared = [{**step, "id": step.get("id")} for step in found.get("steps") or ()]
    begun = float(found.get("began") or 0.0)
    progress.feed(Event(f"run/{id}/new", {**found, "steps": declared}, begun))
    for step in declared:
        if step.get("state") in ("ended", "succeeded", "failed", "skipped", "would"):
            progress.feed(Event(f"run/{id}/step/{step['id']}/ended", step, begun))
        elif step.get("state") == "running":
            progress.feed(Event(f"run/{id}/step/{step['id']}/started", step, begun))
    if found.get("state") == "paused":
        progress.feed(Event(f"run/{id}/paused", found, begun))
    elif found.get("state") != "running":
        progress.feed(Event(f"run/{id}/ended", found, float(found.get("ended") or 0.0)))
    return progress


@runs.command("watch", help="Follow a run to its end.\n\n\b\n  stackmaster runs watch 3fa2bc")
@click.argument("run", shell_complete=RUNS)
@click.option("--timeout", type=SPAN, default=None, help="How long to watch; then exit code 124.")
@common
def watch(run: str, timeout: float | None) -> int:
    """Follow one run; the exit code is the run's."""
    invocation = current()
    with invocation.client() as client:
        id = str(client.call("runs.show", {"run": run}).get("run", run))
        followed = follow(invocation, client.stream("runs.watch", {"run": id}), timeout=timeout)
    return finish(invocation, followed, id)


ROLLBACK_HELP = """Put back the files, units and package versions that a run changed.

\b
  stackmaster runs rollback 3fa2bc           what that would change; touches nothing
  stackmaster runs rollback 3fa2bc --yes     do it, once that dry run succeeded

What cannot be put back is named: what a command did, and what something else changed since.
"""


@runs.command("rollback", help=ROLLBACK_HELP)
@click.argument("run", shell_complete=RUNS)
@click.option("--yes", is_flag=True, help="Do it.")
@common
def rollback(run: str, yes: bool) -> int:
    """Show the rollback of one run, and with --yes do it."""
    return roll_back(current(), "runs.rollback", {"run": run}, yes=yes)


steering.add_to(runs)
