"""Orchestrations: the states of the master, and the outputs of steps that others use."""

from __future__ import annotations

from pathlib import Path

import pytest

from master.compiler.compile import compile_assignment
from protocol.assignment import Chunk
from protocol.errors import SlsError
from tests.unit.compiler_tree import compiled, request


def _steps(tmp_path: Path, text: str) -> list[Chunk]:
    return list(compiled(tmp_path, text, states="master").assignment.chunks)


def test_an_orchestration_compiles_to_its_steps(tmp_path: Path) -> None:
    text = (
        "mons:\n  salt.state:\n    - tgt: 'mon*'\n    - sls: [ceph.mon, ceph.mgr]\n    - batch: 25%\n"
        "    - pillar: {a: 1}\n    - failhard: true\n"
        "healthy:\n  gate.until:\n    - tgt: mon1\n    - function: ceph.health\n    - condition: {status: HEALTH_OK}\n"
        "    - timeout: 600\n    - require: [mons]\n"
        "ceph.version:\n  salt.function:\n    - tgt: '*'\n    - require: [healthy]\n"
        "wait:\n  salt.wait_for_event:\n    - name: minion/*/up\n    - id_list: m1\n"
        "run:\n  salt.runner:\n    - name: manage.up\n    - any: thing\n"
    )
    mons, healthy, version, wait, run = _steps(tmp_path, text)
    assert mons.args == {"tgt": "mon*", "sls": ["ceph.mon", "ceph.mgr"], "batch": "25%", "pillar": {"a": 1}}
    assert mons.options == {"failhard": True}
    assert healthy.args["timeout"] == 600
    assert healthy.requisites[0].targets == (0,)
    assert (version.name, version.args) == ("ceph.version", {"tgt": "*"})
    assert wait.args == {"id_list": "m1"}
    assert run.args == {"any": "thing"}


def test_an_output_makes_its_step_required(tmp_path: Path) -> None:
    text = (
        "use:\n  salt.state:\n    - tgt: m2\n    - sls: x\n"
        "    - pillar:\n        deep: ['${steps.get.key.m1.example.return}']\n"
        "get.key:\n  salt.function:\n    - name: ceph.key\n    - tgt: m1\n"
    )
    get, use = _steps(tmp_path, text)
    assert (get.id, use.id) == ("get.key", "use")
    assert [(requisite.kind, requisite.targets) for requisite in use.requisites] == [("require", (0,))]
    assert use.args["pillar"] == {"deep": ["${steps.get.key.m1.example.return}"]}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a:\n  salt.sate:\n    - tgt: x\n", "no orchestration state 'salt.sate' (id 'a'; did you mean 'salt.state'?)"),
        ("a:\n  file.managed: []\n", "put it into an SLS file that a salt.state step applies"),
        ("a:\n  salt.state:\n    - sls: x\n", "salt.state needs the argument 'tgt'"),
        ("a:\n  salt.state:\n    - tgt: x\n", "either 'sls' or 'highstate: true'"),
        ("a:\n  salt.state:\n    - tgt: x\n    - sls: y\n    - highstate: true\n", "either 'sls' or 'highstate: true'"),
        ("a:\n  salt.state:\n    - tgt: x\n    - sls: y\n    - slss: z\n", "has no argument 'slss'"),
        ("a:\n  gate.until:\n    - tgt: x\n    - function: y\n", "needs the argument 'condition'"),
        ("a:\n  salt.function:\n    - tgt: x\n    - arg: ['${steps.b.m1.x}']\n", "names no step of this orchestration"),
        ("a:\n  salt.function:\n    - tgt: x\n    - arg: ['x ${steps.a.m1.x}']\n", "mixes text and a step's output"),
        ("a:\n  salt.function:\n    - tgt: x\n    - arg: ['${steps.a.m1.x}']\n", "circle"),
    ],
)  # fmt: skip
def test_a_mistake_in_an_orchestration_is_told(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(SlsError) as caught:
        _steps(tmp_path, text)
    assert caught.value.where.file == "main.sls"
    assert caught.value.where.line > 0
    assert message in str(caught.value)


def test_a_minion_has_no_orchestration_states(tmp_path: Path) -> None:
    with pytest.raises(SlsError, match=r"main.sls:2: 'salt.state' is a step of an orchestration .*stackmaster run"):
        compile_assignment(request(tmp_path, "a:\n  salt.state:\n    - tgt: x\n    - sls: y\n"))
