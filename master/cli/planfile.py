"""Plans as files: `plan --out FILE` makes one, `apply --plan FILE` applies it or tells what moved since."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from master.cli import exits
from master.cli.follow import GRACE, JOB_LIMIT, follow
from master.cli.nodeset import short
from master.cli.options import Invocation
from master.cli.summary import Line
from master.cli.verbs_exec import announce, finish, left, show_lines
from protocol.errors import InputError, RefusedError, Where

MOST_MOVED: Final = 40
"""Lines of what moved that a person is told; the rest is counted."""


def keep_plan(
    invocation: Invocation, request: dict[str, Any], out: Path, *, timeout: float | None, patience: float,
    exit_code: bool,
) -> int:  # fmt: skip
    """Make a dry run and keep its plan in `out` (0600); gives the exit code. Raises MasterError, InputError."""
    asked = {key: value for key, value in request.items() if key not in ("kind", "test")}
    with invocation.client() as client:
        job = str(client.call("plans.start", asked, deadline=300.0)["job"])
        limit = (JOB_LIMIT if timeout is None else timeout) + GRACE
        try:
            followed = follow(invocation, client.stream("jobs.watch", {"job": job}), timeout=limit, patience=patience)
        except KeyboardInterrupt:
            return left(invocation, "job", job)
    code = finish(invocation, followed, job, timeout=timeout, exit_code=exit_code)
    if code not in (exits.DONE, exits.PENDING):
        invocation.screen.talk(f"{out} was not written: the plan is not whole", "warn")
        return code
    with invocation.client() as client:
        plan = client.call("plans.keep", {"job": job}, deadline=60.0)["plan"]
    _write(out, plan)
    invocation.screen.talk(f"the plan is in {out}; within a day: stackmaster apply --plan {out}")
    return code


def apply_plan(invocation: Invocation, file: Path, *, patience: float, detach: bool) -> int:
    """Apply the plan in `file` unless something moved; gives the exit code. Raises MasterError, InputError."""
    plan = _read(file)
    limit = float(plan.get("timeout") or JOB_LIMIT) + GRACE
    with invocation.client() as client:
        stream = client.stream("plans.apply", {"plan": plan})
        followed = follow(invocation, stream, timeout=limit, patience=patience)
        if followed.ending != "ended" or stream.result is None:
            invocation.screen.talk("nothing was applied: the plan was not checked to its end", "warn")
            return exits.TIMEOUT if followed.ending == "timeout" else exits.LEFT
        if "job" not in stream.result:
            return _refused(invocation, file, stream.result.get("moved") or [])
        job = str(stream.result["job"])
        if detach:
            return announce(invocation, "job", job)
        try:
            applied = follow(invocation, client.stream("jobs.watch", {"job": job}), timeout=limit, patience=patience)
        except KeyboardInterrupt:
            return left(invocation, "job", job)
    return finish(invocation, applied, job)


def _refused(invocation: Invocation, file: Path, moved: list[Mapping[str, Any]]) -> int:
    """Tell what moved."""
    screen = invocation.screen
    if screen.machine:
        screen.document("stackmaster.plan-moved/1", {"plan": str(file), "moved": moved})
    else:
        show_lines(screen, _lines(moved))
    minions = sorted({str(each.get("minion")) for each in moved})
    screen.talk(f"refused: nothing was applied, as {len(moved)} things moved on {short(minions)} since the plan", "bad")
    screen.talk("make a new plan and look at it: stackmaster plan … --out FILE")
    return exits.REFUSED


def _lines(moved: list[Mapping[str, Any]]) -> Iterator[Line]:
    """What moved, identical things folded over minions."""
    groups: dict[str, tuple[Mapping[str, Any], list[str]]] = {}
    for each in moved:
        key = json.dumps({key: value for key, value in each.items() if key != "minion"}, sort_keys=True)
        groups.setdefault(key, (each, []))[1].append(str(each.get("minion")))
    for each, minions in list(groups.values())[:MOST_MOVED]:
        what = f"{each.get('subject')} {each.get('aspect')}".strip()
        about = f"  ({each['state']})" if each.get("state") else ""
        yield f"moved {what} on {short(minions)}{about}", "bad"
        yield f"    was: {_value(each.get('was'))}", None
        yield f"    is:  {_value(each.get('is'))}", None
    if len(groups) > MOST_MOVED:
        yield f"… {len(groups) - MOST_MOVED} more", None


def _value(value: Any) -> str:
    """A foretold change in one line."""
    if value is None:
        return "nothing to do"
    if not isinstance(value, Mapping):
        return str(value)
    if value.get("diff"):
        lines = [line for line in str(value["diff"]).split("\n") if line[:1] in "+-" and line[:3] not in ("+++", "---")]
        return f"{value.get('kind')} " + "; ".join(lines[:6]) + (" …" if len(lines) > 6 else "")
    if value.get("old") is None and value.get("new") is None:
        return str(value.get("kind"))
    return f"{value.get('kind')} {value.get('old')!r} -> {value.get('new')!r}"


def _write(out: Path, plan: Mapping[str, Any]) -> None:
    from states.host.files import write_atomic

    write_atomic(out.absolute(), (json.dumps(plan, indent=1, ensure_ascii=False) + "\n").encode(), mode=0o600)


def _read(file: Path) -> dict[str, Any]:
    """The plan in `file`. Raises InputError, RefusedError."""
    try:
        found = json.loads(file.read_text("utf-8"))
    except OSError as error:
        raise InputError(f"cannot be read: {error.strerror}", where=Where(file=str(file))) from None
    except ValueError:
        raise RefusedError("this is no plan of stackmaster", where=Where(file=str(file))) from None
    if not isinstance(found, dict):
        raise RefusedError("this is no plan of stackmaster", where=Where(file=str(file)))
    return found
