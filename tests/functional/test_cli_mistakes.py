"""What a person gets wrong: each mistake with its exit code, its place, and what to do about it."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.functional.cli_house import House, house
from tests.functional.master_process import ROOT


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    with house(tmp_path_factory.mktemp("mistakes"), "osd1") as built:
        for name, text in MISTAKES.items():
            built.sls(name, text)
        yield built


MISTAKES = {
    "unknown_state": "conf:\n  file.manged:\n    - name: /etc/x\n",
    "unknown_argument": "conf:\n  file.managed:\n    - name: /etc/x\n    - contnts: y\n",
    "missing_argument": "conf:\n  ini.options_present:\n    - name: /etc/x.ini\n    - sectons: {}\n",
    "wrong_type": "conf:\n  file.managed:\n    - name: /etc/x\n    - makedirs: [1]\n",
    "yaml_error": "conf:\n  file.managed:\n    - name: '/etc/x\n",
    "yaml_indent": "conf:\n  file.managed:\n   - name: /etc/x\n  - mode: 1\n",
    "yaml_tab": "conf:\n\tfile.managed:\n",
    "jinja_error": "conf:\n  file.managed:\n    - name: {{ pillar['nothing'] }}\n",
    "jinja_syntax": "a: b\n{% if x %}\nconf: {}\n",
    "missing_requisite": "conf:\n  file.managed:\n    - name: /etc/x\n    - require:\n      - pkg: cehp\n",
    "recursive": (
        "a:\n  test.nop:\n    - require:\n      - test: b\nb:\n  test.nop:\n    - require:\n      - test: a\n"
    ),
    "missing_include": "include:\n  - not.there\nconf:\n  test.nop: []\n",
    "duplicate": "conf:\n  test.nop: []\nconf:\n  test.nop: []\n",
    "duplicate_across": "include:\n  - other\nconf:\n  test.nop: []\n",
    "other": "conf:\n  test.nop: []\n",
    "no_source": "conf:\n  file.managed:\n    - name: /etc/x\n    - source: salt://not/there\n",
    "fails": "broken:\n  cmd.run:\n    - name: exit 3\n",
    "orch_state": "deploy:\n  salt.stat:\n    - tgt: '*'\n",
    "orch_function": "deploy:\n  salt.function:\n    - name: test.pnig\n    - tgt: '*'\n",
    "orch_condition": (
        "wait:\n  gate.until:\n    - tgt: '*'\n    - function: test.ping\n    - condition: health = OK\n"
    ),
    "orch_output": (
        "use:\n  salt.function:\n    - name: test.echo\n    - tgt: '*'\n    - arg: ['${steps.nobody.*.x}']\n"
    ),
    "orch_nobody": "deploy:\n  salt.state:\n    - tgt: nobody\n    - sls: other\n",
}


@pytest.mark.parametrize(
    ("sls", "said", "place"),
    [
        ("unknown_state", ["file.manged", "did you mean 'file.managed'"], "unknown_state.sls:2"),
        ("unknown_argument", ["contnts", "did you mean 'contents'"], "unknown_argument.sls:4"),
        ("missing_argument", ["sectons"], "missing_argument.sls:4"),
        ("wrong_type", ["makedirs", "bool"], "wrong_type.sls:4"),
        ("yaml_error", [], "yaml_error.sls:"),
        ("yaml_indent", [], "yaml_indent.sls:"),
        ("yaml_tab", ["tab"], "yaml_tab.sls:2"),
        ("jinja_error", ["nothing"], "jinja_error.sls:3"),
        ("jinja_syntax", ["if"], "jinja_syntax.sls:"),
        ("recursive", ["circle"], "recursive.sls:"),
        ("missing_include", ["not.there"], "missing_include.sls:2"),
        ("duplicate", ["conf"], "duplicate.sls:3"),
        ("duplicate_across", ["conf"], "other"),
        ("no_source", ["salt://not/there"], "no_source.sls:"),
        ("not_there_at_all", ["not_there_at_all"], "minion osd1"),
    ],
)
def test_a_mistake_in_a_state_tree_is_2_with_its_place(here: House, sls: str, said: list[str], place: str) -> None:
    for words in (["apply", "osd1", sls], ["compile", "--states", str(here.master.states), sls]):
        ran = here.run(*words)
        assert (ran.code, ran.out) == (2, ""), ran.err
        assert ran.err.startswith("Error: ")
        assert all(text in ran.err for text in said), ran.err
        if words[0] == "apply":
            assert "minion osd1" in ran.err
            assert place in ran.err, ran.err
        assert "Traceback" not in ran.err
        assert len(ran.err.splitlines()) <= 12


def test_nothing_is_sent_when_it_is_wrong_for_one(here: House) -> None:
    before = len(here.master.events("job/*/new"))
    here.run("apply", "*", "unknown_state")
    assert len(here.master.events("job/*/new")) == before


def test_a_requisite_that_names_nothing_fails_its_state_or_is_refused(here: House) -> None:
    ran = here.run("apply", "osd1", "missing_requisite")
    assert ran.code in (2, 4)
    assert "cehp" in ran.out + ran.err
    assert "missing_requisite.sls:" in ran.out + ran.err


def test_a_state_that_fails_is_4_with_minion_place_and_next_command(here: House) -> None:
    ran = here.run("apply", "osd1", "fails")
    assert ran.code == 4
    assert ran.out.startswith("FAILED osd1  cmd.run exit 3  (fails.sls:2)")
    assert "next: stackmaster jobs show" in ran.out


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["apply", "nobody", "other"], 6, "matches none of 1 minions"),
        (["exec", "nobody", "test.ping"], 6, "stackmaster minions ls"),
        (["target", "show", "nobody"], 6, "nobody"),
        (["exec", "osd1 and (", "test.ping"], 2, "the expression ends where a term is expected"),
        (["exec", "-G", "osd1", "test.ping"], 2, ""),
        (["exec", "osd1", "test.pnig"], 2, "did you mean 'test.ping'"),
        (["exec", "osd1", "test.echo"], 2, "'text'"),
        (["exec", "osd1", "test.echo", "a", "b", "c"], 2, "was given 3 arguments"),
        (["exec", "osd1", "test.echo", "txt=1"], 2, "did you mean 'text'"),
        (["exec", "osd1", "test.echo", "x", "text=1"], 2, "twice"),
        (["jobs", "show", "ffffff"], 2, "stackmaster jobs ls"),
        (["runs", "show", "ffffff"], 2, "stackmaster runs ls"),
        (["keys", "accept", "nobody"], 6, "stackmaster keys ls"),
        (["minions", "show", "nobody"], 2, "stackmaster minions ls"),
        (["run", "not_there"], 2, "not_there"),
        (["run", "orch_state"], 2, "did you mean 'salt.state'"),
        (["run", "orch_function"], 2, "did you mean 'test.ping'"),
        (["run", "orch_condition"], 2, "orch_condition.sls:2"),
        (["run", "orch_output"], 2, "names no step"),
        (["run", "other"], 2, "test.nop"),
    ],
)
def test_a_mistake_on_the_command_line(here: House, words: list[str], code: int, said: str) -> None:
    ran = here.run(*words)
    assert ran.code == code, ran.out + ran.err
    assert ran.out == ""
    assert said in ran.err
    assert "Traceback" not in ran.err


def test_an_orchestration_whose_target_means_nobody_fails_in_its_step(here: House) -> None:
    ran = here.run("run", "orch_nobody")
    assert ran.code == 4
    assert "FAILED step deploy" in ran.out
    assert "'nobody' matches none of 1 minions" in ran.out


def test_a_master_that_is_not_there_is_1(tmp_path: Path) -> None:
    words = [sys.executable, "-m", "master.main", "--socket", str(tmp_path / "none.sock"), "exec", "*", "test.ping"]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.returncode == 1
    assert "none.sock" in done.stderr and "systemctl start stackmaster" in done.stderr


def test_a_socket_of_a_master_that_is_gone_is_1(tmp_path: Path) -> None:
    with house(tmp_path) as built:
        built.master.kill()
        ran = built.run("status")
        assert ran.code == 1
        assert "cannot be reached" in ran.err
