"""The test.* states and functions, and what sys.* tells of all of them."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

import master
import minion
import protocol
from protocol.assignment import Assignment, Chunk
from protocol.data import Data
from protocol.errors import ArgumentError, StateError
from protocol.results import StepResult
from states import engine, registry
from states.context import Context
from states.test import pillar_kind

CONTEXT = Context("m1", {}, deadline=1.0)


def call(fun: str, *, test: bool = False, **args: Data) -> StepResult:
    chunk = Chunk("test", fun, "x", "x", "main", args)
    (result,) = engine.apply(Assignment("m1", (chunk,)), Context("m1", {}), lambda _: None, test=test)
    return result


def function(name: str, *args: Data, **kwargs: Data) -> Data:
    found = registry.find_function(name)
    given = registry.by_name(name, found.signature, args, kwargs)
    return found.call(CONTEXT, **registry.check_arguments(name, found.signature, given))


@pytest.mark.parametrize(
    ("fun", "result", "comment", "changes", "dry", "dry_comment"),
    [
        ("nop", True, "Success!", False, True, "Success!"),
        ("succeed_without_changes", True, "Success!", False, True, "Success!"),
        ("fail_without_changes", False, "Failure!", False, False, "If we weren't testing, this would be a failure!"),
        (
            "succeed_with_changes",
            True,
            "Success!",
            True,
            None,
            "If we weren't testing, this would be successful with changes",
        ),
        (
            "fail_with_changes",
            False,
            "Failure!",
            True,
            None,
            "If we weren't testing, this would be failed with changes",
        ),
    ],
)
def test_fixed_states(fun: str, result: bool, comment: str, changes: bool, dry: bool | None, dry_comment: str) -> None:
    real, foretold = call(fun), call(fun, test=True)
    assert (real.result, real.comment, bool(real.changes)) == (result, comment, changes)
    assert (foretold.result, foretold.comment, bool(foretold.changes)) == (dry, dry_comment, changes)
    assert call(fun, comment="other").comment == "other"


@pytest.mark.parametrize("changes", [True, False])
@pytest.mark.parametrize("result", [True, False])
def test_the_configurable_state(changes: bool, result: bool) -> None:
    real = call("configurable_test_state", changes=changes, result=result, comment="so", warnings=["w"])
    assert (real.result, real.comment, bool(real.changes)) == (result, "so", changes)
    dry = call("configurable_test_state", test=True, changes=changes, result=result)
    assert (dry.result, dry.comment) == (None if changes else True, "This is a test")
    failing = call("configurable_test_state", test=True, changes=changes, result=result, allow_test_mode_failure=True)
    assert (failing.result is False) is (not result)


def test_random_is_one_or_the_other() -> None:
    results = {call("configurable_test_state", changes="Random", result="Random").result for _ in range(64)}
    assert results == {True, False}
    assert "must be" in call("configurable_test_state", changes="maybe").comment


def test_a_notification_is_shown() -> None:
    assert call("show_notification", text="look here").comment == "look here"
    assert call("show_notification").result is False


def test_pillar_is_checked_by_the_types_that_the_compiler_told() -> None:
    kinds: Mapping[str, Data] = {"a:b": pillar_kind(1), "l": pillar_kind([1]), "d": pillar_kind({}), "t": "boolean"}
    good = call("check_pillar", present=["a:b"], integer=["a:b"], listing=["l"], dictionary=["d"], kinds=kinds)
    assert good.result is True
    assert call("check_pillar", boolean=["t"], kinds=kinds, verbose=True).comment.endswith("a:b, d, l, t")
    bad = call("check_pillar", present=["zz"], string=["a:b", "yy"], kinds=kinds)
    assert bad.comment.splitlines() == [
        "Pillar key zz is missing.",
        "Pillar key a:b is integer, not string.",
        "Pillar key yy is missing.",
    ]
    assert call("check_pillar", present=["a"]).result is False
    assert [pillar_kind(value) for value in (True, "s", None, 1.5)] == ["boolean", "string", "nothing", "float"]


def test_functions_that_answer() -> None:
    assert function("test.ping") is True
    assert function("test.true") is True
    assert function("test.false") is False
    assert function("test.echo", {"a": 1}) == {"a": 1}
    assert function("test.sleep", 0) is True
    assert registry.find_function("test.ping").inline


def test_the_version_is_everywhere_the_same() -> None:
    assert function("test.version") == protocol.__version__ == master.__version__ == minion.__version__


def test_functions_that_refuse() -> None:
    with pytest.raises(StateError, match="so be it"):
        function("test.fail", "so be it")
    with pytest.raises(ArgumentError, match="between 0 and 1 seconds"):
        function("test.sleep", 2)


def test_sys_tells_names_documents_and_arguments() -> None:
    functions, states = function("sys.list_functions", "test"), function("sys.list_states", "test.succeed_*")
    assert isinstance(functions, list)
    assert "test.ping" in functions
    assert states == ["test.succeed_with_changes", "test.succeed_without_changes"]
    assert function("sys.doc", "test.ping") == {"test.ping": "True: the minion is there and answers."}
    assert function("sys.state_doc", "test.nop") == {
        "test.nop": "Do nothing and succeed; a place for requisites to hang on."
    }
    assert function("sys.argspec", "test.sleep") == {
        "test.sleep": {
            "args": ["length"],
            "required": ["length"],
            "types": {"length": "float"},
            "defaults": {},
            "kwargs": False,
        }
    }
    spec = function("sys.state_argspec", "test.configurable_test_state")
    assert isinstance(spec, dict)
    assert spec["test.configurable_test_state"]["types"]["warnings"] == "list[str] or null"
    assert spec["test.configurable_test_state"]["defaults"]["changes"] is True
