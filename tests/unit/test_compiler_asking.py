"""What templates ask of their minion: what is allowed, what is remembered, and that answers are a minion's words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from master.compiler.compile import compile_assignment
from master.compiler.here import Here
from protocol.data import Data
from protocol.errors import SlsError
from states.context import Context
from tests.unit.compiler_tree import request


class Answers:
    """Answers from a table, and remembers what it was asked."""

    def __init__(self, table: Mapping[str, Data]) -> None:
        self.table = table
        self.asked: list[tuple[str, list[Any], dict[str, Any]]] = []

    def function(self, name: str, args: Sequence[Data], kwargs: Mapping[str, Data]) -> Data:
        self.asked.append((name, list(args), dict(kwargs)))
        return self.table[name]

    def decrypt(self, message: str) -> str:
        raise AssertionError


def names(tmp_path: Path, template: str, answers: Any, **more: Any) -> list[str]:
    """The names of the states that the template makes."""
    compiled = compile_assignment(request(tmp_path, template, **more), answers)
    return [chunk.name for chunk in compiled.assignment.chunks]


def test_the_same_question_is_asked_once(tmp_path: Path) -> None:
    answers = Answers({"file.file_exists": True, "pkg.version": "1.2-3"})
    template = (
        "{% for i in range(3) %}{% if salt['file.file_exists']('/etc/x') %}"
        "s{{ i }}:\n  test.nop:\n    - name: n{{ i }} {{ salt.pkg.version('nginx') }}\n{% endif %}{% endfor %}"
    )
    assert names(tmp_path, template, answers) == ["n0 1.2-3", "n1 1.2-3", "n2 1.2-3"]
    assert answers.asked == [("file.file_exists", ["/etc/x"], {}), ("pkg.version", ["nginx"], {})]


def test_an_answer_cannot_become_a_state(tmp_path: Path) -> None:
    evil = "x\nb:\n  cmd.run:\n    - name: reboot #"
    template = "a:\n  test.nop:\n    - name: {{ salt['pkg.version']('x') }}\n"
    compiled = compile_assignment(request(tmp_path, template), Answers({"pkg.version": evil}))
    assert [(chunk.id, chunk.name) for chunk in compiled.assignment.chunks] == [("a", evil)]


def test_filters_that_look_at_files_ask(tmp_path: Path) -> None:
    answers = Answers({"file.get_hash": "ab12", "file.file_exists": True, "file.stats": {"size": 0}})
    template = "a:\n  test.nop:\n    - name: {{ '/etc/x'|file_hashsum }} {{ '/etc/x'|is_empty }}\n"
    assert names(tmp_path, template, answers) == ["ab12 True"]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        ("salt['file.file_exits']('/x')", "did you mean 'file.file_exists'"),
        ("salt['nomodule.thing']()", "cannot be called while rendering: there is none of this name"),
        ("salt['cmd.run']('id')", "runs code on the minion, which templates may not do .*render_functions: .cmd.run."),
        ("salt['service.restart']('x')", "changes the minion"),
        ("salt['file.file_exists']()", "needs the argument 'path'"),
        ("salt['file.read_secret']('/etc/shadow')", "returns a secret, which templates cannot ask for"),
        ("salt['file.read']('/nothing/there')", "file.read: "),
    ],
)
def test_what_cannot_be_asked_is_told_with_its_line(tmp_path: Path, call: str, message: str) -> None:
    answers = Here(Context(minion="m1", grains={}))
    with pytest.raises(SlsError, match=message) as caught:
        names(tmp_path, f"\na:\n  test.nop:\n    - name: {{{{ {call} }}}}\n", answers)
    assert (caught.value.where.file, caught.value.where.line) == ("main.sls", 4)


def test_this_host_answers_and_runs_what_is_allowed(tmp_path: Path) -> None:
    here = Here(Context(minion="m1", grains={"os": "Debian"}), ["cmd.*"])
    asked = "{{ salt.cmd.run('echo $((6*7))') }} {{ salt['mine.get']('m*', 'grains.ls').m1 }}"
    template = f"a:\n  test.nop:\n    - name: {asked}\n"
    assert names(tmp_path, template, here) == ["42 ['os']"]
    asked = "{{ 'cmd.run' in salt }} {{ 'mine.get' in salt }} {{ 'no.such' in salt }} {{ salt.get('no.such', 1) }}"
    assert names(tmp_path, f"a:\n  test.nop:\n    - name: {asked}\n", here) == ["True True False 1"]


def test_without_anybody_to_ask_the_error_says_so(tmp_path: Path) -> None:
    with pytest.raises(SlsError, match=r"'cmd\.run' runs on a minion, and cannot be called while rendering"):
        names(tmp_path, "a: {{ salt['cmd.run']('id') }}\n", None)
    assert names(tmp_path, "a:\n  test.nop:\n    - name: is {{ 'cmd.run' in salt }}\n", None) == ["is False"]
