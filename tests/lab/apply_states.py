"""Applies states and calls functions on a host of the lab with the staged product, without a master or a minion."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tests.lab.harness import Host, product

_DRIVER = """
import json, sys
sys.path.insert(0, sys.argv[1])
from pathlib import Path
from protocol.assignment import Assignment, Chunk
from protocol.secrets import Secret, reveal
from states import engine, registry
from states.context import Context

job = json.load(sys.stdin)
context = Context(minion=job["minion"], grains={}, test=job["test"])


def typed(value):
    if isinstance(value, dict):
        return {key: typed(item) for key, item in value.items()}
    return Secret(value) if isinstance(value, str) and value.startswith("AQ") else value


if "function" in job:
    found = registry.find_function(job["function"])
    answer = reveal(found.call(context, **registry.check_arguments(job["function"], found.signature, job["kwarg"])))
else:
    chunks = tuple(
        Chunk(*function.split("."), f"{number}", name, "lab", args=typed(args))
        for number, (function, name, args) in enumerate(job["states"])
    )
    results = engine.apply(Assignment(job["minion"], chunks), context, lambda _: None, test=job["test"])
    answer = [
        {
            "result": result.result,
            "comment": result.comment,
            "changes": [[change.kind, change.subject, change.aspect] for change in result.changes],
        }
        for result in results
    ]
print(json.dumps(answer))
"""

Declared = tuple[str, str, Mapping[str, Any]]
"""A state: function, name, arguments."""


@dataclass(frozen=True, slots=True)
class Applied:
    """What applying states came to: their results, comments and changes (kind, subject, aspect)."""

    results: tuple[bool | None, ...]
    comments: tuple[str, ...]
    changes: tuple[tuple[str, str, str], ...]

    @property
    def good(self) -> bool:
        """Whether none failed."""
        return False not in self.results


def apply(host: Host, states: Sequence[Declared], *, test: bool = False, timeout: float = 180) -> Applied:
    """Apply states in order, or foretell them."""
    answer = _drive(host, {"states": [list(each) for each in states], "test": test}, timeout)
    return Applied(
        tuple(row["result"] for row in answer),
        tuple(row["comment"] for row in answer),
        tuple((kind, subject, aspect) for row in answer for kind, subject, aspect in row["changes"]),
    )


def settle(host: Host, states: Sequence[Declared]) -> Applied:
    """Foretell, apply and apply again: what was foretold is what is done, and then nothing is left to do."""
    foretold = apply(host, states, test=True)
    made = apply(host, states)
    assert made.good, made.comments
    assert foretold.changes == made.changes
    again = apply(host, states)
    assert (again.good, again.changes) == (True, ()), again
    return made


def call(host: Host, function: str, **kwarg: Any) -> Any:
    """Call a function; secrets come back as they are."""
    return _drive(host, {"function": function, "kwarg": kwarg, "test": False}, 60)


def command(host: Host, states: Sequence[Declared]) -> tuple[list[str], str]:
    """The command line that applies states on the host, and its input: for those who interrupt it."""
    job = {"minion": host.name, "states": [list(each) for each in states], "test": False}
    return ["python3", "-I", "-c", _DRIVER, product.HOME], json.dumps(job)


def _drive(host: Host, job: Mapping[str, Any], timeout: float) -> Any:
    argv = ["python3", "-I", "-c", _DRIVER, product.HOME]
    done = host.run(argv, stdin=json.dumps({"minion": host.name, **job}), timeout=timeout)
    return json.loads(done.stdout)
