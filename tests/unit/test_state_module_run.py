"""`module.run` and `module.wait`: both forms of Salt's, what counts as failed, dry runs."""

from __future__ import annotations

from pathlib import Path

import pytest

from protocol.assignment import Chunk, Requisite
from protocol.data import Data
from protocol.results import StepResult
from tests.unit.custom_tree import loader
from tests.unit.test_custom_loader import result

FILES = {
    "_modules/m.py": """
        def told(a, b=2, *more, **rest): return [a, b, list(more), rest]
        def bad(how):
            return {'no': False, 'result': {'result': False}, 'code': {'retcode': 3}, 'good': {'retcode': 0}}[how]
        def named(name): return name
    """
}


def run(tmp_path: Path, name: str, args: dict[str, Data], *, test: bool = False, fun: str = "run") -> StepResult:
    return result(loader(tmp_path, FILES), Chunk("module", fun, "x", name, "s", args), test=test)[0]


@pytest.mark.parametrize(
    ("name", "args", "value"),
    [
        ("x", {"m.told": [1, 5, 6, {"c": 7}]}, [1, 5, [6], {"c": 7}]),
        ("x", {"m.told": [{"a": 1}]}, [1, 2, [], {}]),
        ("x", {"test.echo": "hello"}, "hello"),
        ("x", {"test.true": None}, True),
        ("m.told", {"a": 1, "b": 3}, [1, 3, [], {}]),
        ("m.told", {"args": [1], "kwargs": {"c": 4}}, [1, 2, [], {"c": 4}]),
        ("m.named", {"m_name": "it"}, "it"),
    ],
)
def test_both_forms_call_the_function(tmp_path: Path, name: str, args: dict[str, Data], value: Data) -> None:
    step = run(tmp_path, name, args)
    assert step.result is True, step.comment
    assert [change.details for change in step.changes] == [value]


@pytest.mark.parametrize(("how", "good"), [("no", False), ("result", False), ("code", False), ("good", True)])
def test_what_a_function_says_of_itself_counts(tmp_path: Path, how: str, good: bool) -> None:
    step = run(tmp_path, "x", {"m.bad": [how]})
    assert step.result is good
    assert len(step.changes) == 1


def test_several_functions_are_called_in_order(tmp_path: Path) -> None:
    step = run(tmp_path, "x", {"test.echo": ["a"], "m.named": ["b"]})
    assert [(change.subject, change.details) for change in step.changes] == [("test.echo", "a"), ("m.named", "b")]


@pytest.mark.parametrize("args", [{"m.none": []}, {"no.such": []}, {"m.told": [1], "other": 2}])
def test_what_is_no_function_fails(tmp_path: Path, args: dict[str, Data]) -> None:
    assert run(tmp_path, "x", args).result is False


def test_a_dry_run_calls_nothing(tmp_path: Path) -> None:
    step = run(tmp_path, "x", {"m.bad": ["no"]}, test=True)
    assert (step.result, step.comment) == (None, "m.bad would be called")


def test_wait_calls_on_a_watched_change_only(tmp_path: Path) -> None:
    assert run(tmp_path, "x", {"test.echo": ["a"]}, fun="wait").changes == ()
    watched = Chunk("test", "succeed_with_changes", "w", "w", "s")
    waiting = Chunk("module", "wait", "x", "x", "s", {"test.echo": ["a"]}, requisites=(Requisite("watch", (0,)),))
    assert [change.details for change in result(loader(tmp_path, FILES), watched, waiting)[1].changes] == ["a"]
