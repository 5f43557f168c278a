"""What is said when a job or run has ended: failures first with what to type next, then changes, then counts."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Final

from master.cli import changes, exits
from master.cli.live import span
from master.cli.nodeset import fold, short
from master.cli.progress import BAD, TERMINAL, Job, Minion, Progress, Run, RunStep, Step, Tone

Line = tuple[str, Tone | None]

LOCAL: Final = "local"
"""The id of a job that no master knows (apply --local)."""


def of_job(job: Job, *, verbose: bool = False) -> list[Line]:
    """The summary that fits the job: answers of a call, a plan for a dry run, or what an apply did."""
    if job.kind == "call":
        return of_call(job)
    return of_plan(job) if job.test else of_apply(job, verbose=verbose)


def of_apply(job: Job, *, verbose: bool = False) -> list[Line]:
    """The summary of an apply."""
    minions = list(job.minions.values())
    lines = [*failures(job)]
    blocks = changes.gather(minions)
    if blocks:
        lines.append(("Would change:" if job.test else "Changed:", None))
        lines += [("  " + text, tone) for text, tone in changes.show(blocks, diffs=verbose)]
    lines += _slowest(minions)
    lines.append(_last(job))
    return lines


def of_plan(job: Job) -> list[Line]:
    """What a dry run foretells, as a list of differences and a footer."""
    minions = list(job.minions.values())
    lines = changes.show(changes.gather(minions))
    lines += [*failures(job)]
    answered = [minion for minion in minions if minion.state in ("succeeded", "failed")]
    return [*lines, (changes.footer(answered), None)]


def of_call(job: Job) -> list[Line]:
    """The answers of a function call, identical ones folded, then who failed or did not answer."""
    answers: dict[str, list[str]] = {}
    for minion in job.minions.values():
        if minion.state == "succeeded" or (minion.state == "failed" and minion.value is not None):
            answers.setdefault(text_of(minion.value), []).append(minion.id)
    lines: list[Line] = []
    for text, ids in sorted(answers.items(), key=lambda item: sorted(item[1])):
        lines.append((f"{fold(ids)}:", "changed"))
        lines += [(f"    {line}", None) for line in text.split("\n")]
    return [*lines, *failures(job)]


def of_run(progress: Progress, run: Run) -> list[Line]:
    """The summary of an orchestration: what failed and why, each step with its end, and how it went."""
    lines: list[Line] = []
    for step in run.steps.values():
        if step.state == "failed":
            lines += _failed_step(progress, step)
    if lines:
        lines.append(("", None))
    lines += [_run_step(step) for step in run.steps.values()]
    if run.test:
        lines += _foretold(progress, run)
    spent = f" in {span(run.ended - run.begun)}" if run.ended and run.begun else ""
    counted = _counted(step.state for step in run.steps.values())
    lines.append((f"run {run.id} {run.state}{spent}: {counted}", "good" if run.state == "succeeded" else "bad"))
    if run.state == "failed":
        lines.append((f"next: stackmaster runs show {run.id[-6:]}", "warn"))
    return lines


def failures(job: Job) -> Iterator[Line]:
    """Who failed or did not answer, with the reason, the place and the next command; identical ones folded."""
    groups: dict[tuple[str, ...], list[str]] = {}
    for minion in job.minions.values():
        for text in _reasons(minion):
            groups.setdefault(text, []).append(minion.id)
    for (head, *rest), ids in groups.items():
        yield f"{head.partition(' ')[0].upper()} {short(ids)}  {head.partition(' ')[2]}".rstrip(), "bad"
        yield from ((f"    {line}", None) for line in rest)
        if job.id != LOCAL:
            yield f"    next: stackmaster jobs show {job.id[-6:]} --minion {sorted(ids)[0]}", "warn"


def _reasons(minion: Minion) -> Iterator[tuple[str, ...]]:
    if minion.state not in BAD and minion.state in TERMINAL and not minion.failed:
        if minion.state == "cancelled":
            yield f"cancelled {minion.reason}".strip(), *()
        return
    for step in minion.failed:
        if step.result.get("ran") is False and len(minion.failed) > 1:
            continue  # it failed only because of another one, which is told
        yield _failed_step_text(step)
    if minion.state not in TERMINAL:
        yield ("silent no answer yet" if minion.state != "running" else "running still at work",)
    elif minion.state in BAD and (not minion.failed or minion.state != "failed"):
        head = minion.state.replace(" ", "-")
        first, *rest = (minion.reason or "no reason given").strip().split("\n")
        yield (f"{head} {first}", *rest)


def _failed_step_text(step: Step) -> tuple[str, ...]:
    place = f"  ({step.place})" if step.place else ""
    comment = str(step.result.get("comment") or "no reason given").strip().split("\n")
    return f"failed {step.title}{place}", *comment


def _slowest(minions: Iterable[Minion]) -> list[Line]:
    timed = [(step.duration, step.title, minion.id) for minion in minions for step in minion.steps]
    slow = [entry for entry in sorted(timed, reverse=True) if entry[0] >= 1.0][:3]
    if not slow:
        return []
    return [("Slowest: " + "; ".join(f"{title} {span(spent)} on {id}" for spent, title, id in slow), "dim")]


def _last(job: Job) -> Line:
    """`3 minions: 1 failed, 1 changed, 1 unchanged; 24 states in 12 s`."""
    minions = list(job.minions.values())
    changed = [minion for minion in minions if minion.state == "succeeded" and minion.changed]
    unchanged = [minion for minion in minions if minion.state == "succeeded" and not minion.changed]
    parts = [f"{number} {state}" for state, number in sorted(job.counts().items()) if state != "succeeded"]
    parts += [f"{len(changed)} {'would change' if job.test else 'changed'}"] if changed else []
    parts += [f"{len(unchanged)} unchanged"] if unchanged else []
    states = sum(len(minion.steps) for minion in minions)
    spent = f" in {span(job.ended - job.begun)}" if job.ended and job.begun else ""
    good = all(minion.state == "succeeded" for minion in minions)
    text = f"{len(minions)} {'minion' if len(minions) == 1 else 'minions'}: {', '.join(parts)}; {states} states{spent}"
    return f"{text}  [job {job.id[-6:]}]", "good" if good else "bad"


def _counted(states: Iterable[str]) -> str:
    counted: dict[str, int] = {}
    for state in states:
        counted[state] = counted.get(state, 0) + 1
    words = {"would": "would act", "waiting": "not reached"}
    return ", ".join(f"{number} {words.get(state, state)}" for state, number in counted.items()) or "no steps"


def _run_step(step: RunStep) -> Line:
    marks: dict[str, tuple[str, Tone | None]] = {
        "succeeded": ("✓", "good"), "failed": ("✗", "bad"), "would": ("~", "changed"), "skipped": ("-", "dim"),
        "blocked": ("·", "warn"),
    }  # fmt: skip
    mark, tone = marks.get(step.state, ("·", "dim"))
    changed = sum(1 for minion in step.minions.values() if minion.get("changed"))
    detail = f" on {short(step.minions)}" if step.minions else ""
    detail += f", {changed} changed" if changed else ""
    spent = f"  {span(step.duration)}" if step.duration else ""
    comment = f"  {' '.join(step.comment.split())}" if step.comment and step.state != "failed" else ""
    return f"{mark} {step.id}  {step.function}{detail}{spent}{comment}", tone


def _failed_step(progress: Progress, step: RunStep) -> Iterator[Line]:
    yield f"FAILED step {step.id}  {step.function}", "bad"
    jobs = [progress.jobs[id] for id in step.jobs if id in progress.jobs]
    told = tuple(f"{minion}: " for job in jobs for minion in job.minions)
    for line in step.comment.strip().split("\n"):
        if line and not (told and line.startswith(told)):
            yield f"    {line}", None
    for job in jobs:
        yield from ((f"    {text}", tone) for text, tone in failures(job))


def _foretold(progress: Progress, run: Run) -> list[Line]:
    minions = [minion for job in progress.jobs.values() for minion in job.minions.values()]
    blocks = changes.gather(minions)
    would_run: list[Line] = [
        (f"  > {step.function} ({step.id}): {step.comment}", "warn")
        for step in run.steps.values()
        if step.state == "would" and not step.minions
    ]
    if not blocks and not would_run:
        return []
    shown: list[Line] = [("", None), *changes.show(blocks)]
    if would_run:
        shown += [("On the way:", None), *would_run]
    return [*shown, (changes.footer(minions), None)]


def text_of(value: Any) -> str:
    """A value for the eye: text as it is, the rest as YAML."""
    if isinstance(value, str):
        return value.rstrip("\n")
    if value is None or isinstance(value, bool | int | float):
        return str(value)
    import yaml

    return yaml.safe_dump(value, sort_keys=False, allow_unicode=True, default_flow_style=False).rstrip("\n")


def job_document(job: Job, code: int) -> dict[str, Any]:
    """A job for a program; the schema is `stackmaster.job/1`."""
    return {
        "job": job.id,
        "kind": job.kind,
        "function": job.function,
        "sls": list(job.sls),
        "target": job.target,
        "test": job.test,
        "began": job.begun,
        "ended": job.ended,
        "exit_code": code,
        "counts": job.counts(),
        "minions": {minion.id: minion_document(minion) for minion in job.minions.values()},
    }


def minion_document(minion: Minion) -> dict[str, Any]:
    """One minion of a job for a program."""
    return {
        "state": minion.state,
        "reason": minion.reason,
        "value": minion.value,
        "steps": [dict(step.result) for step in minion.steps],
    }


def run_document(progress: Progress, run: Run, code: int) -> dict[str, Any]:
    """A run for a program; the schema is `stackmaster.run/1`."""
    return {
        "run": run.id,
        "sls": list(run.sls),
        "test": run.test,
        "state": run.state,
        "began": run.begun,
        "ended": run.ended,
        "exit_code": code,
        "steps": [_step_document(step) for step in run.steps.values()],
        "jobs": {job.id: job_document(job, exits.of_job(job.counts())) for job in progress.jobs.values()},
    }


def _step_document(step: RunStep) -> dict[str, Any]:
    return {
        "id": step.id,
        "function": step.function,
        "state": step.state,
        "comment": step.comment,
        "job": step.job,
        "jobs": list(step.jobs),
        "minions": dict(step.minions),
        "duration": step.duration,
        "require": list(step.require),
        "changes": [dict(change) for change in step.changes],
    }
