"""The lines of live progress that fit a terminal: a header, failures pinned, one line for each active minion."""

from __future__ import annotations

from master.cli.nodeset import short
from master.cli.progress import BAD, Job, Minion, Progress, Run, RunStep, Tone

Line = tuple[str, Tone | None]


def lines(progress: Progress, now: float, height: int) -> list[Line]:
    """At most `height` lines for `progress` at the time `now` (seconds since the epoch)."""
    head = _header(progress, now)
    failures = _failures(progress)
    active = _active(progress, now)
    room = max(height - len(head), 1)
    pinned = failures[: max(room // 2, room - len(active))]
    shown = active[: max(room - len(pinned), 0)]
    hidden = len(active) - len(shown) + len(failures) - len(pinned)
    if hidden and shown:
        shown[-1] = (f"  … and {hidden + 1} more", "dim")
    return [*head, *pinned, *shown][:height]


def _header(progress: Progress, now: float) -> list[Line]:
    if progress.run is not None:
        return [(_run_header(progress.run, now), None)]
    return [(_job_header(job, now), None) for job in progress.jobs.values()]


def _run_header(run: Run, now: float) -> str:
    done = sum(step.state not in ("waiting", "running") for step in run.steps.values())
    failed = sum(step.state == "failed" for step in run.steps.values())
    text = f"run {','.join(run.sls)} {_short(run.id)}  {done}/{len(run.steps)} steps"
    text += f", {failed} failed" if failed else ""
    text += ", paused" if run.state == "paused" else ""
    return f"{text}  {_span(now - run.begun) if run.begun else ''}{'  (dry run)' if run.test else ''}"


def _job_header(job: Job, now: float) -> str:
    counts = job.counts()
    active = counts.get("running", 0)
    waiting = counts.get("pending", 0) + counts.get("accepted", 0)
    failed = sum(counts.get(state, 0) for state in BAD)
    done = len(job.minions) - active - waiting
    what = job.function or " ".join(["apply", *job.sls])
    text = f"{what} on {job.target or short(job.minions)} {_short(job.id)}  {done}/{len(job.minions)} done"
    for number, word in ((active, "running"), (waiting, "waiting"), (failed, "failed")):
        text += f", {number} {word}" if number else ""
    return f"{text}  {_span(now - job.begun) if job.begun else ''}{'  (dry run)' if job.test else ''}"


def _failures(progress: Progress) -> list[Line]:
    groups: dict[str, list[str]] = {}
    for job in _jobs(progress):
        for minion in job.minions.values():
            for step in minion.failed:
                comment = str(step.result.get("comment") or "").strip().split("\n")[0]
                groups.setdefault(f"{step.title}: {comment}", []).append(minion.id)
            if minion.state in BAD and not minion.failed:
                groups.setdefault(f"{minion.state}: {minion.reason}", []).append(minion.id)
    found: list[Line] = [(f"  ✗ {short(ids)}  {text}", "bad") for text, ids in groups.items()]
    if progress.run is not None:
        for run_step in progress.run.steps.values():
            if run_step.state == "failed" and not run_step.job:
                found.append((f"  ✗ {run_step.id}: {run_step.comment}", "bad"))
    return found


def _jobs(progress: Progress) -> list[Job]:
    return [job for job in progress.jobs.values() if not job.sample]


def _active(progress: Progress, now: float) -> list[Line]:
    found: list[Line] = []
    if progress.run is not None:
        for step in progress.run.steps.values():
            if step.state == "running":
                found.append(_run_step(step, now))
    indent = "    " if progress.run is not None else "  "
    for job in _jobs(progress):
        waiting = [minion.id for minion in job.minions.values() if minion.state in ("pending", "accepted")]
        found += [_minion(indent, minion, now) for minion in job.minions.values() if minion.state == "running"]
        if waiting:
            found.append((f"{indent}… {short(waiting)} not begun", "dim"))
    return found


def _run_step(step: RunStep, now: float) -> Line:
    spent = f" ({_span(now - step.begun)})" if step.begun else ""
    if step.reason:
        return f"  ▸ {step.id}{spent}  waits: {step.reason}", "warn"
    return f"  ▸ {step.id} {step.function}{spent}", None


def _minion(indent: str, minion: Minion, now: float) -> Line:
    if not minion.step:
        return f"{indent}• {minion.id}", None
    place = f"{minion.index + 1}/{minion.total} " if minion.total else ""
    return f"{indent}• {minion.id}  {place}{minion.step} ({_span(now - minion.since)})", None


def _short(id: str) -> str:
    return f"[{id[-6:]}]"


def _span(seconds: float) -> str:
    return span(max(seconds, 0.0))


def span(seconds: float) -> str:
    """A span of time for the eye: `0.4 s`, `12 s`, `3 m 05 s`, `2 h 07 m`."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    if seconds < 60:
        return f"{seconds:.0f} s"
    if seconds < 3600:
        return f"{int(seconds) // 60} m {int(seconds) % 60:02d} s"
    return f"{int(seconds) // 3600} h {int(seconds) % 3600 // 60:02d} m"
