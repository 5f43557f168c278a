"""What a run of the product changed or foretold, read from its JSON."""

from __future__ import annotations

from typing import Any, NamedTuple


class Told(NamedTuple):
    """One change of one state on one minion in one step of an orchestration."""

    step: str
    minion: str
    state: str
    kind: str
    subject: str
    aspect: str


def told(run: Any) -> set[Told]:
    """Every change that the JSON of `stackmaster run` tells of."""
    found: set[Told] = set()
    for step in run["steps"]:
        for job in step_jobs(run, step):
            for minion, outcome in job["minions"].items():
                for result in outcome["steps"]:
                    for change in result["changes"]:
                        found.add(
                            Told(step["id"], minion, result["id"], change["kind"], change["subject"], change["aspect"])
                        )
    return found


def step_jobs(run: Any, step: Any) -> list[Any]:
    """The jobs of a step."""
    return [run["jobs"][step["job"]]] if step["job"] in run["jobs"] else []


def touched(run: Any) -> set[tuple[str, str]]:
    """Which subject was changed on which minion."""
    return {(change.minion, change.subject) for change in told(run)}
