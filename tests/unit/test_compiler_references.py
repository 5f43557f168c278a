"""Requisites: what a reference names, `_in` forms, `use`, and references that name nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

from protocol.errors import SlsError
from tests.unit.compiler_tree import compiled


def _targets(
    tmp_path: Path, files: dict[str, str] | str, of: str = "x", *, strict: bool = True
) -> dict[str, list[str]]:
    """The requisites of the chunk `of`: kind to the names of the targets, and of what is missing."""
    found = compiled(tmp_path, files, strict=strict).assignment.chunks
    (chunk,) = [chunk for chunk in found if chunk.id == of]
    return {
        requisite.kind: [found[target].name for target in requisite.targets]
        + [f"?{name}" for name in requisite.missing]
        for requisite in chunk.requisites
    }


_STATES = (
    "a:\n  test.nop: []\n"
    "b:\n  test.nop:\n    - name: bee\n"
    "c:\n  test.nop:\n    - names: [c1, c2]\n"
    "d:\n  file.absent:\n    - name: /d\n"
)


@pytest.mark.parametrize(
    ("reference", "names"),
    [
        ("test: a", ["a"]),
        ("test: bee", ["bee"]),
        ("test: b", ["bee"]),
        ("test: c", ["c1", "c2"]),
        ("test: c2", ["c2"]),
        ("file: /d", ["/d"]),
        ("a", ["a"]),
        ("/d", ["/d"]),
        ("id: d", ["/d"]),
        ("test: c?", ["c1", "c2"]),
        ("test: 'b*'", ["bee"]),
        ("sls: main", ["a", "bee", "c1", "c2", "/d"]),
        ("sls: m*", ["a", "bee", "c1", "c2", "/d"]),
        ("sls: zz*", []),
        ("file: null", []),
    ],
)
def test_a_reference_names_states(tmp_path: Path, reference: str, names: list[str]) -> None:
    files = {
        "main.sls": _STATES,
        "top2.sls": f"include: [main]\nx:\n  test.nop:\n    - require:\n      - {reference}\n",
    }
    found = compiled(tmp_path, files, sls=("top2",)).assignment.chunks
    (chunk,) = [chunk for chunk in found if chunk.id == "x"]
    assert [found[target].name for requisite in chunk.requisites for target in requisite.targets] == names


def test_a_file_includes_what_it_includes(tmp_path: Path) -> None:
    files = {
        "main.sls": "include: [b]\nx:\n  test.nop:\n    - require:\n      - sls: b\n",
        "b.sls": "include: [c]\nb: test.nop\n",
        "c.sls": "c: test.nop\n",
    }
    assert _targets(tmp_path, files) == {"require": ["b", "c"]}


def test_an_empty_file_is_satisfied_unless_strict_as_on_salt(tmp_path: Path) -> None:
    files = {
        "main.sls": "include: [b]\nx:\n  test.nop:\n    - require:\n      - sls: b\n",
        "b.sls": "{% if 0 %}b: x{% endif %}",
    }
    assert _targets(tmp_path, files, strict=False) == {}
    with pytest.raises(SlsError, match="names sls: b, which no state declares"):
        _targets(tmp_path, files)


@pytest.mark.parametrize(
    ("reference", "help"),
    [
        ("test: aa", "did you mean 'a'?"),
        ("pkg: a", ""),
        ("nothing", "there is"),
        ("sls: mian", "did you mean 'main'?"),
        ("test: q*", "there is"),
    ],
)
def test_a_reference_to_nothing_refuses_everything(tmp_path: Path, reference: str, help: str) -> None:
    text = _STATES + f"x:\n  test.nop:\n    - watch:\n      - test: a\n      - {reference}\n"
    with pytest.raises(SlsError) as caught:
        compiled(tmp_path, text)
    assert str(caught.value.where) == "main.sls:16"
    assert f"watch of test.nop (id 'x') names {reference}, which no state declares" in caught.value.message
    assert help in caught.value.help


def test_when_not_strict_the_state_carries_what_is_missing(tmp_path: Path) -> None:
    text = "x:\n  test.nop:\n    - watch: [{test: a}, {test: q}, r]\na: test.nop\n"
    assert _targets(tmp_path, text, strict=False) == {"watch": ["a", "?test: q", "?r"]}


def test_when_not_strict_a_file_that_reaches_back_is_no_circle(tmp_path: Path) -> None:
    text = "".join(f"{name}:\n  test.nop:\n    - require:\n      - sls: main\n" for name in "xy") + "z: test.nop\n"
    assert _targets(tmp_path, text, strict=False) == {"require": ["z"]}
    with pytest.raises(SlsError, match="circle"):
        compiled(tmp_path, text)


def test_watching_is_requiring_for_a_family_without_a_watch(tmp_path: Path) -> None:
    text = "a: test.nop\nx:\n  file.absent:\n    - name: /x\n    - watch: [a]\n    - watch_any: [a]\n"
    assert _targets(tmp_path, text) == {"require": ["a"], "require_any": ["a"]}


def test_one_requisite_holds_all_references_of_a_kind(tmp_path: Path) -> None:
    text = _STATES + "x:\n  test.nop:\n    - onfail_all: [{test: a}, {test: b}]\n    - listen: [d]\n    - prereq: [d]\n"
    assert _targets(tmp_path, text) == {"onfail_all": ["a", "bee"], "listen": ["/d"], "prereq": ["/d"]}


@pytest.mark.parametrize("kind", ["require", "watch", "prereq", "onchanges", "onfail"])
def test_an_in_form_is_the_plain_one_of_its_target(tmp_path: Path, kind: str) -> None:
    text = f"x: test.nop\na:\n  test.nop:\n    - name: aye\n    - {kind}_in:\n      - test: x\n"
    assert _targets(tmp_path, text) == {kind: ["aye"]}


def test_an_in_form_finds_its_target_by_name_id_or_file(tmp_path: Path) -> None:
    giver = "a:\n  test.nop:\n    - require_in: [{reference}]\n"
    for reference in ("{test: ex}", "x", "{sls: b}"):
        files = {
            "main.sls": "include: [b]\n" + giver.replace("{reference}", reference),
            "b.sls": "x:\n  test.nop:\n    - name: ex\n",
        }
        assert _targets(tmp_path, files) == {"require": ["a"]}, reference


def test_listen_in_stays_with_its_giver(tmp_path: Path) -> None:
    text = "a: test.nop\nx:\n  test.nop:\n    - listen_in: [{test: a}]\n"
    assert _targets(tmp_path, text) == {"listen_in": ["a"]}


@pytest.mark.parametrize("reference", ["test: nobody", "file: x", "nobody"])
def test_an_in_form_that_names_nobody_is_told(tmp_path: Path, reference: str) -> None:
    with pytest.raises(SlsError, match=r"main.sls:5: require_in in the id 'a' names .*, which no state declares"):
        compiled(tmp_path, f"x: test.nop\na:\n  test.nop:\n    - require_in:\n      - {reference}\n")


def test_an_in_form_that_names_two_is_told_with_both_places(tmp_path: Path) -> None:
    text = "".join(f"{name}:\n  test.nop:\n    - name: same\n" for name in "xy")
    with pytest.raises(SlsError, match=r"several have that name: main.sls:2, main.sls:5"):
        compiled(tmp_path, text + "a:\n  test.nop:\n    - require_in: [{test: same}]\n")


def test_use_copies_arguments_that_are_absent(tmp_path: Path) -> None:
    text = (
        "a:\n  file.managed:\n    - name: /a\n    - mode: 600\n    - user: root\n    - contents: a\n"
        "    - require: [r]\nx:\n  file.managed:\n    - name: /x\n    - contents: x\n    - use:\n      - file: a\n"
        "r: test.nop\n"
        "b:\n  file.managed:\n    - name: /b\n    - group: adm\n    - use_in:\n      - file: x\n"
    )
    (chunk,) = [chunk for chunk in compiled(tmp_path, text).assignment.chunks if chunk.id == "x"]
    assert chunk.args == {"contents": "x", "mode": "600", "user": "root", "group": "adm"}
    assert chunk.requisites == ()


def test_requisites_that_run_in_a_circle_are_told(tmp_path: Path) -> None:
    text = "x:\n  test.nop:\n    - require: [y]\ny:\n  test.nop:\n    - require: [x]\n"
    with pytest.raises(SlsError, match="circle") as caught:
        compiled(tmp_path, text)
    assert caught.value.where.file == "main.sls"
