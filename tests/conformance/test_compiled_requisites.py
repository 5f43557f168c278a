"""The compiler makes of random state trees what Salt 3008.5 makes of them: they end alike, or are refused alike."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from master.compiler.compile import CompilerOptions, Request, Roots, compile_assignment
from protocol.assignment import Assignment
from protocol.errors import SlsError
from states import engine
from states.context import Context
from states.registry import _states
from tests.conformance.requisite_cases import COMMANDS, cases
from tests.conformance.test_requisites import _ours, _salts

CASES = {case["id"]: case for case in cases()}
RUN = [name for name, case in CASES.items() if "return" in case]
REFUSED = [name for name, case in CASES.items() if "errors" in case]


def _compiled(case: dict[str, Any], tmp_path: Path, *, strict: bool = True) -> Assignment:
    assert f"{COMMANDS}.run" in _states, "test_requisites declares the command state of these cases"
    for name, text in case["files"].items():
        (tmp_path / name).write_text(re.sub(r"\bcmd(?=[.:])", COMMANDS, text))
    request = Request(
        minion="m1",
        grains={},
        roots=Roots({"base": (tmp_path,)}),
        sls=("main",),
        options=CompilerOptions(strict_requisites=strict),
    )
    return compile_assignment(request).assignment


@pytest.mark.parametrize("name", RUN)
def test_a_compiled_tree_ends_as_on_salt(name: str, tmp_path: Path) -> None:
    case = CASES[name]
    test = case["call"]["kwargs"].get("test", False)
    compiled = _compiled(case, tmp_path)
    results = engine.apply(compiled, Context("m1", {}), lambda progress: None, test=test)
    assert _ours(results) == _salts(case)


@pytest.mark.parametrize("name", REFUSED)
def test_what_salt_refuses_is_refused_with_its_place(name: str, tmp_path: Path) -> None:
    told = " ".join(CASES[name]["errors"])
    with pytest.raises(SlsError) as caught:
        _compiled(CASES[name], tmp_path)
    assert caught.value.where.file in CASES[name]["files"]
    assert caught.value.where.line > 0
    if "does not exist" in told or "Cannot extend" in told:
        assert "which no" in caught.value.message
    else:
        assert "circle" in caught.value.message


@pytest.mark.parametrize("name", [name for name in REFUSED if "does not exist" in str(CASES[name]["errors"])])
def test_when_not_strict_a_missing_reference_is_carried_along(name: str, tmp_path: Path) -> None:
    if "Recursive" in str(CASES[name]["errors"]):
        with pytest.raises(SlsError, match="circle"):
            _compiled(CASES[name], tmp_path, strict=False)
        return
    chunks = _compiled(CASES[name], tmp_path, strict=False).chunks
    assert any(requisite.missing for chunk in chunks for requisite in chunk.requisites)
