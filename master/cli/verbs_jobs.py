"""`stackmaster jobs`: what was done, by whom, and what came of it."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

import click

from master.cli import exits, summary
from master.cli.app import Verbs
from master.cli.client import Event
from master.cli.follow import follow
from master.cli.live import span
from master.cli.options import JOBS, SPAN, common, current
from master.cli.progress import Job, Minion, Step
from master.cli.rollback import roll_back
from master.cli.verbs_exec import finish, show_lines
from protocol.errors import InputError

HELP = """Jobs: list, look at, follow, cancel. A job may be named by the end or the beginning of its id.

\b
  stackmaster jobs ls
  stackmaster jobs show 3fa2bc
  stackmaster jobs show 3fa2bc --minion osd1
  stackmaster jobs cancel 3fa2bc
"""


@click.group(cls=Verbs, help=HELP)
@common
def jobs() -> None:
    """The group `jobs`."""


@jobs.command("ls", help="The latest jobs, newest first.\n\n\b\n  stackmaster jobs ls --limit 100 --output json")
@click.option("--limit", type=click.IntRange(1, 1000), default=20, show_default=True, help="How many.")
@click.option("--all", "everything", is_flag=True, help="Also those that orchestrations started.")
@common
def list_(limit: int, everything: bool) -> int:
    """Print the latest jobs."""
    screen = current().screen
    with current().client() as client:
        asked = limit if everything else min(limit * 20, 1000)
        jobs = client.call("jobs.list", {"limit": asked}).get("jobs", [])
    found = [job for job in jobs if everything or not job.get("cause")][:limit]
    if screen.machine:
        screen.records("stackmaster.jobs/1", "jobs", found)
        return exits.DONE
    rows = [(str(j.get("job", "")), _what(j), str(j.get("target", "")), state_of(j), ago(j), _user(j)) for j in found]
    screen.table(("JOB", "WHAT", "TARGET", "STATE", "SINCE", "BY"), rows)
    return exits.DONE


@jobs.command("show", help="One job.\n\n\b\n  stackmaster jobs show 3fa2bc --minion osd1")
@click.argument("job", shell_complete=JOBS)
@click.option("--minion", default=None, help="Only this minion, with every step.")
@common
def show(job: str, minion: str | None) -> int:
    """Print one job."""
    screen = current().screen
    with current().client() as client:
        found = client.call("jobs.show", {"job": job})
    view = job_view(found)
    if minion is not None and minion not in view.minions:
        raise InputError(f"{minion!r} is not among the minions of job {view.id}", help=", ".join(sorted(view.minions)))
    chosen = view.minions if minion is None else {minion: view.minions[minion]}
    view.minions = dict(chosen)
    if screen.machine:
        code = exits.of_job(one.state for one in view.minions.values())
        screen.document("stackmaster.job/1", summary.job_document(view, code))
        return exits.DONE
    screen.data(
        f"job {view.id}  {_what(found)} on {found.get('target', '')}  {state_of(found)}  {_user(found)}".rstrip()
    )
    if minion is not None:
        show_lines(screen, _steps(view.minions[minion]))
    show_lines(screen, summary.of_job(view, verbose=True))
    return exits.DONE


@jobs.command("watch", help="Follow a job to its end.\n\n\b\n  stackmaster jobs watch 3fa2bc")
@click.argument("job", shell_complete=JOBS)
@click.option("--timeout", type=SPAN, default=None, help="How long to watch; then exit code 124.")
@common
def watch(job: str, timeout: float | None) -> int:
    """Follow one job; the exit code is the job's."""
    invocation = current()
    with invocation.client() as client:
        id = str(client.call("jobs.show", {"job": job}).get("job", job))
        followed = follow(invocation, client.stream("jobs.watch", {"job": id}), timeout=timeout)
    return finish(invocation, followed, id, timeout=timeout)


@jobs.command("cancel", help="Stop a job.\n\n\b\n  stackmaster jobs cancel 3fa2bc --minion osd3")
@click.argument("job", shell_complete=JOBS)
@click.option("--minion", "minions", multiple=True, help="Only on this minion; may be repeated.")
@common
def cancel(job: str, minions: tuple[str, ...]) -> int:
    """Cancel one job."""
    invocation = current()
    with invocation.client() as client:
        id = str(client.call("jobs.show", {"job": job}).get("job", job))
        client.call("jobs.cancel", {"job": id, **({"minions": list(minions)} if minions else {})})
    if invocation.screen.machine:
        invocation.screen.document("stackmaster.cancelled/1", {"job": id})
    else:
        invocation.screen.talk(f"job {id} is being cancelled; `stackmaster jobs show {id[-6:]}` tells how it ended")
    return exits.DONE


ROLLBACK_HELP = """Put back the files, units and package versions that a job changed.

\b
  stackmaster jobs rollback 3fa2bc           what that would change; touches nothing
  stackmaster jobs rollback 3fa2bc --yes     do it, once that dry run succeeded

What cannot be put back is named: what a command did, and what something else changed since.
"""


@jobs.command("rollback", help=ROLLBACK_HELP)
@click.argument("job", shell_complete=JOBS)
@click.option("--yes", is_flag=True, help="Do it.")
@common
def rollback(job: str, yes: bool) -> int:
    """Show the rollback of one job, and with --yes do it."""
    return roll_back(current(), "jobs.rollback", {"job": job}, yes=yes)


def job_view(found: Mapping[str, Any]) -> Job:
    """The answer of `jobs.show` as the model that summaries are made of."""
    request: Mapping[str, Any] = {**found, **(found.get("request") or {})}
    view = Job(
        str(found.get("job", "")), str(request.get("kind") or "call"), str(request.get("function") or ""),
        tuple(request.get("sls") or ()), str(request.get("target") or ""), bool(request.get("test")),
        _time(found, "began", "at", "created"), _time(found, "ended"),
    )  # fmt: skip
    for id, told in (found.get("minions") or {}).items():
        minion = view.minion(str(id))
        minion.state = str(told.get("state") or "pending")
        minion.reason = str(told.get("reason") or "")
        minion.value = told.get("value")
        for at, result in enumerate(told.get("steps") or ()):
            minion.add(Step(at, result))
    return view


def _time(found: Mapping[str, Any], *keys: str) -> float:
    return next((float(found[key]) for key in keys if found.get(key)), 0.0)


def _steps(minion: Minion) -> list[summary.Line]:
    marks = {True: "✓", False: "✗", None: "~"}
    lines: list[summary.Line] = []
    for step in minion.steps:
        comment = str(step.result.get("comment") or "").strip().split("\n")[0]
        mark = "~" if step.outcome and step.changes else marks[step.outcome]
        tone = "bad" if step.outcome is False else "changed" if mark == "~" else None
        lines.append((f"{mark} {step.title}  {span(step.duration)}  {comment}  ({step.place})", tone))  # type: ignore[arg-type]
    return lines


def _what(job: Mapping[str, Any]) -> str:
    request: Mapping[str, Any] = {**job, **(job.get("request") or {})}
    if request.get("kind") == "apply":
        dry = "plan" if request.get("test") else "apply"
        return f"{dry} {','.join(request.get('sls') or ['(highstate)'])}"
    return str(request.get("function") or "")


def _user(job: Mapping[str, Any]) -> str:
    return str(job.get("user") or (job.get("request") or {}).get("user") or "")


def state_of(job: Mapping[str, Any]) -> str:
    """`running 2/5`, or how many minions ended how."""
    states = job.get("states")
    if not isinstance(states, Mapping):
        minions = job.get("minions")
        states = {}
        if isinstance(minions, Mapping):
            for told in minions.values():
                name = str(told.get("state") if isinstance(told, Mapping) else told)
                states[name] = states.get(name, 0) + 1
    return ", ".join(f"{number} {name}" for name, number in states.items()) or str(job.get("state") or "")


def ago(thing: Mapping[str, Any], *keys: str) -> str:
    """How long ago something began, for the eye."""
    at = _time(thing, *(keys or ("began", "at", "created", "since", "started")))
    return f"{span(max(time.time() - at, 0.0))} ago" if at else ""


def event_line(event: Event) -> str:
    """One event on one line."""
    from master.cli.screen import as_json

    clock = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(event.at))
    return f"{clock}  {event.tag}  {as_json(dict(event.data))}"
