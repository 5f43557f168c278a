"""Random state trees end on our engine as they did on Salt 3008.5: results, comments, numbers, what was called."""

from __future__ import annotations

import re
from typing import Any

import pytest

from protocol.data import Data
from protocol.errors import SlsError
from protocol.results import Change, StepResult
from states import engine
from states.context import Context
from states.contract import Action, DeedError, Plan
from states.host import process
from states.registry import state
from tests.conformance.requisite_cases import COMMANDS, assignment, cases

CASES = {case["id"]: case for case in cases()}
RUN = [name for name, case in CASES.items() if "return" in case]
REFUSED = [name for name, case in CASES.items() if re.search("Recursive|Cannot extend", str(case.get("errors")))]
MISSING = [name for name, case in CASES.items() if "errors" in case and name not in REFUSED]

Told = tuple[bool | None, Any, bool, int, bool]


def _watch(ctx: Context, name: str) -> Plan:
    raise AssertionError("no case watches a command")


@state(f"{COMMANDS}.run", watch=_watch)
def run(ctx: Context, name: str) -> Plan:
    """`cmd.run` as these cases need it."""

    def perform() -> Data:
        status = process.run(ctx, ["/bin/sh", "-c", name], accept=None).status
        if status:
            raise DeedError(f'Command "{name}" run', {"retcode": status})
        return {"retcode": status}

    told, foretold = f'Command "{name}" run', f'Command "{name}" would have been executed'
    return Plan((Action(Change("run", name), perform),), told, foretold=foretold)


def _apply(case: dict[str, Any]) -> list[StepResult]:
    test = case["call"]["kwargs"].get("test", False)
    return engine.apply(assignment(case["files"], "main"), Context("m1", {}), lambda progress: None, test=test)


def _comment(text: str) -> Any:
    """The comment; the names of failed requisites as a set, since Salt gives them in any order."""
    failed = re.fullmatch(r"One or more requisite failed: (.*)", text)
    return frozenset(failed[1].split(", ")) if failed else text


def _ours(results: list[StepResult]) -> dict[str, Told]:
    return {
        result.tag.replace(f"{COMMANDS}_|-", "cmd_|-"): (
            result.result,
            _comment(result.comment),
            bool(result.changes),
            result.number,
            result.ran,
        )
        for result in results
    }


def _salts(case: dict[str, Any]) -> dict[str, Told]:
    return {
        tag: (
            told["result"],
            _comment(told["comment"]),
            told["has_changes"],
            told["__run_num__"],
            told["__state_ran__"],
        )
        for tag, told in case["return"].items()
    }


def test_every_case_is_of_one_class() -> None:
    assert len(CASES) == 200
    assert sorted(RUN + REFUSED + MISSING) == sorted(CASES)


@pytest.mark.parametrize("name", RUN)
def test_a_tree_ends_as_on_salt(name: str) -> None:
    assert _ours(_apply(CASES[name])) == _salts(CASES[name])


@pytest.mark.parametrize("name", REFUSED)
def test_what_salt_refuses_as_a_whole_is_refused(name: str) -> None:
    with pytest.raises(SlsError) as caught:
        assignment(CASES[name]["files"], "main")
    told = str(CASES[name]["errors"])
    assert ("circle" in caught.value.message) == ("Recursive" in told)
    assert caught.value.help or "Cannot extend" in told


@pytest.mark.parametrize("name", MISSING)
def test_a_missing_reference_fails_its_own_chunk_only(name: str) -> None:
    """Salt 3008 refuses the run; we keep 3006's handling, which published formulas need."""
    references = re.findall(
        r"requisite \[(\w+): \((\w+): (\w+)\)\] in state \[(\w+)\]", " ".join(CASES[name]["errors"])
    )
    results = _apply(CASES[name])
    assert references
    for kind, family, target, state_name in references:
        (failed,) = [result for result in results if result.name == state_name]
        assert failed.result is False
        assert not failed.ran
        assert failed.comment.startswith("The following requisites were not found:\n")
        assert f"{kind}:\n{' ' * 23}{family}: {target}\n" in failed.comment
    lost = {state_name for *_, state_name in references}
    others = [result for result in results if result.name not in lost]
    assert not any("not found" in result.comment for result in others)
